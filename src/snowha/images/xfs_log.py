"""Whether the log of an XFS is empty: nothing else says that it was unmounted.

As fs/xfs/xfs_log_recover.c finds out: each 512 bytes of the log begin with the number of the cycle in which they were written.
The log is empty if the last record before the place where the numbers change says "unmounted".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .filesystem import NotTrusted, Read
from .xfs_superblock import Super

_SECTOR = 512
_MAGIC = 0xFEEDBABE
_STEP = 1 << 20
_HEADER_ROOM = 32 * 1024
_LONGEST = (256 * 1024 + 8 * _SECTOR) // _SECTOR + 1
"""Sectors of the largest record with its headers."""
_UNMOUNT = 0x20


def check_clean(read: Read, fs: Super) -> None:
    """Raises NotTrusted unless nothing is left to be replayed; OSError from ``read``."""
    sectors = fs.log_bytes // _SECTOR
    head = _head(read, fs, sectors)
    for back in range(1, min(sectors, _LONGEST) + 1):
        at = (head - back) % sectors
        raw = _sector(read, fs, at)
        if struct.unpack(">I", raw[:4])[0] == _MAGIC:
            return _check_unmounted(read, fs, raw, at, head)
    raise NotTrusted("its log has no last record")


def _sector(read: Read, fs: Super, index: int) -> bytes:
    return read(fs.log_at + index * _SECTOR, _SECTOR)


def _head(read: Read, fs: Super, sectors: int) -> int:
    """The sector that would be written next. The cycle's number must change there and nowhere else, and by one, unless the rest
    was never written."""
    head, first, last = 0, -1, -1
    for index, cycle in enumerate(_cycles(read, fs, sectors)):
        if first < 0:
            first = last = cycle
        if cycle == last:
            continue
        if head or cycle not in (first - 1, 0):
            raise NotTrusted("its log was not written from one end to the other: it was not unmounted")
        head, last = index, cycle
    if first <= 0:
        raise NotTrusted("its log was never written")
    return head


def _cycles(read: Read, fs: Super, sectors: int) -> Iterator[int]:
    """Of each sector. The header of a record has it behind its magic number."""
    size = sectors * _SECTOR
    for at in range(0, size, _STEP):
        words = memoryview(read(fs.log_at + at, min(_STEP, size - at))).cast("I")
        count = len(words) * 4 // _SECTOR
        first, second = (struct.unpack(f">{count}I", words[start :: _SECTOR // 4].tobytes()) for start in (0, 1))
        for word, behind in zip(first, second):  # noqa: B905 strict= came with Python 3.10
            yield behind if word == _MAGIC else word


def _check_unmounted(read: Read, fs: Super, raw: bytes, at: int, head: int) -> None:
    """The record at ``at`` (struct xlog_rec_header) must be the log's last, and hold one operation: unmount."""
    sectors = fs.log_bytes // _SECTOR
    cycle, version, size, lsn = struct.unpack(">3IQ", raw[4:24])
    (operations,) = struct.unpack(">I", raw[40:44])
    (room,) = struct.unpack(">I", raw[320:324])
    if raw[304:320] != fs.uuid or lsn != cycle << 32 | at:
        raise NotTrusted("the last record of its log is another one's")
    headers = max(1, -(-room // _HEADER_ROOM)) if version & 2 else 1
    after = at + headers + -(-size // _SECTOR)
    if size <= 0 or size > _LONGEST * _SECTOR or after % sectors != head:
        raise NotTrusted("its log ends in the middle of a record: it was not unmounted")
    flags = _sector(read, fs, (at + headers) % sectors)[9]
    if operations != 1 or not flags & _UNMOUNT:
        raise NotTrusted("its log was not replayed: it was not unmounted")
