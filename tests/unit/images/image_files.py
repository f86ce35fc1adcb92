"""Disks to copy: noise, and real file systems, made by mkfs without mounting anything."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

MIB = 1 << 20
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}


def silent(_: dict[str, Any]) -> None:
    """For whoever does not listen to events."""


def noise(path: Path, size: int, *, zeros: list[tuple[int, int]] | None = None) -> Path:
    """A file of bytes that do not compress, but for ``zeros`` (at, count)."""
    data = bytearray(random.Random(size).randbytes(size))
    for at, count in zeros or []:
        data[at : at + count] = bytes(count)
    path.write_bytes(data)
    return path


def tool(*argv: str | Path) -> str:
    """Run one of e2fsprogs' tools; what it says. A test fails if the tool does."""
    done = subprocess.run([str(word) for word in argv], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def make_image(path: Path, size: int, options: list[str], tree: Path, *, garbage: bool = True) -> Path:
    """A file system in a file whose free blocks are full of garbage, as on a volume that was used before."""
    chunk = random.Random(size).randbytes(1 << 20)
    with path.open("wb") as file:
        if garbage:
            for at in range(0, size, len(chunk)):
                file.write(chunk[: size - at])
        file.truncate(size)
    tool("mkfs.ext4", "-q", "-F", "-E", "nodiscard", *options, "-d", tree, path)
    return path
