"""An image of a snapshot brought up to the state of its origin: only what changed is copied.

This is the short part of a warm copy, done while the domain is down:

1. What was written since the snapshot was made is known from its exception store (``cow``). Those chunks are copied from
   the origin. If the journal was replayed on the snapshot before the survey, the replay's own writes are in the store as well,
   so what it made is overwritten again by what the origin has there: the image never keeps a state that was not the domain's.
2. That alone would lose data. A file system in use writes the blocks of a new file first, and says in its journal and
   bitmaps later that they are used. Blocks written before the snapshot but called used only after it are neither among those
   that the snapshot's bitmaps named, nor among those written since, however the journal was replayed. So the origin, unmounted
   now, is surveyed again, and whatever it uses that is in neither is copied, too.

Afterwards image and origin are the same in everything that the origin uses now. What the bitmaps said when the snapshot was
surveyed decides only how much is left to do here, never whether it is right.

A window in which something changed is read from the origin as a whole, since its hash is over all of it; only what changed is
written; and all of it is read back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import cow
from . import manifest as manifests
from .belt import CHUNK, Belt, parts_of
from .check import Entries, not_zero, raise_on_difference, root_hash
from .errors import SourceError, TargetError, UsageError
from .events import Progress, Report
from .job import DEFAULTS, Options
from .journal import Journal, is_about
from .manifest import Manifest
from .ranges import Piece, Range, aligned, bounded, cut, intersect, merge, total, without
from .storage import IO_SIZE, Storage, open_source, open_target
from .survey import seal, survey
from .transfer import read_source, write_error, write_part
from .used import MOST_RANGES
from .workers import Pace, run


@dataclass(frozen=True)
class Delta:
    """What is to be done."""

    write: tuple[Range, ...]
    """Bytes to be copied."""
    pieces: tuple[Piece, ...]
    """Windows to be read, hashed anew and read back: all in which something is written."""
    chunks: int
    """How many chunks the snapshot's store named."""
    missed: int
    """Bytes that the origin uses, and that were neither copied from the snapshot nor written since."""


def freshen(
    source_path: str,
    store_path: str,
    target_path: str,
    report: Report,
    options: Options = DEFAULTS,
    *,
    base: str,
    point: str = "",
    last: bool = True,
    most: int | None = None,
) -> dict[str, Any]:
    """Bring the image of snapshot ``base`` to the state of ``source_path``; the ``done`` event.

    ``store_path`` is the snapshot's exception store (its ``-cow`` device). ``last``: the source is the origin, and quiet.
    Else it is a later snapshot, named ``point``, and a last round has to follow. ``most``: if more bytes than that had to be
    read, nothing is touched.

    While it is under way, and after it was killed, the image is under its ``.partial`` name; the same call then goes on.
    Raises ImageError of the class that is the exit code: SourceError if the store is no delta, UsageError if the image is
    not one of ``base``.
    """
    began = time.monotonic()
    saved = options.manifest or manifests.path_for(target_path)
    record = manifests.read(saved)
    if record.point == point and _end_killed(target_path, record, base):
        return _done_event(source_path, target_path, saved, record, None, began)
    if record.point != base:
        raise UsageError(
            f"it is an image of {record.point or 'no snapshot'}, not of {base}",
            where=saved,
            remedy="copy the snapshot first",
        )
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(source_path))
        if source.length != record.length:
            raise SourceError(
                f"{source.length} bytes long, its snapshot was {record.length}",
                where=source_path,
                remedy="copy it again: it was resized",
            )
        before = _sealed(source, source_path)
        delta = _delta(source, store_path, record, last=last)
        report(_plan_event(source_path, target_path, record, delta))
        reading = sum(piece.bytes for piece in delta.pieces)
        if most is not None and reading > most:
            raise SourceError(
                f"{reading} bytes are to be read, more than the {most} allowed",
                where=source_path,
                remedy="take another snapshot first, or allow more",
            )
        journal = stack.enter_context(contextlib.closing(_take(target_path, record, base)))
        target = stack.enter_context(open_target(f"{target_path}.partial", create=True))
        hashes = _bring(source, source_path, target, target_path, record, delta, report, options)
        if _sealed(source, source_path) != before:
            raise SourceError(
                "it was written while it was copied",
                where=source_path,
                remedy="shut its domain down, and run this again",
            )
        entries = _merged(record.entries, delta.pieces, hashes)
        raise_on_difference(not_zero(target, target_path, entries, record.length), target_path)
        stamp = time.time_ns() // 10**9 * 10**9
        target.settle(stamp)
        target.sync()
        after = replace(
            record,
            entries=entries,
            source=source_path,
            finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            image_mtime_ns=stamp,
            point=point,
        )
        try:
            manifests.write(saved, after)
            Path(target.path).replace(target_path)
            manifests.sync_folder(target_path)
        except OSError as error:
            raise write_error(error, target_path, (0, record.length)) from None
        journal.remove()
    return _done_event(source_path, target_path, saved, after, delta, began)


