"""Which bytes of an XFS file system are in use: all but the extents in its trees of free space.

Layout: Linux' fs/xfs/libxfs/xfs_format.h. Only version 5, whose metadata has checksums and says where it belongs. Whatever is
unclean, unknown, or does not agree with itself raises ``NotTrusted``, and the caller reads every block instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .filesystem import HEAD, MOST_RANGES, READ_OVER, NotTrusted, Read
from .ranges import GRAIN, Range, aligned, bounded, gaps, merge
from .xfs_log import check_clean
from .xfs_superblock import MAGIC, Super, checksum_fits, parse_super

__all__ = ["MAGIC", "used_ranges"]

_TREE_HEADER = 56
_DEEPEST = 9
"""XFS_BTREE_MAXLEVELS."""


@dataclass(frozen=True)
class _Group:
    """Blocks are counted from the beginning of the group."""

    number: int
    start: int
    """Its first block in the file system."""
    blocks: int
    root: int
    levels: int
    free: int
    """Blocks in the tree of free space."""
    spare: int
    """Blocks kept ready for the trees, and the trees' own: the superblock counts them as free, too."""


def used_ranges(read: Read, length: int) -> tuple[str, list[Range]]:
    """``xfs`` and the bytes that must be copied: what is not free, the first 64 KiB, everything behind the file system's end.

    Raises NotTrusted, with the reason; OSError from ``read``.
    """

    def inside(at: int, size: int) -> bytes:
        if at < 0 or at + size > length:
            raise NotTrusted(f"the XFS leads to byte {at}, outside of the device")
        return read(at, size)

    return "xfs", _used_ranges(inside, length)


def _used_ranges(read: Read, length: int) -> list[Range]:
    fs = parse_super(read, length)
    check_clean(read, fs)
    used: list[Range] = [(0, min(length, HEAD)), (fs.blocks * fs.block, length)]
    free_blocks = 0
    for number in range(fs.groups):
        group = _parse_group(read, fs, number)
        free = _free(read, fs, group)
        free_blocks += group.free + group.spare
        base = group.start * fs.block
        used += [(base + low * fs.block, base + high * fs.block) for low, high in gaps(free, group.blocks)]
        if len(used) > 4 * MOST_RANGES:
            used = bounded(merge(used), MOST_RANGES)
    if free_blocks != fs.free:
        raise NotTrusted(f"the groups count {free_blocks} free blocks, the superblock {fs.free}")
    return bounded(aligned(merge(used, gap=GRAIN), length), MOST_RANGES)


def _parse_group(read: Read, fs: Super, number: int) -> _Group:
    """The header of an allocation group: struct xfs_agf, in the group's second sector."""
    start = number * fs.group_blocks
    blocks = min(fs.group_blocks, fs.blocks - start)
    raw = read(start * fs.block + fs.sector, fs.sector)
    if raw[:4] != b"XAGF" or not checksum_fits(raw, 216):
        raise NotTrusted(f"the header of group {number} does not match its checksum")
    if struct.unpack(">3I", raw[4:16]) != (1, number, blocks) or raw[64:80] != fs.metadata_uuid:
        raise NotTrusted(f"the header of group {number} is another one's")
    root, levels = struct.unpack(">I8xI", raw[16:32])
    kept, free, _longest, trees = struct.unpack(">4I", raw[48:64])
    if not 1 <= levels <= _DEEPEST:
        raise NotTrusted(f"the tree of group {number} has {levels} levels")
    return _Group(number, start, blocks, root, levels, free, kept + trees)


def _free(read: Read, fs: Super, group: _Group) -> list[Range]:
    """Free extents that are worth leaving out, in order."""
    worth = READ_OVER // fs.block
    free: list[Range] = []
    last = count = 0
    for start, size in _records(read, fs, group, group.root, group.levels - 1):
        if not size or start < last or start + size > group.blocks:
            raise NotTrusted(f"the free space of group {group.number} is out of order at block {start}")
        last = start + size
        count += size
        if size > worth:
            free.append((start, last))
        while len(free) > MOST_RANGES:
            worth = 2 * worth + 1
            free = [(low, high) for low, high in free if high - low > worth]
    if count != group.free:
        raise NotTrusted(f"group {group.number} counts {group.free} free blocks, its tree {count}")
    return free


def _records(read: Read, fs: Super, group: _Group, block: int, level: int) -> Iterator[tuple[int, int]]:
    """(first block, blocks) of every free extent below a block of the tree by block number (struct xfs_btree_block).

    A tree that leads back into itself gives an extent twice, which is out of order.
    """
    if not 0 < block < group.blocks:
        raise NotTrusted(f"the tree of group {group.number} leads to block {block}, outside of it")
    at = (group.start + block) * fs.block
    raw = read(at, fs.block)
    if raw[:4] != b"AB3B" or not checksum_fits(raw, 52):
        raise NotTrusted(f"block {block} of group {group.number} does not match its checksum")
    own_level, count = struct.unpack(">2H", raw[4:8])
    place, owner = struct.unpack(">Q", raw[16:24])[0], struct.unpack(">I", raw[48:52])[0]
    if (own_level, place, owner) != (level, at // 512, group.number) or raw[32:48] != fs.metadata_uuid:
        raise NotTrusted(f"block {block} of group {group.number} is not the part of the tree that it should be")
    room = fs.block - _TREE_HEADER
    most = room // 12 if level else room // 8
    if count > most or (not count and (level or group.levels > 1)):
        raise NotTrusted(f"block {block} of group {group.number} cannot have {count} records")
    if not level:
        yield from struct.iter_unpack(">2I", raw[_TREE_HEADER : _TREE_HEADER + 8 * count])
        return
    pointers = _TREE_HEADER + 8 * most
    for (child,) in struct.iter_unpack(">I", raw[pointers : pointers + 4 * count]):
        yield from _records(read, fs, group, child, level - 1)
