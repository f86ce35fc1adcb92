"""The superblock of ext2, ext3 and ext4, and what follows from it. Offsets: Linux' fs/ext4/ext4.h, struct ext4_super_block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .checksums import crc32c
from .filesystem import NotTrusted
from .ranges import Range

MAGIC = 0xEF53

# lib/ext2fs/ext2_fs.h
_COMPAT_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x200 | 0x400 | 0x800 | 0x1000
_COMPAT_JOURNAL, _COMPAT_SPARSE2 = 0x4, 0x200
_INCOMPAT_KNOWN = 0x2 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_RECOVER, _JOURNAL_DEV, _META_BG, _EXTENTS, _64BIT, _MMP, _FLEX, _SEED = (
    0x4,
    0x8,
    0x10,
    0x40,
    0x80,
    0x100,
    0x200,
    0x2000,
)
_RO_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x8000
_SPARSE, _GDT_CSUM, _BIGALLOC, _METADATA_CSUM, _ORPHANS = 0x1, 0x10, 0x200, 0x400, 0x10000


@dataclass(frozen=True)
class Super:
    """A clean file system's geometry, in blocks where not said otherwise."""

    name: str
    block: int
    """Bytes."""
    cluster: int
    """Bytes; what one bit of a bitmap stands for."""
    blocks: int
    free: int
    free_inodes: int
    first_data_block: int
    per_group: int
    clusters_per_group: int
    inodes_per_group: int
    inode_size: int
    descriptor: int
    """Bytes of a group descriptor."""
    reserved_descriptors: int
    first_meta_bg: int
    meta_bg: bool
    flex: bool
    sparse: bool
    sparse2: tuple[int, int] | None
    gdt_csum: bool
    metadata_csum: bool
    seed: int
    uuid: bytes
    mmp_block: int
    geometry: tuple[object, ...]

    @property
    def ratio(self) -> int:
        return self.cluster // self.block

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_data_block) // self.per_group)

    @property
    def table_blocks(self) -> int:
        return -(-self.inodes_per_group * self.inode_size // self.block)

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.groups // (self.block // self.descriptor))

    @property
    def has_descriptor_checksums(self) -> bool:
        return self.gdt_csum or self.metadata_csum

    @property
    def _super_in_block_1(self) -> int:
        """With 1 KiB blocks the superblock is block 1, even where group 0 starts at block 0 (bigalloc)."""
        return 1 if self.block == 1024 and self.first_data_block == 0 else 0

    @staticmethod
    def geometry_of(raw: bytes) -> tuple[object, ...]:
        """What all copies of a superblock have in common: block and inode counts, sizes, and the UUID."""
        return (
            raw[0x0:0x8],
            raw[0x14:0x2C],
            raw[0x38:0x3A],
            raw[0x58:0x5A],
            raw[0x68:0x78],
            raw[0xFE:0x100],
            raw[0x150:0x154],
        )

    def group_start(self, group: int) -> int:
        return self.first_data_block + group * self.per_group

    def clusters_in(self, group: int) -> int:
        return -(-min(self.per_group, self.blocks - self.group_start(group)) // self.ratio)

    def has_super(self, group: int) -> bool:
        """Whether the group begins with a superblock (ext4_bg_has_super in fs/ext4/balloc.c)."""
        if group == 0:
            return True
        if self.sparse2 is not None:
            return group in self.sparse2
        if group <= 1 or not self.sparse:
            return True
        return group % 2 == 1 and any(_is_power(group, base) for base in (3, 5, 7))

    def descriptor_block(self, index: int) -> int:
        """Where block ``index`` of the descriptor table is (ext2fs_descriptor_block_loc2)."""
        if not self.meta_bg or index < self.first_meta_bg:
            return self.first_data_block + self._super_in_block_1 + 1 + index
        group = index * (self.block // self.descriptor)
        return self.group_start(group) + int(self.has_super(group)) + (self._super_in_block_1 if group == 0 else 0)

    def base_metadata(self, group: int) -> Iterator[Range]:
        """The superblock and descriptors at the beginning of a group (ext4_num_base_meta_clusters)."""
        start = self.group_start(group)
        at = start
        if self.has_super(group):
            at += 1 + (self._super_in_block_1 if group == 0 else 0)
        per_block = self.block // self.descriptor
        if not self.meta_bg or group // per_block < self.first_meta_bg:
            if self.has_super(group):
                at += self.first_meta_bg if self.meta_bg else self.descriptor_blocks + self.reserved_descriptors
        elif group % per_block in (0, 1, per_block - 1):
            at += 1
        yield start, min(self.blocks, at)


def parse_super(raw: bytes, length: int, *, unclean: bool = False) -> Super:
    """The 1024 bytes at offset 1024 of a volume of ``length`` bytes. ``unclean``: its state does not matter.

    Raises NotTrusted, with the reason, if it is no superblock, not clean, or of a kind not known here.
    """
    (magic, state) = struct.unpack_from("<HH", raw, 0x38)
    if magic != MAGIC:
        raise NotTrusted("an unknown file system here")
    _inodes, blocks, _, free, free_inodes = struct.unpack_from("<5I", raw, 0)
    first_data_block, log_block, log_cluster, per_group, clusters_per_group, inodes_per_group = struct.unpack_from(
        "<6I", raw, 0x14
    )
    revision = struct.unpack_from("<I", raw, 0x4C)[0]
    compat, incompat, ro = struct.unpack_from("<III", raw, 0x5C)
    if revision > 1:
        raise NotTrusted(f"ext revision {revision} is unknown")
    if revision == 0:
        compat = incompat = ro = 0
    uuid = raw[0x68:0x78]
    metadata_csum = bool(ro & _METADATA_CSUM)
    if metadata_csum and (
        raw[0x175] != 1 or crc32c(0xFFFFFFFF, raw[:0x3FC]) != struct.unpack_from("<I", raw, 0x3FC)[0]
    ):
        raise NotTrusted("the superblock does not match its checksum")
    if incompat & _JOURNAL_DEV:
        raise NotTrusted("an external journal")
    if not unclean:
        _check_state(raw, state, incompat, ro)
    else:
        incompat, ro = incompat & ~_RECOVER, ro & ~_ORPHANS
    for unknown, what in (
        (compat & ~_COMPAT_KNOWN, "compatible"),
        (incompat & ~_INCOMPAT_KNOWN, "incompatible"),
        (ro & ~_RO_KNOWN, "read-only"),
    ):
        if unknown:
            raise NotTrusted(f"{what} features {unknown:#x} are unknown here")
    if log_block > 6 or struct.unpack_from("<H", raw, 0x5A)[0] != 0:
        raise NotTrusted("the superblock makes no sense")
    block = 1024 << log_block
    bigalloc = bool(ro & _BIGALLOC)
    if log_cluster > 20 or (log_cluster < log_block if bigalloc else revision == 1 and log_cluster != log_block):
        raise NotTrusted("the superblock makes no sense: cluster size")
    cluster = 1024 << log_cluster if bigalloc else block
    if not bigalloc:
        clusters_per_group = per_group
    descriptor = 32
    if incompat & _64BIT:
        descriptor = struct.unpack_from("<H", raw, 0xFE)[0]
        blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32
        free |= struct.unpack_from("<I", raw, 0x158)[0] << 32
    inode_size = struct.unpack_from("<H", raw, 0x58)[0] if revision else 128
    backups = struct.unpack_from("<II", raw, 0x24C)
    fs = Super(
        name=_name(compat, incompat, ro),
        block=block,
        cluster=cluster,
        blocks=blocks,
        free=free,
        free_inodes=free_inodes,
        first_data_block=first_data_block,
        per_group=per_group,
        clusters_per_group=clusters_per_group,
        inodes_per_group=inodes_per_group,
        inode_size=inode_size,
        descriptor=descriptor,
        reserved_descriptors=struct.unpack_from("<H", raw, 0xCE)[0],
        first_meta_bg=struct.unpack_from("<I", raw, 0x104)[0],
        meta_bg=bool(incompat & _META_BG),
        flex=bool(incompat & _FLEX),
        sparse=bool(ro & _SPARSE),
        sparse2=(backups[0], backups[1]) if compat & _COMPAT_SPARSE2 else None,
        gdt_csum=bool(ro & _GDT_CSUM) and not metadata_csum,
        metadata_csum=metadata_csum,
        seed=struct.unpack_from("<I", raw, 0x270)[0] if incompat & _SEED else crc32c(0xFFFFFFFF, uuid),
        uuid=uuid,
        mmp_block=struct.unpack_from("<Q", raw, 0x168)[0] if incompat & _MMP else 0,
        geometry=Super.geometry_of(raw),
    )
    _check_geometry(fs, length)
    return fs


def _check_state(raw: bytes, state: int, incompat: int, ro: int) -> None:
    if incompat & _RECOVER or ro & _ORPHANS:
        raise NotTrusted("it was not unmounted cleanly: its journal has to be replayed")
    if state != 1:
        raise NotTrusted(f"it was not unmounted cleanly, or has errors (state {state})")
    if struct.unpack_from("<I", raw, 0xE8)[0]:
        raise NotTrusted("it has orphaned inodes to be cleaned up")


def _check_geometry(fs: Super, length: int) -> None:
    """Every number that a later step multiplies, divides by or seeks to."""
    sane = (
        fs.first_data_block in ((0, 1) if fs.block == 1024 else (0,)),
        (fs.first_data_block == 1) == (fs.block == 1024 and fs.cluster == 1024),
        fs.first_data_block < fs.blocks,
        fs.free <= fs.blocks,
        fs.per_group == fs.clusters_per_group * fs.ratio,
        0 < fs.clusters_per_group <= fs.block * 8,
        fs.clusters_per_group % 8 == 0,
        fs.per_group >= 256,
        fs.descriptor in (32, 64, 128, 256, 512, 1024),
        0 < fs.inodes_per_group <= fs.block * 8 and fs.inodes_per_group % 8 == 0,
        128 <= fs.inode_size <= fs.block and fs.inode_size & (fs.inode_size - 1) == 0,
        fs.reserved_descriptors <= fs.block // 4,
        fs.mmp_block < fs.blocks,
    )
    if not all(sane):
        raise NotTrusted("the superblock makes no sense")
    if fs.blocks * fs.block > length:
        raise NotTrusted(f"the file system is larger ({fs.blocks * fs.block} bytes) than the volume ({length})")
    if fs.meta_bg and fs.first_meta_bg > fs.descriptor_blocks:
        raise NotTrusted("the superblock makes no sense: first_meta_bg")


def _name(compat: int, incompat: int, ro: int) -> str:
    if incompat & (_EXTENTS | _64BIT | _FLEX | _MMP | _META_BG) or ro & (_GDT_CSUM | _BIGALLOC | _METADATA_CSUM | 0x8):
        return "ext4"
    return "ext3" if compat & _COMPAT_JOURNAL else "ext2"


def _is_power(value: int, base: int) -> bool:
    while value % base == 0:
        value //= base
    return value == 1