def _done_event(
    source_path: str, target_path: str, saved: str, record: Manifest, delta: Delta | None, began: float
) -> dict[str, Any]:
    """``delta`` is None if an earlier run had done everything but the rename."""
    return {
        "event": "done",
        "source": source_path,
        "target": target_path,
        "bytes": record.length,
        "copied": total(delta.write) if delta else 0,
        "missed": delta.missed if delta else 0,
        "chunks": delta.chunks if delta else 0,
        "method": record.method,
        "reason": record.reason,
        "verified": True,
        "hash": root_hash(record),
        "manifest": saved,
        "seconds": round(time.monotonic() - began, 3),
    }


def preview(source_path: str, store_path: str, target_path: str, options: Options = DEFAULTS) -> dict[str, Any]:
    """What ``freshen`` would do now, while the domain runs: the ``plan`` event. What is used only later is not in it."""
    record = manifests.read(options.manifest or manifests.path_for(target_path))
    with Storage(source_path) as source:
        return _plan_event(source_path, target_path, record, _delta(source, store_path, record, last=False))


def _delta(source: Storage, store_path: str, record: Manifest, *, last: bool) -> Delta:
    try:
        with Storage(store_path) as store:
            found = cow.changes(store.read_bytes, store.length, record.length)
    except cow.NoDelta as reason:
        raise SourceError(
            f"it does not say what was written since the snapshot was made: {reason}",
            where=store_path,
            remedy="remove the snapshot and begin again with a new one, larger if it overflowed",
        ) from None
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=store_path, remedy="name the snapshot's -cow device"
        ) from None
    had = merge(span for piece, _ in record.entries for span in piece.ranges)
    write = bounded(aligned(found.ranges, record.length), MOST_RANGES)
    missed: list[Range] = []
    if record.kind == "swap":
        write = []  # what was swapped out is worth nothing once the domain is off
    elif last:
        used = list(survey(source).ranges)
        missed = without(used, merge([*had, *write]))
        write = bounded(merge([*write, *missed]), MOST_RANGES)
    touched = {piece.index for piece in cut(write, record.window)}
    everything = cut(merge([*had, *write]), record.window)
    return Delta(
        tuple(write), tuple(piece for piece in everything if piece.index in touched), found.chunks, total(missed)
    )


def _header(base: str) -> dict[str, object]:
    return {"freshen": base, "host": os.uname().nodename, "version": 1}


def _end_killed(target_path: str, record: Manifest, base: str) -> bool:
    """If an earlier run was killed between the manifest and the rename, do the rename: what the manifest says was verified."""
    partial = Path(f"{target_path}.partial")
    if Path(target_path).exists() or not is_about(f"{target_path}.journal", _header(base)):
        return False
    try:
        found = partial.stat()
    except OSError:
        return False
    if found.st_mtime_ns != record.image_mtime_ns or found.st_size != record.length:
        return False
    with contextlib.closing(Journal(f"{target_path}.journal", _header(base))) as journal:
        partial.replace(target_path)
        manifests.sync_folder(target_path)
        journal.remove()
    return True


