"""The busybox that the lab's domains are made of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from snowha.errors import InputError

BUSYBOX = Path("/bin/busybox")


def applets(busybox: Path) -> set[str]:
    """What this busybox can do. Raises InputError if it does not run."""
    try:
        return set(subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split())
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"not a busybox: {error}", where=str(busybox), remedy="apt install busybox-static") from error


def check_busybox(busybox: Path, needed: Iterable[str]) -> None:
    """Raises InputError unless ``busybox`` is static and has the applets ``needed``."""
    missing = sorted(set(needed) - applets(busybox))
    if missing or b"/ld-linux" in busybox.read_bytes():
        reason = f"has no {', '.join(missing)}" if missing else "is not static"
        raise InputError(f"this busybox {reason}", where=str(busybox), remedy="apt install busybox-static")
