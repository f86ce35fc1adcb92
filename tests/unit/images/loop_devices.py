"""Files as block devices, as a volume is one: only root can attach them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from image_files import ENVIRONMENT, tool


@contextmanager
def attached(path: Path, *options: str) -> Iterator[Path]:
    """The loop device of a file; ``options`` of losetup(8)."""
    words = ["losetup", "--find", "--show", *options, str(path)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if os.geteuid() or done.returncode:
        pytest.skip(f"no loop device can be attached here: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        tool("losetup", "--detach", device)