def _take(target_path: str, record: Manifest, base: str) -> Journal:
    """Lock the image and put it under its .partial name. Raises TargetError, BusyError."""
    partial, image, saved = Path(f"{target_path}.partial"), Path(target_path), f"{target_path}.journal"
    try:
        if image.exists():
            found = image.stat()
            if found.st_mtime_ns != record.image_mtime_ns or found.st_size != record.length:
                raise TargetError(
                    "it was written since it was copied",
                    where=target_path,
                    remedy="a domain may run from it: look, and copy the snapshot to another name",
                )
            journal = Journal(saved, _header(base))
            image.replace(partial)
            manifests.sync_folder(target_path)
            return journal
        if is_about(saved, _header(base)) and partial.exists() and partial.stat().st_size == record.length:
            return Journal(saved, _header(base))
    except OSError as error:
        raise TargetError(
            f"cannot be written: {error.strerror}", where=target_path, remedy="look at the folder and its rights"
        ) from None
    raise TargetError("there is no image to bring up to date", where=target_path, remedy="copy the snapshot first")


def _bring(
    source: Storage,
    source_path: str,
    target: Storage,
    target_path: str,
    record: Manifest,
    delta: Delta,
    report: Report,
    options: Options,
) -> dict[int, str]:
    """Copy, hash and read back; the hashes by window."""
    reader = options.wrap(source)
    pace, hashes = Pace(options.rate), {}
    progress = Progress(report, "copy", sum(piece.bytes for piece in delta.pieces))
    belt = Belt(target, target_path, pace.take)
    largest = IO_SIZE if options.rate else CHUNK

    def worker() -> Callable[[Piece], None]:
        def work(piece: Piece) -> None:
            digest = hashlib.sha256()
            write = intersect(piece.ranges, delta.write)
            for parts in parts_of(piece, largest=largest):
                buffer = belt.take()
                for part in parts:
                    pace.take(part.size)
                    with buffer.view[part.place :] as room:
                        read_source(reader, room, part.at, part.size, source_path)
                        with room[: part.size] as data:
                            digest.update(data)
                        for start, end in intersect([(part.at, part.at + part.size)], write):
                            with room[start - part.at : end - part.at] as data:
                                write_part(target, data, start, target_path, dirty=True)
                    pace.count(part.size)
                belt.put(buffer, piece, parts)
            hashes[piece.index] = digest.hexdigest()

        return work

    try:
        run(
            delta.pieces,
            worker,
            pace,
            lambda: progress.at(pace.done),
            threads=options.threads,
            last=belt.drain,
        )
        target.sync()
    except OSError as error:
        raise write_error(error, target_path, (0, record.length)) from None
    progress.at(pace.done, force=True)
    raise_on_difference(belt.differing, target_path)
    return hashes


def _merged(entries: Entries, pieces: tuple[Piece, ...], hashes: dict[int, str]) -> Entries:
    """The manifest's entries with those windows replaced that were hashed anew."""
    by_window = {piece.index: (piece, digest) for piece, digest in entries}
    by_window.update({piece.index: (piece, hashes[piece.index]) for piece in pieces})
    return tuple(by_window[index] for index in sorted(by_window))


def _plan_event(source_path: str, target_path: str, record: Manifest, delta: Delta) -> dict[str, Any]:
    return {
        "event": "plan",
        "source": source_path,
        "target": target_path,
        "length": record.length,
        "kind": record.kind,
        "method": "what changed",
        "reason": "",
        "bytes": sum(piece.bytes for piece in delta.pieces),
        "write": total(delta.write),
        "chunks": delta.chunks,
        "missed": delta.missed,
    }


def _sealed(source: Storage, path: str) -> str:
    try:
        return seal(source)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=path, remedy="look at dmesg: the disk may be failing"
        ) from None
