"""What stands on a domain's disk, read from outside, against what its service acknowledged.

The form of a record is that of ``guest/records.c``: 64 bytes at offset (NUMBER - 1) * 64,
``NUMBER(10 digits) NONCE(16 hex) BOOT(16 hex) UNIXTIME_MS(11 hex) CHECKSUM(6 hex)`` and a newline.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RECORDS_FILE = "/var/lib/lab/records"
STALE_FILE = "/var/lib/lab/stale"
RECORD_BYTES = 64
RECORDS_BYTES = 4 << 20
STALE_BYTES = 4 << 20

_BODY = 57
_EMPTY = bytes(RECORD_BYTES)
_RECORD = re.compile(rb"(\d{10}) ([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{11}) ([0-9a-f]{6})\n")


@dataclass(frozen=True)
class Record:
    """One valid record. ``time_ms``: milliseconds since 1970, by the domain's clock."""

    number: int
    nonce: str
    boot: str
    time_ms: int


@dataclass(frozen=True)
class Problem:
    """Something in the file that a service working alone on a sound disk does not leave behind.

    ``torn``: not a record and not empty; the last slot may be torn by a crash in the middle of an append, which was
    then acknowledged to nobody. ``misplaced``: a whole record in another number's slot. ``hole``: an empty slot before
    a record. ``duplicate``: a nonce that stands in two slots. ``interleaved``: a boot that goes on after a later one
    began: the domain ran in two places at once. ``missing``: there is no file to read.
    """

    kind: Literal["torn", "misplaced", "hole", "duplicate", "interleaved", "missing"]
    number: int
    """The slot, counted from 1; 0 for the whole file."""
    detail: str


@dataclass(frozen=True)
class Found:
    """What a records file holds."""

    records: dict[int, Record]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Lost:
    """An acknowledged number whose nonce is not what stands on the disk. ``found``: what does, or None."""

    number: int
    nonce: str
    found: str | None


def parse_record(slot: bytes) -> Record | None:
    """The record in these 64 bytes; None if they are not one or the checksum does not fit."""
    match = _RECORD.fullmatch(slot)
    if not match or int(match[5], 16) != zlib.crc32(slot[:_BODY]) & 0xFFFFFF:
        return None
    return Record(int(match[1]), match[2].decode(), match[3].decode(), int(match[4], 16))


def read_records(data: bytes) -> Found:
    """Every valid record of a records file, and everything in it that should not be there."""
    if not data:
        return Found({}, (Problem("missing", 0, f"{RECORDS_FILE} is empty or could not be read"),))
    slots = -(-len(data) // RECORD_BYTES)
    records: dict[int, Record] = {}
    problems: list[Problem] = []
    empty: list[int] = []
    for number in range(1, slots + 1):
        slot = data[(number - 1) * RECORD_BYTES : number * RECORD_BYTES]
        if slot == _EMPTY[: len(slot)]:
            empty.append(number)
            continue
        record = parse_record(slot)
        if record is None:
            problems.append(Problem("torn", number, repr(slot)))
        elif record.number != number:
            problems.append(Problem("misplaced", number, f"holds record {record.number}"))
        else:
            records[number] = record
    last = max(records, default=0)
    problems += [Problem("hole", number, "empty before later records") for number in empty if number < last]
    problems += _duplicates(records) + _interleaved(records)
    return Found(records, tuple(sorted(problems, key=lambda problem: problem.number)))


def compare(acknowledged: Mapping[int, str], found: Mapping[int, Record]) -> list[Lost]:
    """The acknowledged records that are not on the disk: an empty list is the proof that nothing was lost."""
    lost = []
    for number, nonce in sorted(acknowledged.items()):
        stands = found.get(number)
        if stands is None or stands.nonce != nonce:
            lost.append(Lost(number, nonce, stands.nonce if stands else None))
    return lost


def dump_argv(image: str) -> list[str]:
    """The command that writes the records file of an ext4 image or block device to its standard output.

    debugfs(8) opens the file system read-only unless it gets ``-w``, so the domain may be running. ``-D`` reads past
    this server's page cache, which may hold what the image was before another server wrote to it. debugfs leaves with
    0 even if there is no such file: an empty output is then a problem that ``read_records`` reports.
    Raises ValueError unless ``image`` is an absolute path (debugfs could take it for an option).
    """
    if not image.startswith("/"):
        raise ValueError(f"not an absolute path: {image!r}")
    return ["debugfs", "-D", "-R", f"cat {RECORDS_FILE}", image]


def _duplicates(records: Mapping[int, Record]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for number, record in sorted(records.items()):
        if record.nonce in first:
            problems.append(Problem("duplicate", number, f"nonce {record.nonce} also stands in {first[record.nonce]}"))
        first.setdefault(record.nonce, number)
    return problems


def _interleaved(records: Mapping[int, Record]) -> list[Problem]:
    over: set[str] = set()
    boot = ""
    problems = []
    for number, record in sorted(records.items()):
        if record.boot != boot:
            over.add(boot)
            boot = record.boot
            if boot in over:
                problems.append(Problem("interleaved", number, f"boot {boot} goes on after a later one began"))
    return problems
