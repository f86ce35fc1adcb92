"""What a volume may be besides what it was taken for: signatures of file systems, RAID, LVM, encryption and partition tables.

Places and magics: util-linux' libblkid/src/superblocks and libblkid/src/partitions; md: Linux' include/uapi/linux/raid/md_p.h;
LVM: lib/label/label.h; LUKS2: its on-disk format, 2.1; ZFS: its on-disk format, 1.2 and 1.3. A volume of which only a part is to
be copied must have one signature and no other: what is behind a second one would be lost.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .filesystem import NotTrusted, Read
from .swap import PAGES, SIGNATURES

_SECTOR = 512
_HEAD, _TAIL = 264 << 10, 576 << 10
"""Bytes read at both ends: 256 KiB of a ZFS label and what follows; two of them, and an end that is rounded down to 64 KiB."""
_MD = (0xA92B4EFC).to_bytes(4, "little"), (0xA92B4EFC).to_bytes(4, "big")
_UBERBLOCK = (0x00BAB10C).to_bytes(8, "little"), (0x00BAB10C).to_bytes(8, "big")
_BLKID_TIMEOUT = 60.0
_TYPES = {"ext": ("ext2", "ext3", "ext4", "ext4dev")}
"""What blkid(8) calls a kind, where it has several words for it."""


@dataclass(frozen=True)
class _Magic:
    """``kind`` as blkid(8) calls it."""

    kind: str
    magics: tuple[bytes, ...]
    offsets: tuple[int, ...]


def _one(kind: str, magic: bytes | tuple[bytes, ...], *offsets: int) -> _Magic:
    return _Magic(kind, magic if isinstance(magic, tuple) else (magic,), offsets)


_AT_THE_BEGINNING = (
    _one("ext", b"\x53\xef", 1024 + 0x38),
    _one("xfs", b"XFSB", 0),
    _one("swap", SIGNATURES, *(page - 10 for page in PAGES)),
    _one("LVM2_member", b"LABELONE", *(number * _SECTOR for number in range(4))),
    _one("LVM1_member", b"HM\x01\x00", 0),
    _one("linux_raid_member", _MD, 0, 4096),
    _one("crypto_LUKS", (b"LUKS\xba\xbe", b"SKUL\xba\xbe"), 0, *(0x4000 << shift for shift in range(5))),
    _one("BitLocker", b"-FVE-FS-", 3),
    _one(
        "bcache",
        (bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")),
        4096 + 24,
    ),
    _one("stratis", b"!Stra0tis\x86\xff\x02^\x41rh", 512 + 4, 512 * 9 + 4),
    _one("vdo", b"dmvdo001", 0),
    _one("ceph_bluestore", b"bluestore block device", 0),
    _one("gpt", b"EFI PART", 512, 4096),
    _one("ntfs", b"NTFS    ", 3),
    _one("exfat", b"EXFAT   ", 3),
    _one("vfat", b"FAT12   ", 54),
    _one("vfat", b"FAT16   ", 54),
    _one("vfat", b"FAT32   ", 82),
    _one("squashfs", (b"hsqs", b"sqsh"), 0),
    _one("cramfs", (b"\x45\x3d\xcd\x28", b"\x28\xcd\x3d\x45"), 0),
    _one("erofs", b"\xe2\xe1\xf5\xe0", 1024),
    _one("f2fs", b"\x10\x20\xf5\xf2", 1024, 4096 + 1024),
    _one("nilfs2", b"\x02\x00\x00\x00\x00\x00\x34\x34", 1024),
    _one("hfs", (b"BD", b"H+\x00\x04", b"HX\x00\x05"), 1024),
    _one("apfs", b"NXSB", 32),
    _one("ReFS", b"\x00\x00\x00ReFS\x00", 0),
    _one("jfs", b"JFS1", 32 << 10),
    _one("reiserfs", (b"ReIsEr",), (8 << 10) + 52, (64 << 10) + 52),
    _one("reiser4", b"ReIsEr4", 64 << 10),
    _one("btrfs", b"_BHRfS_M", (64 << 10) + 64),
    _one("gfs2", b"\x01\x16\x19\x70", 64 << 10),
    _one("ocfs2", (b"OCFSV2", b"OCFS2", b"OracleCFS"), *(1024 << shift for shift in range(4))),
    _one("ufs", (b"\x54\x19\x01\x00", b"\x00\x01\x19\x54"), *((place << 10) + 1372 for place in (0, 8, 64, 256))),
    _one("ufs2", (b"\x19\x01\x54\x19", b"\x19\x54\x01\x19"), *((place << 10) + 1372 for place in (0, 8, 64))),
    _one("iso9660", (b"CD001", b"NSR02", b"NSR03", b"BEA01"), (32 << 10) + 1, (34 << 10) + 1, (36 << 10) + 1),
    _one("VMFS", b"\x0d\xd0\x01\xc0", 1 << 17),
    _one("oracleasm", b"ORCLDISK", 32),
    _one("zfs_member", _UBERBLOCK, *range(128 << 10, 256 << 10, 1024)),
)


def only(read: Read, length: int, kind: str) -> None:
    """Raise NotTrusted unless ``kind`` is all that the volume is signed as. ``kind`` as blkid calls it, ``ext`` for all of these.

    Raises OSError from ``read``.
    """
    other = next((found for found in _found(read, length) if found != kind), None)
    if other:
        raise NotTrusted(f"it is {other} as well as {kind}: one of the two is out of date")


def _found(read: Read, length: int) -> Iterator[str]:
    head = read(0, min(length, _HEAD))
    for magic in _AT_THE_BEGINNING:
        if any(head.startswith(magic.magics, at) for at in magic.offsets):
            yield magic.kind
    if _has_partitions(head, length):
        yield "dos"
    start = max(0, length - _TAIL) // 4096 * 4096
    tail = read(start, length - start)

    def at(place: int) -> Callable[[tuple[bytes, ...]], bool]:
        return lambda magics: place >= start and tail.startswith(magics, place - start)

    # 0.90, 1.0 (md_p.h); a volume whose size is no multiple of a sector has its end at the last whole one
    if any(at(place)(_MD) for place in (length // 65536 * 65536 - 65536, (length // _SECTOR - 16 & ~7) * _SECTOR)):
        yield "linux_raid_member"
    whole = length // _SECTOR * _SECTOR
    if any(at(length // sector * sector - sector)((b"EFI PART",)) for sector in (512, 4096)):
        yield "gpt"
    if at(whole - 1024)((b"Intel Raid ISM Cfg Sig. ",)):
        yield "isw_raid_member"
    if any(at(place)((b"\xde\x11\xde\x11", b"\x11\xde\x11\xde")) for place in (whole - 512, whole - 257 * 512)):
        yield "ddf_raid_member"
    if length > 4096 and at(length // 4096 * 4096 - 4096 + 60)(tuple(bytes.fromhex(word) for word in _DRBD)):
        yield "drbd"
    labels = length // (256 << 10) * (256 << 10)
    places = (
        label + place
        for label in (labels - (512 << 10), labels - (256 << 10))
        for place in range(128 << 10, 256 << 10, 1024)
    )
    if any(at(place)(_UBERBLOCK) for place in places):
        yield "zfs_member"


_DRBD = ("8374026b", "8374026c", "8374026d")
"""At the 60th byte of the last 4 KiB (libblkid's drbd.c): metadata of DRBD 8 and 9, big-endian."""


def _has_partitions(head: bytes, length: int) -> bool:
    """Whether the first sector is a partition table: as libblkid's dos.c, an entry must make sense. Boot code alone is none."""
    if head[510:512] != b"\x55\xaa":
        return False
    entries = [struct.unpack_from("<B3xB3xII", head, 446 + 16 * number) for number in range(4)]
    if any(boot not in (0, 0x80) for boot, *_ in entries):
        return False
    sectors = -(-length // _SECTOR)
    return any(kind and count and start and start < sectors for _, kind, start, count in entries)


def has_partitions(read: Read, length: int) -> bool:
    """Whether it begins with a partition table. Raises OSError from ``read``."""
    head = read(0, min(length, 8192))
    return _has_partitions(head, length) or any(head.startswith(b"EFI PART", sector) for sector in (512, 4096))


def agrees(path: str, kind: str) -> None:
    """Raise NotTrusted unless blkid(8), where there is one, says that what is at ``path`` is ``kind`` and nothing else.
    It knows more signatures than stand here."""
    words = ["blkid", "-p", "-o", "export", path]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_BLKID_TIMEOUT,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotTrusted(f"blkid does not say whether it is only {kind}: {error}") from None
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    # a boot sector without partitions is a table to blkid, and nothing that a file system would lose: see ``only``
    table = "" if kind != "swap" and said.get("PTTYPE") == "dos" else said.get("PTTYPE")
    if done.returncode or said.get("TYPE") not in _TYPES.get(kind, (kind,)) or table:
        found = (
            said.get("PTTYPE") or said.get("TYPE") or ("several things" if done.returncode == 8 else "nothing it knows")
        )
        raise NotTrusted(f"blkid does not say that it is only {kind}, but {found}")
