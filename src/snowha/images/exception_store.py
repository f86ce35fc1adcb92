"""Which bytes of a volume were written since a snapshot of it was made, from the snapshot's own records.

dm-snapshot's persistent exception store (Linux' drivers/md/dm-snap-persistent.c), little-endian. Chunk 0 of the store begins
with magic, valid, version and the size of a chunk in sectors (4 × 32 bits). Behind it come areas, each a chunk of
records and the chunks that these are about: area i is chunk 1 + i · (records + 1), a record is old and new chunk
(2 × 64 bits), and a new chunk of 0 ends them. The kernel writes a record before it lets the write to the origin through, so a
quiet store names every chunk that was written. A chunk of the snapshot itself that was written is named in the same way.

An overflowed snapshot no longer has these records, so it is not a delta, and neither is anything that does not add up.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .ranges import GRAIN, Range, merge

Read = Callable[[int, int], bytes]
"""``read(at, size)`` gives exactly ``size`` bytes, or raises OSError."""

_MAGIC, _VERSION, _SECTOR = 0x70416E53, 1, 512
_LARGEST_CHUNK = 1 << 20
MOST_UNITS = 1 << 27
"""Bits to mark chunks with: 16 MiB of memory. On larger volumes a bit stands for several chunks, and more is copied."""


class NoDelta(Exception):
    """The store does not say what was written, for this reason."""


@dataclass(frozen=True)
class Changes:
    """``ranges`` of the origin, in bytes, that were written since the snapshot was made (or in the snapshot itself)."""

    chunk: int
    """Bytes."""
    chunks: int
    ranges: tuple[Range, ...]


def changes(read: Read, length: int, origin: int) -> Changes:
    """What a store of ``length`` bytes says of a volume of ``origin`` bytes. Only of a quiet one: see above.

    Raises NoDelta, with the reason, if it cannot be relied on; OSError from ``read``.
    """
    chunk = _header(read, length)
    records, last = chunk // 16, -(-origin // chunk)
    unit = 1
    while last > unit * MOST_UNITS:
        unit *= 2
    old_marks = bytearray(-(-last // unit) // 8 + 1)
    new_marks = bytearray(min(length // chunk, MOST_UNITS) // 8 + 1)
    count = 0
    for old, new in _records(read, chunk, length):
        if old >= last:
            raise NoDelta(f"chunk {old} lies outside the volume, which has {last}")
        if new < 2 or (new - 1) % (records + 1) == 0 or (new + 1) * chunk > length:
            raise NoDelta(f"chunk {old} is said to be kept at {new}, where no chunk can be")
        twice = _mark(old_marks, old // unit) and unit == 1
        if twice or (new < MOST_UNITS and _mark(new_marks, new)):
            raise NoDelta(f"chunk {old}, kept at {new}, appears twice")
        count += 1
    spans = ((start * unit * chunk, min(origin, end * unit * chunk)) for start, end in _marked(old_marks))
    return Changes(chunk, count, tuple(merge(spans)))


def _header(read: Read, length: int) -> int:
    if length < 2 * GRAIN:
        raise NoDelta("too small for a snapshot's store")
    magic, valid, version, sectors = struct.unpack("<4I", read(0, 16))
    if magic != _MAGIC:
        raise NoDelta("not a persistent snapshot store")
    if not valid:
        raise NoDelta("the snapshot is invalid: it overflowed, or its disk failed")
    if valid != 1 or version != _VERSION:
        raise NoDelta(f"a store of another kind (valid {valid}, version {version})")
    chunk: int = sectors * _SECTOR
    if not GRAIN <= chunk <= _LARGEST_CHUNK or chunk & (chunk - 1):
        raise NoDelta(f"chunks of {sectors} sectors make no sense here")
    return chunk


def _records(read: Read, chunk: int, length: int) -> Iterator[tuple[int, int]]:
    """(old, new) of every record, area after area, up to the first that is none."""
    at, step = chunk, (chunk // 16 + 1) * chunk
    while True:
        if at + chunk > length:
            raise NoDelta("its records run past its end: the snapshot is full")
        for old, new in struct.iter_unpack("<QQ", read(at, chunk)):
            if not new:
                return
            yield old, new
        at += step


def _mark(marks: bytearray, index: int) -> bool:
    """Whether it was marked before."""
    byte, bit = index >> 3, 1 << (index & 7)
    before = bool(marks[byte] & bit)
    marks[byte] |= bit
    return before


def _marked(marks: bytearray) -> Iterator[Range]:
    """Runs of marked indexes."""
    for run in re.finditer(rb"[^\x00]+", marks):
        bits = format(int.from_bytes(run[0], "little"), f"0{len(run[0]) * 8}b")[::-1]
        for found in re.finditer("1+", bits):
            yield run.start() * 8 + found.start(), run.start() * 8 + found.end()
