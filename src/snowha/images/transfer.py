"""The work on one piece: read, hash, and write what is not zeros; or read back and compare."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .errors import SourceError, SpaceError, TargetError, VerifyError
from .journal import fingerprint
from .ranges import GRAIN, Piece, Range
from .storage import IO_SIZE, ZEROS, Reader, Storage
from .workers import Pace

_ZERO_STEP = 64 * 1024
"""Bytes. Zeros are left as holes in pieces of this size: smaller ones make more extents than they save room."""


@dataclass
class Done:
    """What workers report; appended to under the GIL, read by the main thread."""

    hashes: dict[int, str] = field(default_factory=dict)
    unsynced: list[tuple[Piece, str]] = field(default_factory=list)
    differing: list[Range] = field(default_factory=list)
    written: int = 0


def steps(piece: Piece) -> Iterator[tuple[int, int]]:
    """(at, size) of every read in a piece."""
    for start, end in piece.ranges:
        while start < end:
            size = min(IO_SIZE, end - start)
            yield start, size
            start += size


def copier(
    source: Reader,
    target: Storage,
    synced: dict[int, tuple[str, str]],
    pace: Pace,
    done: Done,
    *,
    dirty: bool,
    names: tuple[str, str],
) -> Callable[[Piece], None]:
    """A worker that copies. Where an earlier run synced the same bytes with the same hash, it only reads.

    ``dirty``: the target may hold something else than zeros, so zeros have to be made, too.
    """
    buffer = mmap.mmap(-1, IO_SIZE)

    def work(piece: Piece) -> None:
        before = synced.get(piece.index)
        if before and before[0] == fingerprint(piece):
            digest = hashlib.sha256()
            for at, size in steps(piece):
                pace.take(size)
                _read(source, buffer, at, size, names[0])
                with memoryview(buffer) as view, view[:size] as part:
                    digest.update(part)
            if digest.hexdigest() == before[1]:
                pace.count(piece.bytes)
                done.hashes[piece.index] = before[1]
                return
        digest = hashlib.sha256()
        for at, size in steps(piece):
            pace.take(size)
            _read(source, buffer, at, size, names[0])
            with memoryview(buffer) as view, view[:size] as part:
                digest.update(part)
                try:
                    done.written += _write(target, part, at, dirty=dirty)
                except OSError as error:
                    raise write_error(error, names[1], (at, at + size)) from None
            pace.count(size)
        value = digest.hexdigest()
        done.hashes[piece.index] = value
        done.unsynced.append((piece, value))

    return work


def checker(target: Reader, wanted: dict[int, str], pace: Pace, done: Done, name: str) -> Callable[[Piece], None]:
    """A worker that reads pieces back from the storage and notes what differs."""
    buffer = mmap.mmap(-1, IO_SIZE)

    def work(piece: Piece) -> None:
        digest = hashlib.sha256()
        for at, size in steps(piece):
            pace.take(size)
            try:
                target.read_into(buffer, at, size)
            except OSError as error:
                raise VerifyError(
                    f"{at}+{size} cannot be read back: {error.strerror}",
                    where=name,
                    ranges=[(at, at + size)],
                    remedy="the storage is not to be trusted with this image: look at its logs",
                ) from None
            with memoryview(buffer) as view, view[:size] as part:
                digest.update(part)
            pace.count(size)
        if digest.hexdigest() != wanted[piece.index]:
            done.differing.append((piece.ranges[0][0], piece.ranges[-1][1]))

    return work


def check_zeros(target: Storage, between: list[Range]) -> list[Range]:
    """What is not zero although nothing was copied there. Holes are not read."""
    found: list[Range] = []
    with contextlib.closing(mmap.mmap(-1, IO_SIZE)) as buffer:
        for start, end in between:
            while start < end:
                size = min(IO_SIZE, end - start)
                target.read_into(buffer, start, size)
                with memoryview(buffer) as view, view[:size] as part:
                    if not ZEROS.startswith(part):
                        found.append((start, start + size))
                start += size
    return found


def _write(target: Storage, part: memoryview, at: int, *, dirty: bool) -> int:
    """Write what is not zeros; how many bytes that were."""
    size = len(part)
    if ZEROS.startswith(part):
        if dirty:
            target.clear(at, size)
        return 0
    written = 0
    begin = -1
    for low in range(0, size + 1, _ZERO_STEP):
        with part[low : low + _ZERO_STEP] as bit:
            empty = low >= size or ZEROS.startswith(bit)
        if empty and begin >= 0:
            with part[begin : min(low, size)] as run:
                target.write_from(run, at + begin)
                written += len(run)
            begin = -1
        elif not empty and begin < 0:
            begin = low
        if empty and dirty and low < size:
            target.clear(at + low, min(_ZERO_STEP, size - low))
    if begin >= 0:
        with part[begin:] as run:
            target.write_from(run, at + begin)
            written += len(run)
    return written


def _read(source: Reader, buffer: mmap.mmap, at: int, size: int, name: str) -> None:
    try:
        source.read_into(buffer, at, size)
    except OSError as error:
        bad = list(_unreadable(source, buffer, at, size)) or [(at, at + size)]
        spelled = ", ".join(f"{start}+{end - start}" for start, end in bad[:8])
        raise SourceError(
            f"cannot be read at byte {spelled}: {error.strerror}",
            where=name,
            ranges=bad,
            remedy="the disk under it is failing or gone: look at dmesg; nothing was called done",
        ) from None


def _unreadable(source: Reader, buffer: mmap.mmap, at: int, size: int) -> Iterator[Range]:
    """The exact 4 KiB blocks, neighbours joined."""
    start = -1
    for low in range(at, at + size, GRAIN):
        try:
            source.read_into(buffer, low, min(GRAIN, at + size - low))
        except OSError:
            start = low if start < 0 else start
            continue
        if start >= 0:
            yield start, low
            start = -1
    if start >= 0:
        yield start, at + size


def write_error(error: OSError, name: str, where: Range) -> TargetError | SpaceError:
    """ENOSPC and EDQUOT are about room, all else about the target."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpaceError(
            f"no room left: {error.strerror}", where=name, ranges=[where], remedy="free some space, or raise the quota"
        )
    return TargetError(
        f"cannot be written at byte {where[0]}: {error.strerror}",
        where=name,
        ranges=[where],
        remedy="look whether the storage is there, then run this again: it goes on where it was",
    )
