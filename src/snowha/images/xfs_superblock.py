"""The superblock of XFS. Offsets: Linux' fs/xfs/libxfs/xfs_format.h, struct xfs_dsb."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .checksums import crc32c
from .filesystem import NotTrusted, Read

MAGIC = b"XFSB"
_KNOWN = {
    "compat": 0,
    # trees of free inodes, of owners, of shared extents; counts of the inode trees' blocks
    "ro_compat": 0x1 | 0x2 | 0x4 | 0x8,
    # file types, sparse inodes, another UUID in the metadata, times past 2038, large counters, exchanged ranges, parents; not: it
    # needs repair, directories of metadata, zones
    "incompat": 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80,
    "log_incompat": 0x1,
}
_METADATA_UUID = 0x4


@dataclass(frozen=True)
class Super:
    """Geometry, in blocks where not said otherwise."""

    block: int
    """Bytes."""
    sector: int
    """Bytes."""
    blocks: int
    groups: int
    group_blocks: int
    free: int
    log_at: int
    """Byte at which the log begins."""
    log_bytes: int
    uuid: bytes
    metadata_uuid: bytes


def checksum_fits(raw: bytes, place: int) -> bool:
    """Whether a piece of metadata matches the little-endian CRC-32C at ``place`` in it (xfs_cksum.h)."""
    value = crc32c(0xFFFFFFFF, raw[:place] + bytes(4) + raw[place + 4 :]) ^ 0xFFFFFFFF
    return value == int.from_bytes(raw[place : place + 4], "little")


def parse_super(read: Read, length: int) -> Super:
    """Raises NotTrusted for what is no XFS of version 5 in one piece, on a device of ``length`` bytes."""
    raw = read(0, 512)
    if raw[:4] != MAGIC:
        raise NotTrusted("no XFS")
    block, blocks, realtime = struct.unpack(">IQQ", raw[4:24])
    (log_start,) = struct.unpack(">Q", raw[48:56])
    group_blocks, groups, _, log_blocks, version, sector = struct.unpack(">4I2H", raw[84:104])
    block_log, group_log = raw[120], raw[124]
    (free,) = struct.unpack(">Q", raw[144:152])
    if version & 0xF != 5:
        raise NotTrusted(f"XFS of version {version & 0xF}, whose metadata has no checksums")
    if sector not in (512, 1024, 2048, 4096, 8192, 16384, 32768) or not checksum_fits(
        raw + read(512, sector - 512), 224
    ):
        raise NotTrusted("the superblock of XFS does not match its checksum")
    _check_features(raw)
    if raw[126]:
        raise NotTrusted("mkfs did not end")
    if realtime or not log_start:
        raise NotTrusted("part of the XFS is on another device")
    if not 512 <= block <= 65536 or block != 1 << block_log or not 0 < group_blocks <= 1 << group_log <= 1 << 31:
        raise NotTrusted(f"an XFS with blocks of {block} bytes and groups of {group_blocks} makes no sense")
    if not 0 < blocks * block <= length or groups != -(-blocks // group_blocks):
        raise NotTrusted(f"the XFS is larger than the device, or its {groups} groups are not all of it")
    log_block = (log_start >> group_log) * group_blocks + (log_start & ((1 << group_log) - 1))
    if not 0 < log_block <= log_block + log_blocks <= blocks or not log_blocks:
        raise NotTrusted("the log of the XFS lies outside of it")
    other = struct.unpack(">I", raw[216:220])[0] & _METADATA_UUID
    return Super(
        block=block,
        sector=sector,
        blocks=blocks,
        groups=groups,
        group_blocks=group_blocks,
        free=free,
        log_at=log_block * block,
        log_bytes=log_blocks * block,
        uuid=raw[32:48],
        metadata_uuid=raw[248:264] if other else raw[32:48],
    )


def _check_features(raw: bytes) -> None:
    for number, (name, known) in enumerate(_KNOWN.items()):
        unknown = int.from_bytes(raw[208 + 4 * number : 212 + 4 * number], "big") & ~known
        if unknown:
            raise NotTrusted(f"XFS with {name} features {unknown:#x}, which are unknown here")
