"""Disks to copy: a file system as a domain leaves it, and a disk full of noise. Made once, kept beside the results.

No root: ``mkfs.ext4 -d`` fills the file system, ``debugfs`` deletes from it again, so that the deleted files' blocks
still hold what was in them. Nothing is mounted.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

MIB = 1 << 20
_CHUNK = 8 * MIB
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}


def run(*words: str | Path, stdin: str = "") -> str:
    """A tool's standard output. Raises CalledProcessError."""
    done = subprocess.run(
        [str(word) for word in words], env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout


def domain_disk(path: Path, size: int) -> Path:
    """An ext4 file system of ``size`` bytes, a quarter live files and a quarter deleted ones, in files of 16 KiB to 32 MiB.

    Every second file is deleted, so that live and dead blocks lie between each other as on a disk in use.
    """
    made = _made(path, size)
    if made:
        return path
    tree = path.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    source = random.Random(size)
    dead: list[str] = []
    bytes_of = {"live": 0, "dead": 0}
    number = 0
    noise = source.randbytes(32 * MIB)
    while min(bytes_of.values()) < size // 4:
        kind = min(bytes_of, key=lambda key: bytes_of[key])
        count = min(16384 << source.randrange(12), size // 4 - bytes_of[kind])
        folder = tree / f"d{number % 16}"
        folder.mkdir(parents=True, exist_ok=True)
        at = source.randrange(len(noise) - count + 1)
        (folder / f"f{number}").write_bytes(noise[at : at + count])
        if kind == "dead":
            dead.append(f"/d{number % 16}/f{number}")
        bytes_of[kind] += count
        number += 1
    with path.open("wb") as file:
        file.truncate(size)
    run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1", "-d", tree, path)
    run("debugfs", "-w", "-f", "-", path, stdin="".join(f"rm {name}\n" for name in dead))
    run("e2fsck", "-fn", path)
    shutil.rmtree(tree)
    _allocate(path, size)
    return path


def noise_disk(path: Path, size: int) -> Path:
    """A disk without a file system, full of bytes that do not compress."""
    if _made(path, size):
        return path
    with path.open("wb") as file:
        for at in range(0, size, _CHUNK):
            file.write(os.urandom(min(_CHUNK, size - at)))
        file.flush()
        os.fsync(file.fileno())
    return path


def sparse_disk(path: Path, size: int) -> Path:
    """A disk of any size of which 64 places hold something."""
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, size // 64):
            os.pwrite(file.fileno(), os.urandom(65536), at)
    return path


def _made(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size and path.stat().st_blocks * 512 >= size * 0.99


def _allocate(path: Path, size: int) -> None:
    """A volume has no holes, and neither may what stands for one: what was never written is written with zeros."""
    with path.open("r+b") as file:
        at = 0
        while at < size:
            try:
                hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            except OSError:
                break
            if hole >= size:
                break
            try:
                at = os.lseek(file.fileno(), hole, os.SEEK_DATA)
            except OSError:
                at = size
            while hole < at:
                hole += os.pwrite(file.fileno(), bytes(min(_CHUNK, at - hole)), hole)
        os.fsync(file.fileno())
