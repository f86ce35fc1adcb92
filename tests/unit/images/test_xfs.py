"""The reader of XFS' free space: a used block that it leaves out is a lost file.

Recorded: what the reader reads of a file system that a kernel (Linux 6.18) has written, 1500 files, 900 of them deleted again; of
its log only each sector's beginning. The same just before it was unmounted. `files` are the extents that the kernel named.
"""

from __future__ import annotations

import base64
import json
import lzma
import os
import random
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import machine
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import ENVIRONMENT, MIB, tool

from snowha.hosts.wait import wait_for
from snowha.images import xfs
from snowha.images.copy_plan import plan_copy
from snowha.images.filesystem import NotTrusted, Read
from snowha.images.ranges import Range, intersect, merge, total
from snowha.images.storage import Storage
from snowha.images.xfs_superblock import parse_super

SECTOR = 512
KINDS = {
    "as mkfs makes it": [],
    "1k": ["-b", "size=1024"],
    "64k": ["-b", "size=65536"],
    "owners and shared extents": ["-m", "rmapbt=1,reflink=1"],
    "little else": ["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0"],
    "large sectors": ["-s", "size=4096"],
    "many groups": ["-d", "agcount=9"],
    "striped log": ["-l", "su=65536"],
}
MOUNTED_KINDS = [kind for kind in KINDS if kind not in ("64k", "large sectors")]
"""What every machine can mount: pages and loop devices are smaller than these."""


@dataclass(frozen=True)
class Recorded:
    length: int
    files: list[Range]
    sectors: dict[int, bytes]

    def read(self, at: int, size: int) -> bytes:
        if at < 0 or at + size > self.length:
            raise OSError("outside")
        first = at // SECTOR * SECTOR
        data = b"".join(
            self.sectors.get(low, b"").ljust(SECTOR, b"\0") for low in range(first, at + size + SECTOR - 1, SECTOR)
        )
        return data[at - first : at - first + size]

    def changed(self, at: int, value: bytes) -> Read:
        """A reader of the same with other bytes in one place."""

        def read(start: int, size: int) -> bytes:
            data = bytearray(self.read(start, size))
            for index, byte in enumerate(value):
                if start <= at + index < start + size:
                    data[at + index - start] = byte
            return bytes(data)

        return read


def recorded(name: str) -> Recorded:
    text = lzma.decompress((Path(__file__).parent / "recorded" / f"xfs-{name}.json.xz").read_bytes())
    said = json.loads(text)
    sectors = {int(at): base64.b64decode(content) for at, content in said["sectors"].items()}
    return Recorded(said["length"], [(start, end) for start, end in said["files"]], sectors)


@pytest.fixture(scope="module")
def unmounted() -> Recorded:
    return recorded("unmounted")


def test_every_file_is_read_and_what_was_deleted_is_not(unmounted: Recorded) -> None:
    """Without this a file of the domain would come back as zeros; or all of the disk would be copied."""
    kind, found = xfs.used_ranges(unmounted.read, unmounted.length)
    assert kind == "xfs"
    assert intersect(unmounted.files, found) == unmounted.files
    log = parse_super(unmounted.read, unmounted.length).log_bytes
    assert total(unmounted.files) < total(found) - log < 1.3 * total(unmounted.files)


def test_one_that_was_not_unmounted_is_not_trusted() -> None:
    """Its trees on disk are old: what was written last is only in its log, and would be left out."""
    mounted = recorded("mounted")
    with pytest.raises(NotTrusted, match="not unmounted"):
        xfs.used_ranges(mounted.read, mounted.length)


@pytest.fixture(scope="module")
def places(unmounted: Recorded) -> tuple[list[int], list[int]]:
    """Where the recorded sectors are: of metadata, of the log."""
    fs = parse_super(unmounted.read, unmounted.length)
    inside = range(fs.log_at, fs.log_at + fs.log_bytes)
    return [at for at in unmounted.sectors if at not in inside], [at for at in unmounted.sectors if at in inside]


fuzzing = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@fuzzing
@given(seed=st.integers(0, 2**32), value=st.binary(min_size=1, max_size=8))
def test_whatever_is_damaged_no_used_block_is_skipped(
    seed: int, value: bytes, unmounted: Recorded, places: tuple[list[int], list[int]]
) -> None:
    """Superblock, groups' headers, trees and log: refused, or right. Nor may it read outside, loop or crash."""
    source = random.Random(seed)
    metadata, log = places
    at = source.choice(metadata) + source.randrange(SECTOR)
    if source.random() < 0.2:
        at = source.choice(log) + source.randrange(16)
    try:
        _, found = xfs.used_ranges(unmounted.changed(at, value), unmounted.length)
    except NotTrusted:
        return
    assert intersect(unmounted.files, found) == unmounted.files


