"""Copy, sync, read back, compare, rename: in this order, and done only after the last.

What is on the target's storage at any instant is either under the name TARGET.partial, or verified.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import manifest as manifests
from .errors import ImageError, SourceError, SpaceError, TargetError, VerifyError
from .events import Progress, Report
from .journal import Journal
from .manifest import Manifest
from .ranges import Piece, Range, cut, gaps, intersect, total
from .storage import Reader, Storage, open_source, open_target
from .survey import Survey, seal, survey
from .transfer import Done, check_zeros, checker, copier, write_error
from .workers import THREADS, Pace, run

_CHECKPOINT = 5.0
"""Seconds between syncs of the target: what a killed copy has to do again at most."""


@dataclass(frozen=True)
class Options:
    """``rate`` in bytes a second. ``wrap`` lets a test put a failing disk in front of the source."""

    rate: float | None = None
    every_block: bool = False
    replace: bool = False
    threads: int = THREADS
    manifest: str = ""
    wrap: Callable[[Storage], Reader] = lambda source: source


def copy(source_path: str, target_path: str, report: Report, options: Options = Options()) -> dict[str, Any]:
    """Copy a quiet source into a file or a block device and verify it; the ``done`` event.

    Raises ImageError of the class that is the exit code.
    """
    began = time.monotonic()
    started = _now()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(source_path))
        plan = _survey(source, source_path, options)
        pieces = cut(plan.ranges, plan.window)
        block = _is_block(target_path)
        if not block:
            _check_replace(target_path, options)
        partial = target_path if block else f"{target_path}.partial"
        journal = None if block else stack.enter_context(contextlib.closing(_journal(source_path, target_path, plan)))
        target = stack.enter_context(open_target(partial, create=not block))
        dirty = _prepare(target, target_path, plan, journal, pieces)
        report(
            {
                "event": "plan",
                "source": source_path,
                "target": target_path,
                "length": plan.length,
                "kind": plan.kind,
                "method": plan.method,
                "reason": plan.reason,
                "bytes": plan.bytes,
                "resumed": len(journal.synced) if journal else 0,
            }
        )
        done = Done()
        try:
            _bulk(
                options.wrap(source),
                target,
                plan,
                pieces,
                journal,
                done,
                report,
                options,
                dirty=dirty,
                names=(source_path, target_path),
            )
        except SpaceError:
            if journal:
                Path(partial).unlink()
                journal.remove()
            raise
        if _seal(source, source_path) != plan.seal:
            raise SourceError(
                "it was written while it was copied",
                where=source_path,
                remedy="shut its domain down, and run this again",
            )
        entries = tuple((piece, done.hashes[piece.index]) for piece in pieces)
        if plan.header:
            entries = _head_entry(target, plan)
        _verify(target, target_path, entries, plan.length, report, options)
        record = _record(source_path, plan, entries, started, target)
        saved = options.manifest or ("" if block else manifests.path_for(target_path))
        try:
            if saved:
                manifests.write(saved, record)
            if not block:
                Path(partial).replace(target_path)
                manifests.sync_folder(target_path)
        except OSError as error:
            raise write_error(error, target_path, (0, plan.length)) from None
        if journal:
            journal.remove()
    return {
        "event": "done",
        "source": source_path,
        "target": target_path,
        "bytes": plan.length,
        "copied": plan.bytes,
        "written": done.written,
        "method": plan.method,
        "reason": plan.reason,
        "verified": True,
        "hash": root_hash(record),
        "manifest": saved,
        "seconds": round(time.monotonic() - began, 3),
    }


def verify(target_path: str, report: Report, options: Options = Options()) -> dict[str, Any]:
    """Read an image again from the storage and compare it with its manifest. Raises VerifyError naming what differs."""
    began = time.monotonic()
    saved = options.manifest or manifests.path_for(target_path)
    record = manifests.read(saved)
    with open_source_for_check(target_path) as target:
        if target.length < record.length or (target.length > record.length and not target.is_block):
            raise VerifyError(
                f"{target.length} bytes long, the manifest says {record.length}",
                where=target_path,
                remedy="copy it again",
                ranges=[(min(target.length, record.length), max(target.length, record.length))],
            )
        _verify(target, target_path, record.entries, record.length, report, options)
    return {
        "event": "done",
        "source": record.source,
        "target": target_path,
        "bytes": record.length,
        "copied": record.bytes,
        "method": record.method,
        "reason": record.reason,
        "verified": True,
        "hash": root_hash(record),
        "manifest": saved,
        "seconds": round(time.monotonic() - began, 3),
    }


def look(source_path: str, options: Options = Options()) -> dict[str, Any]:
    """What a copy would read, and why; ranges as [at, size]."""
    with open_source_for_check(source_path) as source:
        plan = _survey(source, source_path, options)
    return {
        "event": "plan",
        "source": source_path,
        "length": plan.length,
        "kind": plan.kind,
        "method": plan.method,
        "reason": plan.reason,
        "bytes": plan.bytes,
        "ranges": [[start, end - start] for start, end in plan.ranges],
    }


def open_source_for_check(path: str) -> Storage:
    """Not exclusively: an image may be looked at while it is in use (and will then differ)."""
    try:
        return Storage(path)
    except OSError as error:
        raise VerifyError(f"cannot be read: {error.strerror}", where=path, remedy="name an image") from None


def root_hash(record: Manifest) -> str:
    """One hash for the whole image: over its length, and every window's ranges and hash."""
    digest = hashlib.sha256(b"%d\n" % record.length)
    for piece, value in record.entries:
        digest.update(f"{piece.ranges!r} {value}\n".encode())
    return f"{manifests.ALGORITHM}:{digest.hexdigest()}"


