"""The reader of bitmaps against e2fsprogs: a used block that it leaves out is a lost file."""

from __future__ import annotations

import mmap
import random
import re
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import MIB, make_image, tool

from snowha.images import ext
from snowha.images.filesystem import READ_OVER, NotTrusted
from snowha.images.ranges import Range, aligned, intersect, merge, total

KINDS: dict[str, tuple[int, list[str]]] = {
    "ext2": (24 * MIB, ["-t", "ext2"]),
    "ext2, revision 0": (24 * MIB, ["-t", "ext2", "-r", "0", "-O", "none"]),
    "ext3, 1k": (40 * MIB, ["-t", "ext3", "-b", "1024"]),
    "ext4": (160 * MIB, []),
    "ext4, 1k": (50 * MIB, ["-b", "1024"]),
    "ext4, 2k": (48 * MIB, ["-b", "2048"]),
    "ext4, 16k": (64 * MIB, ["-b", "16384"]),
    "ext4, 64k": (128 * MIB, ["-b", "65536"]),
    "uninit_bg": (60 * MIB, ["-b", "1024", "-O", "^metadata_csum,uninit_bg"]),
    "no checksums": (60 * MIB, ["-b", "1024", "-O", "^metadata_csum,^uninit_bg"]),
    "32 bit": (60 * MIB, ["-b", "1024", "-O", "^64bit"]),
    "no flex_bg": (60 * MIB, ["-b", "1024", "-O", "^flex_bg"]),
    "meta_bg": (60 * MIB, ["-b", "1024", "-O", "meta_bg,^resize_inode"]),
    "meta_bg, no checksums": (
        60 * MIB,
        ["-b", "1024", "-O", "meta_bg,^resize_inode,^metadata_csum,^uninit_bg,^flex_bg"],
    ),
    "bigalloc": (160 * MIB, ["-O", "bigalloc", "-C", "65536"]),
    "bigalloc, 1k": (80 * MIB, ["-b", "1024", "-O", "bigalloc", "-C", "16384"]),
    "sparse_super2": (60 * MIB, ["-b", "1024", "-O", "sparse_super2"]),
    "every superblock": (60 * MIB, ["-b", "1024", "-O", "^sparse_super,^resize_inode,^metadata_csum,^64bit"]),
    "seed": (40 * MIB, ["-O", "metadata_csum_seed"]),
    "no journal": (40 * MIB, ["-O", "^has_journal"]),
    "small groups": (40 * MIB, ["-b", "1024", "-g", "1024", "-N", "4096"]),
    "orphan file, project, quota": (60 * MIB, ["-O", "orphan_file,project,quota"]),
    "inline data, mmp": (40 * MIB, ["-O", "inline_data,mmp"]),
    "odd end": (40 * MIB + 3 * 1024 + 517, ["-b", "1024"]),
}


def used_by(data: bytes | mmap.mmap) -> tuple[str, list[Range]]:
    def read(at: int, size: int) -> bytes:
        if at < 0 or at + size > len(data):
            raise OSError("outside")
        return data[at : at + size]

    return ext.used_ranges(read, len(data))