@settings(max_examples=100)
@given(st.binary(min_size=SECTOR, max_size=SECTOR), st.integers(0, MIB))
def test_random_superblocks_are_refused(noise: bytes, length: int) -> None:
    raw = bytearray(noise)
    raw[:4] = b"XFSB"
    struct.pack_into(">H", raw, 100, 5)
    data = bytes(raw) + bytes(length)

    def read(at: int, size: int) -> bytes:
        if at < 0 or at + size > len(data):
            raise OSError("outside")
        return data[at : at + size]

    with pytest.raises(NotTrusted):
        xfs.used_ranges(read, len(data))


def test_a_truncated_volume_is_not_trusted(unmounted: Recorded) -> None:
    with pytest.raises(NotTrusted, match="larger"):
        xfs.used_ranges(unmounted.read, unmounted.length - 4096)


def make(path: Path, options: list[str]) -> Path:
    machine.need("mkfs.xfs", "xfs_repair")
    with path.open("wb") as file:
        file.truncate(800 * MIB)
    tool("mkfs.xfs", "-q", *options, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_what_mkfs_makes_is_trusted(kind: str, tmp_path: Path) -> None:
    """Else every block of a large disk is copied."""
    path = make(tmp_path / "image", KINDS[kind])
    with Storage(str(path)) as source:
        plan = plan_copy(source)
    assert (plan.kind, plan.method) == ("xfs", "xfs used blocks")


def test_one_without_checksums_is_read_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "image", ["-m", "crc=0,finobt=0,reflink=0,bigtime=0,inobtcount=0"])
    with Storage(str(path)) as source:
        plan = plan_copy(source)
    assert plan.method == "every block" and "version 4" in plan.reason


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "mounted"
    point.mkdir()
    yield point
    subprocess.run(["umount", str(point)], env=ENVIRONMENT, capture_output=True, check=False)


def unmount(point: Path, image: Path) -> None:
    """And wait for it: a process that got a copy of our mounts meanwhile (unshare(1), ip-netns(8)) has it mounted until it ends.
    Its loop device goes with the last of them."""
    tool("umount", point)
    wait_for(
        lambda: not tool("losetup", "--associated", image), timeout=50, what="the last to unmount it", interval=0.05
    )


def extents(files: list[Path]) -> list[Range]:
    """Where the kernel says that the files are (filefrag(8))."""
    found: list[Range] = []
    for file in files:
        for low, high in re.findall(
            r"^ *\d+: +\d+\.\. *\d+: +(\d+)\.\. *(\d+):", tool("filefrag", "-v", "-b512", file), re.M
        ):
            found.append((int(low) * SECTOR, (int(high) + 1) * SECTOR))
    return merge(found)


@pytest.mark.parametrize("kind", MOUNTED_KINDS)
def test_a_kernels_own_is_copied_without_its_deleted_files(kind: str, tmp_path: Path, mount_point: Path) -> None:
    """The copy of the ranges alone is a whole file system to xfs_repair, with every file in it."""
    path = make(tmp_path / "image", KINDS[kind])
    words = ["mount", "-t", "xfs", "-o", "loop", str(path), str(mount_point)]
    if os.geteuid() or subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=False).returncode:
        machine.unable("XFS cannot be mounted: the kernel lacks it, or may not")
    chance = random.Random(1)
    files = [mount_point / f"f{number}" for number in range(120)]
    for file in files:
        file.write_bytes(chance.randbytes(chance.choice((10, 5_000, 100_000, 400_000))))
    tool("sync", "-f", mount_point)
    deleted = set(files[::2])
    for file in deleted:
        file.unlink()
    tool("sync", "-f", mount_point)
    with Storage(str(path)) as source:
        assert "not unmounted" in plan_copy(source).reason
    kept = extents([file for file in files if file not in deleted])
    unmount(mount_point, path)
    with Storage(str(path)) as source:
        plan = plan_copy(source)
    assert plan.kind == "xfs", plan.reason
    assert kept and intersect(kept, plan.ranges) == kept
    copy = tmp_path / "copy"
    with path.open("rb") as source_file, copy.open("wb") as target:
        target.truncate(path.stat().st_size)
        for start, end in plan.ranges:
            source_file.seek(start)
            target.seek(start)
            target.write(source_file.read(end - start))
    tool("xfs_repair", "-n", copy)
