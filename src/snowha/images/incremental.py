"""An image of a snapshot brought up to the state of its origin: only what changed is copied.

This is the short part of a warm copy, done while the domain is down:

1. What was written since the snapshot was made is known from its exception store. Those chunks are copied from
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

Most of this can be done ahead, while the domain still runs (``precopy``): windows are copied as they are just then, and what was
read back from the image is known by its hash. Afterwards, with the domain down, a window that still has that hash in the origin
is the same in the image, and only has to be read once more. What was read while it was being written has another hash then.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import manifest as manifests
from .copy_plan import change_stamp
from .copy_windows import NOTHING_PROVEN, VerifiedWindows, copy_windows
from .delta import Delta, find
from .errors import SourceError, TargetError, UsageError
from .events import Report
from .job import DEFAULTS, Options
from .journal import Journal, is_about
from .manifest import Manifest
from .ranges import Piece, total
from .storage import Storage, open_source, open_target
from .transfer import write_error
from .verify import Entries, not_zero, raise_on_difference, root_hash


def copy_changes(
    source_path: str,
    store_path: str,
    target_path: str,
    report: Report,
    options: Options = DEFAULTS,
    *,
    base: str,
    point: str = "",
    last: bool = True,
    proven: VerifiedWindows = NOTHING_PROVEN,
) -> dict[str, Any]:
    """Bring the image of snapshot ``base`` to the state of ``source_path``; the ``done`` event.

    ``store_path`` is the snapshot's exception store (its ``-cow`` device). ``last``: the source is the origin, and quiet.
    Else it is a later snapshot, named ``point``, and a last round has to follow. ``proven``: what ``precopy`` did for this one.

    While it is under way, and after it was killed, the image is under its ``.partial`` name; the same call then goes on.
    Raises ImageError of the class that is the exit code: SourceError if the store is no delta, UsageError if the image is
    not one of ``base``.
    """
    began = time.monotonic()
    saved = options.manifest or manifests.path_for(target_path)
    record = manifests.read(saved)
    if record.point == point and _end_killed(target_path, record, base):
        return _done_event(source_path, target_path, saved, record, None, began)
    _check_base(record, saved, base)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(source_path))
        _check_length(source, source_path, record)
        before = _sealed(source, source_path)
        delta = find(source, store_path, record, last=last, also=proven.written if proven.base == base else ())
        report(_plan_event(source_path, target_path, record, delta))
        journal = stack.enter_context(contextlib.closing(_take(target_path, record, base)))
        target = stack.enter_context(open_target(f"{target_path}.partial", create=True))
        known = proven if proven.base == base and proven.stamp == _last_change(target.path) else None
        windows = known.windows if known else {}
        result = copy_windows(source, source_path, target, target_path, delta, report, options, known=windows)
        raise_on_difference(result.differing, target_path)
        if _sealed(source, source_path) != before:
            raise SourceError(
                "it was written while it was copied",
                where=source_path,
                remedy="shut its domain down, and run this again",
            )
        record = _as_it_is_now(record, delta)
        entries = _merged(record.entries, delta.pieces, result.hashes)
        if not known:
            raise_on_difference(not_zero(target, target_path, entries, record.length), target_path)
        stamp = _set_mtime(target)
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
    return _done_event(source_path, target_path, saved, after, delta, began, sum(result.kept))


def precopy(
    source_path: str, store_path: str, target_path: str, report: Report, options: Options = DEFAULTS, *, base: str
) -> tuple[dict[str, Any], VerifiedWindows]:
    """Do of ``incremental`` what can be done while the domain runs: the ``ahead`` event, and what the image was seen to hold.

    The image is under its ``.partial`` name afterwards, and ``incremental`` has to follow. Raises as that one.
    """
    began = time.monotonic()
    saved = options.manifest or manifests.path_for(target_path)
    record = manifests.read(saved)
    _check_base(record, saved, base)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(source_path, quiet=False))
        _check_length(source, source_path, record)
        delta = find(source, store_path, record, last=False)
        report(_plan_event(source_path, target_path, record, delta))
        stack.enter_context(contextlib.closing(_take(target_path, record, base)))
        target = stack.enter_context(open_target(f"{target_path}.partial", create=True))
        result = copy_windows(source, source_path, target, target_path, delta, report, options, known={})
        record = _as_it_is_now(record, delta)
        entries = _merged(record.entries, delta.pieces, result.hashes)
        raise_on_difference(not_zero(target, target_path, entries, record.length), target_path)
        try:
            stamp = _set_mtime(target)
        except OSError as error:
            raise write_error(error, target_path, (0, record.length)) from None
    event = {
        "event": "ahead",
        "source": source_path,
        "target": target_path,
        "bytes": record.length,
        "copied": total(delta.write),
        "seconds": round(time.monotonic() - began, 3),
    }
    return event, VerifiedWindows(base, stamp, result.proven(delta.pieces), delta.write)


def _done_event(
    source_path: str,
    target_path: str,
    saved: str,
    record: Manifest,
    delta: Delta | None,
    began: float,
    kept: int = 0,
) -> dict[str, Any]:
    """``delta`` is None if an earlier run had done everything but the rename. ``kept``: bytes that were there already."""
    return {
        "event": "done",
        "source": source_path,
        "target": target_path,
        "bytes": record.length,
        "copied": total(delta.write) - kept if delta else 0,
        "kept": kept,
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
    """What ``incremental`` would do now, while the domain runs: the ``plan`` event. What is used only later is not in it."""
    record = manifests.read(options.manifest or manifests.path_for(target_path))
    with Storage(source_path) as source:
        return _plan_event(source_path, target_path, record, find(source, store_path, record, last=False))


def _check_base(record: Manifest, saved: str, base: str) -> None:
    if record.point != base:
        raise UsageError(
            f"it is an image of {record.point or 'no snapshot'}, not of {base}",
            where=saved,
            remedy="copy the snapshot first",
        )


def _check_length(source: Storage, path: str, record: Manifest) -> None:
    if source.length != record.length:
        raise SourceError(
            f"{source.length} bytes long, its snapshot was {record.length}",
            where=path,
            remedy="copy it again: it was resized",
        )


def _set_mtime(target: Storage) -> int:
    """Set the image's time of last change, so that a later change shows; that time, in ns. Raises OSError."""
    stamp = time.time_ns() // 10**9 * 10**9
    target.allocate()  # what was made holes on the way
    target.set_mtime(stamp)
    target.sync()
    return stamp


def _last_change(path: str) -> int:
    return Path(path).stat().st_mtime_ns


def _header(base: str) -> dict[str, object]:
    return {"incremental": base, "host": os.uname().nodename, "version": 1}


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
                    remedy="a domain may run from it: check, and copy the snapshot to another name",
                )
            journal = Journal(saved, _header(base))
            image.replace(partial)
            manifests.sync_folder(target_path)
            return journal
        if is_about(saved, _header(base)) and partial.exists() and partial.stat().st_size == record.length:
            return Journal(saved, _header(base))
    except OSError as error:
        raise TargetError(
            f"cannot be written: {error.strerror}", where=target_path, remedy="check the folder and its permissions"
        ) from None
    raise TargetError("there is no image to update", where=target_path, remedy="copy the snapshot first")


def _as_it_is_now(record: Manifest, delta: Delta) -> Manifest:
    """The manifest as it was; of a swap space that is something else now, as of that, without the header of our making."""
    now = delta.instead
    return replace(record, kind=now.kind, method=now.method, reason=now.reason, entries=()) if now else record


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
        return change_stamp(source)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=path, remedy="check dmesg: the disk may be failing"
        ) from None