def used_by_dumpe2fs(path: Path) -> list[Range]:
    """What e2fsprogs says: everything but the free blocks it lists, and the ends of inode tables that were never used."""
    text = tool("dumpe2fs", path)
    fields = dict(re.findall(r"^([A-Z][^:\n]+):\s+(.+)$", text, re.M))
    block, count = int(fields["Block size"]), int(fields["Block count"])
    # with bigalloc, a range ends with the first block of its last cluster
    last = int(fields.get("Cluster size", block)) // block
    free: list[Range] = []
    for line in re.findall(r"^  Free blocks: (.+)$", text, re.M):
        for low, high in re.findall(r"(\d+)(?:-(\d+))?", line):
            free.append((int(low) * block, min(count, int(high or low) + last) * block))
    per_group, inode = int(fields["Inodes per group"]), int(fields.get("Inode size", 128))
    for group in re.split(r"^Group \d+:", text, flags=re.M)[1:]:
        table = re.search(r"Inode table at (\d+)-(\d+)", group)
        unused = re.search(r"(\d+) unused inodes", group)
        if table and unused:
            first, end = int(table[1]) * block, (int(table[2]) + 1) * block
            free.append((first + -(-(per_group - int(unused[1])) * inode // block) * block, end))
    used, at = [], 0
    for start, end in merge(free):
        used.append((at, start))
        at = end
    return merge([*used, (at, count * block)])


@pytest.mark.parametrize("kind", KINDS)
def test_every_block_that_e2fsprogs_calls_used_is_read(kind: str, tree: Path, tmp_path: Path) -> None:
    """Without this, a file of the domain would come back as zeros."""
    size, options = KINDS[kind]
    path = make_image(tmp_path / "image", size, options, tree, garbage=False)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        name, found = used_by(data)
    wanted = used_by_dumpe2fs(path)
    assert intersect(wanted, found) == wanted
    assert name == kind[:4] or not kind.startswith("ext")
    # and not much more: gaps that are read over, at most
    assert total(found) <= total(merge(aligned(wanted, size), gap=2 * READ_OVER)) + 2 * 65536


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (["set_super_value", "state", "0"], "unmounted"),
        (["feature", "needs_recovery"], "journal"),
        (["set_super_value", "last_orphan", "12"], "orphan"),
    ],
)
def test_an_unclean_file_system_is_not_trusted(change: list[str], why: str, tree: Path, tmp_path: Path) -> None:
    """Bitmaps of a file system whose journal was not replayed may be stale: blocks would be lost."""
    path = make_image(tmp_path / "image", 24 * MIB, [], tree, garbage=False)
    tool("debugfs", "-w", "-R", " ".join(change), path)
    with pytest.raises(NotTrusted, match=why):
        used_by(path.read_bytes())


@pytest.fixture(scope="module")
def plain(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file system without checksums, where nothing but its own consistency speaks for it."""
    path = tmp_path_factory.mktemp("plain") / "image"
    return make_image(path, 12 * MIB, KINDS["no checksums"][1], tree, garbage=False).read_bytes()


@pytest.fixture(scope="module")
def summed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("summed") / "image"
    return make_image(path, 12 * MIB, ["-b", "1024"], tree, garbage=False).read_bytes()


fuzzing = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@fuzzing
@given(
    at=st.integers(0, 1023),
    value=st.binary(min_size=1, max_size=4),
)
@pytest.mark.parametrize("which", ["plain", "summed"])
def test_a_damaged_superblock_never_makes_it_skip_a_used_block(
    which: str, at: int, value: bytes, request: pytest.FixtureRequest
) -> None:
    """It may say anything but: a smaller set of blocks than is used. Nor may it read outside, loop or crash."""
    data: bytes = request.getfixturevalue(which)
    _, truth = used_by(data)
    value = value[: 1024 - at]
    damaged = data[: 1024 + at] + value + data[1024 + at + len(value) :]
    try:
        _, found = used_by(damaged)
    except NotTrusted:
        return
    assert intersect(truth, found) == truth


@fuzzing
@given(seed=st.integers(0, 2**32), size=st.integers(1, 64))
@pytest.mark.parametrize("which", ["plain", "summed"])
def test_damaged_descriptors_and_bitmaps_never_make_it_skip_a_used_block(
    which: str, seed: int, size: int, request: pytest.FixtureRequest
) -> None:
    data: bytes = request.getfixturevalue(which)
    _, truth = used_by(data)
    source = random.Random(seed)
    block = struct.unpack_from("<I", data, 2048)[0]
    at = source.choice([2048 + source.randrange(64), block * 1024 + source.randrange(1024)])
    damaged = data[:at] + source.randbytes(size) + data[at + size :]
    try:
        _, found = used_by(damaged)
    except NotTrusted:
        return
    assert intersect(truth, found) == truth


@settings(max_examples=100)
@given(st.binary(min_size=1024, max_size=1024), st.integers(0, 1 << 20))
def test_random_superblocks_are_refused_or_bounded(noise: bytes, length: int) -> None:
    """A hostile disk must not make the copy hang or read outside the device."""
    raw = bytearray(noise)
    struct.pack_into("<HH", raw, 0x38, 0xEF53, 1)
    data = bytes(1024) + bytes(raw) + bytes(length)
    try:
        _, found = used_by(data)
    except NotTrusted:
        return
    assert all(0 <= start < end <= len(data) for start, end in found)


def test_a_truncated_volume_is_not_trusted(plain: bytes) -> None:
    with pytest.raises(NotTrusted, match="larger"):
        used_by(plain[: 6 * MIB])
