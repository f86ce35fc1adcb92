"""Windows of an image made those of its source again: what changed is written, and all of a window is read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .buffer import Buffer
from .delta import Delta
from .events import Progress, Report
from .job import Options
from .journal import fingerprint
from .ranges import Piece, Range, intersect, total
from .storage import IO_SIZE, Storage
from .transfer import hash_source, read_source, write_error, write_part
from .verify_pipeline import CHUNK, Part, VerifyPipeline, parts_of
from .workers import RateLimiter, run

Windows = Mapping[int, tuple[str, str]]
"""What an image was seen to hold: which bytes of a window (their fingerprint), and their hash, by window."""


@dataclass(frozen=True)
class VerifiedWindows:
    """What the image of ``base`` was seen to hold when it was last changed, at ``stamp`` (ns): these windows, and zeros where
    nothing was ever copied."""

    base: str = ""
    stamp: int = 0
    windows: Windows = field(default_factory=dict)
    written: tuple[Range, ...] = ()
    """Bytes that were copied ahead. They belong to the image's ranges, also where no window was proven."""


NOTHING_PROVEN = VerifiedWindows()


@dataclass
class WindowResult:
    """``hashes`` by window. Workers add to these under the GIL."""

    hashes: dict[int, str] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    """Bytes of windows that were not written, since the image had them already."""
    differing: list[Range] = field(default_factory=list)
    """Windows of which the storage gave back something else than what was read from the source."""

    def proven(self, pieces: tuple[Piece, ...]) -> Windows:
        wrong = set(self.differing)
        return {
            piece.index: (fingerprint(piece), self.hashes[piece.index])
            for piece in pieces
            if (piece.ranges[0][0], piece.ranges[-1][1]) not in wrong
        }


def copy_windows(
    source: Storage,
    source_path: str,
    target: Storage,
    target_path: str,
    delta: Delta,
    report: Report,
    options: Options,
    *,
    known: Windows,
) -> WindowResult:
    """Copy, hash and read back. A window whose bytes in the source have the hash in ``known`` is only read: the image has them.

    Returns when the target was synced. Raises SourceError, SpaceError, TargetError; that the image differs is for the caller
    to judge.
    """
    reader = options.wrap(source)
    limiter, done = RateLimiter(options.rate), WindowResult()
    progress = Progress(report, "copy", sum(piece.bytes for piece in delta.pieces))
    pipeline = VerifyPipeline(target, target_path, limiter.wait)
    largest = IO_SIZE if options.rate else CHUNK

    def read(buffer: Buffer, parts: Sequence[Part], digest: hashlib._Hash) -> None:
        for part in parts:
            limiter.wait(part.size)
            with buffer.view[part.place :] as room:
                read_source(reader, room, part.at, part.size, source_path)
                with room[: part.size] as data:
                    digest.update(data)
            limiter.count(part.size)

    def write(buffer: Buffer, parts: Sequence[Part], changed: Sequence[Range]) -> None:
        for part in parts:
            for start, end in intersect([(part.at, part.at + part.size)], changed):
                with buffer.view[part.place + start - part.at : part.place + end - part.at] as data:
                    write_part(target, data, start, target_path, dirty=True)

    def work(piece: Piece) -> None:
        changed = intersect(piece.ranges, delta.write)
        chunks = parts_of(piece, largest=largest)
        had = known.get(piece.index)
        wanted = had[1] if had and had[0] == fingerprint(piece) else None
        if wanted and len(chunks) > 1 and hash_source(reader, pipeline, limiter, piece, source_path) == wanted:
            keep(piece, wanted, changed)
            limiter.count(piece.bytes)
            return
        digest = hashlib.sha256()
        for parts in chunks:
            buffer = pipeline.acquire()
            read(buffer, parts, digest)
            if len(chunks) == 1 and digest.hexdigest() == wanted:
                pipeline.release(buffer)
                keep(piece, wanted, changed)
                return
            write(buffer, parts, changed)
            pipeline.put(buffer, piece, parts)
        done.hashes[piece.index] = digest.hexdigest()

    def keep(piece: Piece, digest: str, changed: Sequence[Range]) -> None:
        done.hashes[piece.index] = digest
        done.kept.append(total(changed))

    try:
        with pipeline:
            run(
                delta.pieces,
                lambda: work,
                limiter,
                lambda: progress.at(limiter.done),
                threads=options.threads,
                last=pipeline.drain,
            )
        target.sync()
    except OSError as error:
        raise write_error(error, target_path, (0, target.length)) from None
    progress.at(limiter.done, force=True)
    done.differing += pipeline.differing
    return done
