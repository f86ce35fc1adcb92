"""The work on one piece: read, hash, and write what is not zeros; or read back and compare."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator, Sequence

from .buffer import Buffer
from .errors import SourceError, SpaceError, TargetError
from .job import Done, Job
from .journal import fingerprint
from .ranges import GRAIN, Piece, Range
from .storage import IO_SIZE, ZEROS, Reader, Storage
from .verify_pipeline import CHUNK, Check, Part, VerifyPipeline, parts_of, read_target
from .workers import RateLimiter

_ZERO_STEP = 64 * 1024
"""Bytes. Zeros are left as holes in pieces of this size: smaller ones make more extents than they save room."""


def steps(piece: Piece) -> Iterator[tuple[int, int]]:
    """(at, size) of every read in a piece."""
    for start, end in piece.ranges:
        while start < end:
            size = min(IO_SIZE, end - start)
            yield start, size
            start += size


def copier(job: Job, limiter: RateLimiter, pipeline: VerifyPipeline, *, dirty: bool) -> Callable[[Piece], None]:
    """A worker that copies. Where an earlier run synced the same bytes with the same hash, it only reads.

    What it wrote goes into the pipeline, to be read back. ``dirty``: the target may hold something else than zeros, so zeros
    have to be made, too.
    """
    source, target, journal, done = job.source, job.target, job.journal, job.done
    largest = IO_SIZE if job.options.rate else CHUNK

    def work(piece: Piece) -> None:
        before = journal.synced.get(piece.index) if journal else None
        if before and journal:
            if before[0] == fingerprint(piece) and before[1] == hash_source(
                source, pipeline, limiter, piece, job.source_name
            ):
                limiter.count(piece.bytes)
                done.hashes[piece.index] = before[1]
                done.kept.append(piece)
                return
            journal.forget(piece)
        digest = hashlib.sha256()
        chunks = parts_of(piece, largest=largest)
        for number, parts in enumerate(chunks, 1):
            buffer = pipeline.acquire()
            for part in parts:
                limiter.wait(part.size)
                with buffer.view[part.place :] as room:
                    read_source(source, room, part.at, part.size, job.source_name)
                    with room[: part.size] as data:
                        done.count(write_part(target, data, part.at, job.target_name, dirty=dirty))
                limiter.count(part.size)
            pipeline.put(buffer, piece, parts, hasher(piece, digest, last=number == len(chunks)))

    def hasher(piece: Piece, digest: hashlib._Hash, *, last: bool) -> Check:
        def hash_parts(buffer: Buffer, parts: Sequence[Part]) -> None:
            for part in parts:
                with buffer.view[part.place : part.place + part.size] as data:
                    digest.update(data)
            if last:
                value = digest.hexdigest()
                done.hashes[piece.index] = value
                done.unsynced.append((piece, value))

        return hash_parts

    return work


def hash_source(source: Reader, pipeline: VerifyPipeline, limiter: RateLimiter, piece: Piece, name: str) -> str:
    """The hash of what a source has in a piece. Raises SourceError."""
    digest = hashlib.sha256()
    buffer = pipeline.acquire()
    try:
        for at, size in steps(piece):
            limiter.wait(size)
            read_source(source, buffer.view, at, size, name)
            with buffer.view[:size] as part:
                digest.update(part)
    finally:
        pipeline.release(buffer)
    return digest.hexdigest()


def counter(source: Reader, limiter: RateLimiter, done: Done, name: str) -> Callable[[Piece], None]:
    """A worker that counts in ``done.written`` what a copy would write."""
    buffer = Buffer(IO_SIZE).view

    def work(piece: Piece) -> None:
        for at, size in steps(piece):
            limiter.wait(size)
            read_source(source, buffer, at, size, name)
            with buffer[:size] as part:
                steps_there = [low for low in range(0, size, _ZERO_STEP) if not _empty(part, low)]
            done.count(sum(min(_ZERO_STEP, size - low) for low in steps_there))
            limiter.count(size)

    return work


def checker(
    target: Storage, wanted: dict[int, str], limiter: RateLimiter, done: Done, name: str
) -> Callable[[Piece], None]:
    """A worker that reads pieces back from the storage and notes what differs."""
    buffer = Buffer(IO_SIZE).view

    def work(piece: Piece) -> None:
        digest = hashlib.sha256()
        for at, size in steps(piece):
            limiter.wait(size)
            read_target(target, buffer, at, size, name)
            with buffer[:size] as part:
                digest.update(part)
            limiter.count(size)
        if digest.hexdigest() != wanted[piece.index]:
            done.differing.append((piece.ranges[0][0], piece.ranges[-1][1]))

    return work


def check_zeros(target: Storage, between: list[Range]) -> list[Range]:
    """What is not zero although nothing was copied there. Holes are not read."""
    found: list[Range] = []
    with Buffer(IO_SIZE).view as buffer:
        for start, end in between:
            while start < end:
                size = min(IO_SIZE, end - start)
                target.read_into(buffer, start, size)
                with buffer[:size] as part:
                    if not ZEROS.startswith(part):
                        found.append((start, start + size))
                start += size
    return found


def _empty(part: memoryview, low: int) -> bool:
    with part[low : low + _ZERO_STEP] as bit:
        return ZEROS.startswith(bit)


def write_part(target: Storage, part: memoryview, at: int, name: str, *, dirty: bool) -> int:
    """Write what is not zeros; how many bytes that were. ``dirty``: the rest has to be made zeros.

    Raises SpaceError, TargetError.
    """
    try:
        return _write(target, part, at, dirty=dirty)
    except OSError as error:
        raise write_error(error, name, (at, at + len(part))) from None


def _write(target: Storage, part: memoryview, at: int, *, dirty: bool) -> int:
    size = len(part)
    written = 0
    begin = -1
    for low in range(0, size + 1, _ZERO_STEP):
        empty = low >= size or _empty(part, low)
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


def read_source(source: Reader, buffer: memoryview, at: int, size: int, name: str) -> None:
    """Fill a buffer from the source. Raises SourceError that names the blocks which cannot be read."""
    try:
        source.read_into(buffer, at, size)
    except OSError as error:
        bad = list(_unreadable(source, buffer, at, size)) or [(at, at + size)]
        spelled = ", ".join(f"{start}+{end - start}" for start, end in bad[:8])
        raise SourceError(
            f"cannot be read at byte {spelled}: {error.strerror}",
            where=name,
            ranges=bad,
            remedy="the disk is failing or gone: check dmesg; the copy is not complete",
        ) from None


def _unreadable(source: Reader, buffer: memoryview, at: int, size: int) -> Iterator[Range]:
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
        remedy="check whether the storage is available, then run this again: it resumes",
    )
