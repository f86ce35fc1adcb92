"""Which bytes of an ext2, ext3 or ext4 file system are in use, read from its block bitmaps.

Layout: Linux' Documentation/filesystems/ext4 and fs/ext4/ext4.h; which features are known: e2fsprogs' lib/ext2fs/ext2_fs.h.
A wrong answer here loses data, so whatever is unclean, unknown, or does not agree with itself raises ``NotTrusted``,
and the caller reads every block instead.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from .checksums import crc16, crc32c
from .ext_superblock import Super, parse_super
from .filesystem import HEAD, MOST_RANGES, READ_OVER, NotTrusted, Read
from .ranges import GRAIN, Range, aligned, bounded, gaps, intersect, merge

_INODE_UNINIT, _BLOCK_UNINIT = 0x1, 0x2


@dataclass(frozen=True)
class _Group:
    number: int
    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free: int
    free_inodes: int
    flags: int
    bitmap_checksum: int
    inode_bitmap_checksum: int
    unused_inodes: int
    """At the end of the inode table, never used since mkfs: read as zeros by everybody. 0 if that cannot be relied on."""


def used_ranges(read: Read, length: int, *, unclean: bool = False) -> tuple[str, list[Range]]:
    """What the file system is (``ext4``) and the bytes that must be copied: used blocks, all metadata, the first
    64 KiB, and everything behind the end of the file system.

    ``unclean``: it is a snapshot of a file system in use, and the answer a guess of what is worth copying first: state and
    total of free blocks, which are written at unmount, do not matter.
    Raises NotTrusted, with the reason, if the bitmaps cannot be relied on; OSError from ``read``.
    """
    raw = read(1024, 1024)
    fs = parse_super(raw, length, unclean=unclean)
    _check_backup(read, fs)
    if not unclean:
        _check_mmp(read, fs)
    groups = list(_groups(read, fs))
    metadata = merge(_metadata(fs, groups))
    used: list[Range] = []
    free_clusters = 0
    pattern = re.compile(f"1+(?:0{{1,{READ_OVER // fs.cluster}}}1+)*" if fs.cluster <= READ_OVER else "1+")
    for group in groups:
        _check_inodes(read, fs, group)
        free_clusters += group.free
        if group.flags & _BLOCK_UNINIT:
            _check_uninit(read, fs, group, metadata)
            continue
        for first, last in _runs(_bitmap(read, fs, group), fs, group, pattern):
            start = fs.group_start(group.number) + first * fs.ratio
            used.append((start * fs.block, min(fs.blocks, start + (last - first) * fs.ratio) * fs.block))
        if len(used) > 4 * MOST_RANGES:
            used = bounded(used, MOST_RANGES)
    if not unclean and free_clusters * fs.ratio - fs.free not in range(fs.ratio):
        raise NotTrusted(f"the groups count {free_clusters * fs.ratio} free blocks, the superblock {fs.free}")
    free_inodes = sum(group.free_inodes for group in groups)
    if not unclean and free_inodes != fs.free_inodes:
        raise NotTrusted(f"the groups count {free_inodes} free inodes, the superblock {fs.free_inodes}")
    used += [(start * fs.block, end * fs.block) for start, end in metadata]
    used += [(0, min(length, HEAD)), (fs.blocks * fs.block, length)]
    wanted = bounded(aligned(merge(used, gap=GRAIN), length), MOST_RANGES)
    return fs.name, bounded(intersect(wanted, list(gaps(_idle_tables(fs, groups), length))), MOST_RANGES)


def _groups(read: Read, fs: Super) -> Iterator[_Group]:
    per_block = fs.block // fs.descriptor
    for index in range(fs.descriptor_blocks):
        data = read(fs.descriptor_block(index) * fs.block, fs.block)
        for slot in range(min(per_block, fs.groups - index * per_block)):
            number = index * per_block + slot
            yield _parse_group(fs, number, data[slot * fs.descriptor : (slot + 1) * fs.descriptor])


def _parse_group(fs: Super, number: int, raw: bytes) -> _Group:
    def field(low: int, size: int, high: int) -> int:
        value = int.from_bytes(raw[low : low + size], "little")
        if fs.descriptor >= 64:
            value |= int.from_bytes(raw[high : high + size], "little") << (8 * size)
        return value

    _check_descriptor(fs, number, raw)
    flags = int.from_bytes(raw[0x12:0x14], "little")
    free_inodes = field(0xE, 2, 0x2E)
    unused_inodes = fs.inodes_per_group if flags & _INODE_UNINIT else field(0x1C, 2, 0x32)
    group = _Group(
        number=number,
        block_bitmap=field(0x0, 4, 0x20),
        inode_bitmap=field(0x4, 4, 0x24),
        inode_table=field(0x8, 4, 0x28),
        free=field(0xC, 2, 0x2C),
        free_inodes=free_inodes,
        flags=flags,
        bitmap_checksum=field(0x18, 2, 0x38),
        inode_bitmap_checksum=field(0x1A, 2, 0x3A),
        unused_inodes=unused_inodes if fs.has_descriptor_checksums else 0,
    )
    places = ((group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, fs.table_blocks))
    for start, blocks in places:
        if start <= fs.first_data_block or start + blocks > fs.blocks:
            raise NotTrusted(f"group {number} has metadata at block {start}, outside the file system")
        if not fs.flex and not fs.group_start(number) <= start < fs.group_start(number) + fs.per_group:
            raise NotTrusted(f"group {number} has metadata at block {start}, in another group, without flex_bg")
    # the first group has the reserved inodes, the root folder among them
    if flags & _INODE_UNINIT and (number == 0 or free_inodes != fs.inodes_per_group or field(0x10, 2, 0x30)):
        raise NotTrusted(f"group {number} is marked as without inodes, and has some")
    if group.flags & (_BLOCK_UNINIT | _INODE_UNINIT) and not fs.has_descriptor_checksums:
        raise NotTrusted(
            f"group {number} is marked uninitialised, but the file system has no checksums to trust that by"
        )
    if fs.has_descriptor_checksums and not unused_inodes <= free_inodes <= fs.inodes_per_group:
        raise NotTrusted(f"group {number} counts more unused inodes than free ones, or more free ones than it has")
    if group.free > fs.clusters_in(number):
        raise NotTrusted(f"group {number} says that more is free than it has")
    return group


def _check_descriptor(fs: Super, number: int, raw: bytes) -> None:
    stored = int.from_bytes(raw[0x1E:0x20], "little")
    if fs.metadata_csum:
        value = crc32c(fs.seed, number.to_bytes(4, "little"))
        value = crc32c(value, raw[:0x1E] + b"\0\0" + raw[0x20:]) & 0xFFFF
    elif fs.gdt_csum:
        value = crc16(crc16(0xFFFF, fs.uuid), number.to_bytes(4, "little"))
        value = crc16(value, raw[:0x1E] + raw[0x20:])
    else:
        return
    if value != stored:
        raise NotTrusted(f"the descriptor of group {number} does not match its checksum")


def _bitmap(read: Read, fs: Super, group: _Group) -> bytes:
    data = read(group.block_bitmap * fs.block, fs.block)[: fs.clusters_per_group // 8]
    if fs.metadata_csum:
        mask = 0xFFFFFFFF if fs.descriptor >= 64 else 0xFFFF
        if crc32c(fs.seed, data) & mask != group.bitmap_checksum:
            raise NotTrusted(f"the block bitmap of group {group.number} does not match its checksum")
    return data


def _check_inodes(read: Read, fs: Super, group: _Group) -> None:
    """Inodes that the group calls unused are not copied, so its bitmap of inodes must say the same: that is what goes on being
    read. Of a group that is marked as without inodes the bitmap was mostly never written; where its checksum is right, it was."""
    data = read(group.inode_bitmap * fs.block, fs.block)[: fs.inodes_per_group // 8]
    mask = 0xFFFFFFFF if fs.descriptor >= 64 else 0xFFFF
    is_right = fs.metadata_csum and crc32c(fs.seed, data) & mask == group.inode_bitmap_checksum
    if group.flags & _INODE_UNINIT:
        if is_right and any(data):
            raise NotTrusted(f"group {group.number} is marked as without inodes, and its bitmap has some")
        return
    if fs.metadata_csum and not is_right:
        raise NotTrusted(f"the inode bitmap of group {group.number} does not match its checksum")
    bits = int.from_bytes(data, "little")
    free = fs.inodes_per_group - bits.bit_count()
    if free != group.free_inodes:
        raise NotTrusted(f"group {group.number} says {group.free_inodes} inodes free, its bitmap {free}")
    if bits.bit_length() > fs.inodes_per_group - group.unused_inodes:
        raise NotTrusted(f"group {group.number} calls inodes unused that its bitmap calls used")


def _runs(bitmap: bytes, fs: Super, group: _Group, pattern: re.Pattern[str]) -> list[Range]:
    """Runs of used clusters (gaps up to READ_OVER included), after counting that the free ones are as many as they should."""
    count = fs.clusters_in(group.number)
    bits = format(int.from_bytes(bitmap, "little"), f"0{len(bitmap) * 8}b")[::-1][:count]
    if bits.count("0") != group.free:
        raise NotTrusted(f"group {group.number} says {group.free} free, its bitmap {bits.count('0')}")
    return [match.span() for match in pattern.finditer(bits)]


def _metadata(fs: Super, groups: list[_Group]) -> Iterator[Range]:
    """Blocks that hold metadata: superblocks, descriptors, bitmaps, inode tables."""
    for group in groups:
        yield group.block_bitmap, group.block_bitmap + 1
        yield group.inode_bitmap, group.inode_bitmap + 1
        yield group.inode_table, group.inode_table + fs.table_blocks
        yield from fs.base_metadata(group.number)


def _idle_tables(fs: Super, groups: list[_Group]) -> list[Range]:
    """Bytes of inode tables that never held an inode: the kernel and e2fsck do not read them either, and where a table
    was marked as zeroed they are zeros (ext4_init_inode_table)."""
    idle: list[Range] = []
    for group in groups:
        used = -(-(fs.inodes_per_group - group.unused_inodes) * fs.inode_size // fs.block)
        idle.append(((group.inode_table + used) * fs.block, (group.inode_table + fs.table_blocks) * fs.block))
    inside = [(-(-start // GRAIN) * GRAIN, end // GRAIN * GRAIN) for start, end in merge(idle)]
    return [(start, end) for start, end in inside if end - start > READ_OVER]


def _check_uninit(read: Read, fs: Super, group: _Group, metadata: list[Range]) -> None:
    """A group whose bitmap was never written: used is the metadata that lies in it, and the free count must say the same. So must
    the bitmap, where its checksum is right: then it was written."""
    start = fs.group_start(group.number)
    end = min(fs.blocks, start + fs.per_group)
    clusters: set[int] = set()
    at = max(0, bisect_left(metadata, (start, 0)) - 1)
    while at < len(metadata) and metadata[at][0] < end:
        low, high = max(start, metadata[at][0]), min(end, metadata[at][1])
        if low < high:
            clusters.update(range((low - start) // fs.ratio, (high - 1 - start) // fs.ratio + 1))
        at += 1
    if fs.clusters_in(group.number) - len(clusters) != group.free:
        raise NotTrusted(f"group {group.number} is marked uninitialised and says {group.free} free, which cannot be")
    data = read(group.block_bitmap * fs.block, fs.block)[: fs.clusters_per_group // 8]
    mask = 0xFFFFFFFF if fs.descriptor >= 64 else 0xFFFF
    if fs.metadata_csum and crc32c(fs.seed, data) & mask == group.bitmap_checksum:
        bits = int.from_bytes(data, "little") & ((1 << fs.clusters_in(group.number)) - 1)
        if bits & ~sum(1 << cluster for cluster in clusters):
            raise NotTrusted(f"group {group.number} is marked uninitialised, and its bitmap has blocks in use")


def _check_backup(read: Read, fs: Super) -> None:
    """The copy of the superblock in group 1 must describe the same file system: its geometry has no other witness
    where superblocks have no checksum."""
    if fs.groups < 2 or not fs.has_super(1):
        return
    start = fs.group_start(1) * fs.block
    if fs.geometry != fs.geometry_of(read(start, 1024)):
        raise NotTrusted("the superblock and its first backup describe different file systems")


def _check_mmp(read: Read, fs: Super) -> None:
    """With multi-mount protection, somebody else may have the file system mounted (fs/ext4/mmp.c)."""
    if fs.mmp_block and int.from_bytes(read(fs.mmp_block * fs.block, 8)[4:8], "little") != 0xFF4D4D50:
        raise NotTrusted("it is mounted somewhere (multi-mount protection)")