def _survey(source: Storage, path: str, options: Options) -> Survey:
    try:
        if not source.length:
            raise SourceError("it is empty", where=path, remedy="name a disk with something on it")
        return survey(source, every_block=options.every_block)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=path, remedy="look at dmesg: the disk may be failing"
        ) from None


def _seal(source: Storage, path: str) -> str:
    try:
        return seal(source)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=path, remedy="look at dmesg: the disk may be failing"
        ) from None


def _is_block(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TargetError(
            f"cannot be looked at: {error.strerror}", where=path, remedy="look whether its folder is mounted"
        ) from None
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise TargetError(
            "neither a file nor a block device", where=path, remedy="name a file in a folder, or a logical volume"
        )
    return stat.S_ISBLK(mode)


def _check_replace(path: str, options: Options) -> None:
    """An image that nobody wrote to since it was verified may be replaced; any other only when asked for."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return
    if options.replace:
        return
    with contextlib.suppress(ImageError):
        record = manifests.read(manifests.path_for(path))
        if record.image_mtime_ns == found.st_mtime_ns and record.length == found.st_size:
            return
    raise TargetError(
        "it exists, and was written since it was copied here (or never was)",
        where=path,
        remedy="move it away, or give --replace if what is in it is not needed",
    )


def _journal(source_path: str, target_path: str, plan: Survey) -> Journal:
    header: dict[str, object] = {
        "source": source_path,
        "host": platform.node(),
        "length": plan.length,
        "window": plan.window,
        "version": 1,
    }
    path = f"{target_path}.journal"
    try:
        return Journal(path, header)
    except OSError as error:
        raise TargetError(
            f"cannot be written: {error.strerror}", where=path, remedy="look at the folder's rights"
        ) from None


def _prepare(target: Storage, path: str, plan: Survey, journal: Journal | None, pieces: list[Piece]) -> bool:
    """Make room and the right length. True if zeros have to be written as such.

    After that, everything that is neither copied nor trusted from an earlier run reads as zeros.
    """
    if target.is_block:
        if target.length < plan.length:
            raise SpaceError(
                f"{target.length} bytes long, {plan.length - target.length} too few",
                where=path,
                remedy="enlarge the volume first (lvextend)",
            )
        for start, end in gaps(plan.ranges, plan.length):
            target.clear(start, end - start)
        return True
    try:
        if journal and not (journal.usable and target.length == plan.length):
            journal.synced.clear()
            target.set_length(0)
        _check_space(target, path, plan)
        target.set_length(plan.length)
        if journal and journal.synced:
            _clear_untrusted(target, journal, plan, pieces)
            return True
    except OSError as error:
        raise write_error(error, path, (0, plan.length)) from None
    return False


def _clear_untrusted(target: Storage, journal: Journal, plan: Survey, pieces: list[Piece]) -> None:
    kept = [span for piece in pieces if piece.index in journal.synced for span in piece.ranges]
    for start, end in intersect(list(gaps(kept, plan.length)), target.data_ranges()):
        target.clear(start, end - start)


def _check_space(target: Storage, path: str, plan: Survey) -> None:
    """Free space against what will be written at most. Zeros that turn out to be holes are not known yet."""
    room = os.statvfs(target.path)
    there = Path(target.path).stat().st_blocks * 512
    missing = plan.bytes - there - room.f_bavail * room.f_frsize
    if missing > 0:
        with contextlib.suppress(FileNotFoundError):
            Path(target.path).unlink()
            Path(f"{path}.journal").unlink()
        raise SpaceError(
            f"{missing} bytes are missing: {plan.bytes} are needed, {room.f_bavail * room.f_frsize} are free",
            where=path,
            remedy="free some space, or choose another folder",
        )


def _bulk(
    source: Reader,
    target: Storage,
    plan: Survey,
    pieces: list[Piece],
    journal: Journal | None,
    done: Done,
    report: Report,
    options: Options,
    *,
    dirty: bool,
    names: tuple[str, str],
) -> None:
    pace = Pace(options.rate)
    progress = Progress(report, "copy", plan.bytes)
    synced = journal.synced if journal else {}
    last = time.monotonic()

    def checkpoint() -> None:
        ready = done.unsynced[:]
        target.sync()
        if journal:
            journal.add(ready)
        del done.unsynced[: len(ready)]

    def tick() -> None:
        nonlocal last
        progress.at(pace.done)
        if time.monotonic() - last > _CHECKPOINT and done.unsynced:
            checkpoint()
            last = time.monotonic()

    try:
        try:
            run(
                pieces,
                lambda: copier(source, target, synced, pace, done, dirty=dirty, names=names),
                pace,
                tick,
                threads=options.threads,
            )
            if plan.header:
                with memoryview(plan.header) as header:
                    target.write_from(header, 0)
        finally:
            checkpoint()
    except OSError as error:
        raise write_error(error, names[1], (0, plan.length)) from None
    progress.at(plan.bytes, force=True)


def _head_entry(target: Storage, plan: Survey) -> tuple[tuple[Piece, str], ...]:
    return ((Piece(0, ((0, len(plan.header)),)), hashlib.sha256(plan.header).hexdigest()),)


def _verify(
    target: Storage, path: str, entries: tuple[tuple[Piece, str], ...], length: int, report: Report, options: Options
) -> None:
    pieces = [piece for piece, _ in entries]
    pace = Pace(options.rate)
    size = sum(piece.bytes for piece in pieces)
    progress = Progress(report, "verify", size)
    done = Done()
    wanted = {piece.index: digest for piece, digest in entries}
    run(
        pieces,
        lambda: checker(target, wanted, pace, done, path),
        pace,
        lambda: progress.at(pace.done),
        threads=options.threads,
    )
    if not target.is_block:
        between = gaps([span for piece in pieces for span in piece.ranges], length)
        done.differing += check_zeros(target, intersect(list(between), target.data_ranges()))
    progress.at(pace.done, force=True)
    if done.differing:
        bad: list[Range] = sorted(done.differing)
        spelled = ", ".join(f"{start}+{end - start}" for start, end in bad[:8]) + (", …" if len(bad) > 8 else "")
        raise VerifyError(
            f"{len(bad)} ranges ({total(bad)} bytes) differ from what was copied: byte {spelled}",
            where=path,
            ranges=bad,
            remedy="if it was not used since it was copied, the storage is not to be trusted: copy it again and look at its logs",
        )


def _record(
    source_path: str, plan: Survey, entries: tuple[tuple[Piece, str], ...], started: str, target: Storage
) -> Manifest:
    stamp = time.time_ns() // 10**9 * 10**9
    if not target.is_block:
        try:
            target.settle(stamp)
            target.sync()
        except OSError as error:
            if error.errno != errno.EPERM:
                raise write_error(error, target.path, (0, plan.length)) from None
    return Manifest(
        length=plan.length,
        window=plan.window,
        method=plan.method,
        reason=plan.reason,
        kind=plan.kind,
        source=source_path,
        host=platform.node(),
        started=started,
        finished=_now(),
        entries=entries,
        image_mtime_ns=stamp,
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
