"""Copy, sync, read back, compare, rename: in this order, and done only after the last.

What is on the target's storage at any instant is either under the name TARGET.partial, or verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from errno import EPERM
from pathlib import Path
from typing import Any

from . import manifest as manifests
from . import signatures
from .copy_plan import CopyPlan, change_stamp, plan_copy
from .errors import SectorError, SourceError, SpaceError, UsageError, VerifyError
from .events import Progress, Report
from .job import DEFAULTS, Job, Options
from .manifest import Manifest
from .prepare import check_replace, discard, is_block, open_journal, prepare
from .ranges import Piece, cut
from .storage import Storage, open_source, open_target
from .transfer import copier, write_error
from .verify import Entries, raise_on_difference, read_back, root_hash
from .verify_pipeline import VerifyPipeline
from .workers import RateLimiter, run

_CHECKPOINT = 1.0
"""Seconds between syncs of the target: what a killed copy has to write again at most. The storage's own cache is emptied as well,
so that the last sync has little left to do."""


def copy(source_path: str, target_path: str, report: Report, options: Options = DEFAULTS) -> dict[str, Any]:
    """Copy a quiet source into a file or a block device and verify it; the ``done`` event.

    Raises ImageError of the class that is the exit code.
    """
    began = time.monotonic()
    started = _now()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(source_path))
        plan = _survey(source, source_path, options)
        block = is_block(target_path)
        saved = options.manifest or ("" if block else manifests.path_for(target_path))
        if not block:
            check_replace(target_path, replace=options.replace)
            record = _is_it_already(source_path, target_path, saved, plan, options.point)
            if record:
                report(_plan_event(source_path, plan) | {"target": target_path})
                return _done_event(source_path, target_path, plan, record, saved, began)
        journal = None
        if not block:
            journal = stack.enter_context(contextlib.closing(open_journal(source_path, target_path, plan)))
        target = stack.enter_context(open_target(target_path if block else f"{target_path}.partial", create=not block))
        job = Job(
            source=options.wrap(source),
            target=target,
            source_name=source_path,
            target_name=target_path,
            plan=plan,
            pieces=tuple(cut(plan.ranges, plan.window)),
            journal=journal,
            report=report,
            options=options,
        )
        report(_plan_event(source_path, plan) | {"target": target_path})
        try:
            _check_sectors(source, source_path, target, target_path)
            _bulk(job, dirty=prepare(job))
            if _is_changed(source, source_path, plan, options):
                raise SourceError(
                    "it was written while it was copied",
                    where=source_path,
                    remedy="shut its domain down, and run this again",
                )
            entries = _entries(job)
            read_back(target, target_path, _unproven(job, entries), entries, plan.length, report, options)
        except (SpaceError, VerifyError, SectorError):
            discard(job)
            raise
        record = _record(job, entries, started)
        _finish(job, record, saved)
    kept = sum(piece.bytes for piece in job.done.kept)
    return _done_event(source_path, target_path, plan, record, saved, began, written=job.done.written, kept=kept)


def _check_sectors(source: Storage, source_path: str, target: Storage, target_path: str) -> None:
    """A partition table counts in sectors: on a disk with others it names other places. Raises SectorError."""
    if source.sector != target.sector and signatures.has_partitions(source.read_bytes, source.length):
        raise SectorError(
            f"its partition table counts in sectors of {source.sector} bytes, and {target_path} has sectors of {target.sector}",
            where=source_path,
            remedy="copy its file systems into volumes without a partition table, or use storage with the same sectors",
        )


def _is_it_already(source_path: str, target_path: str, saved: str, plan: CopyPlan, point: str) -> Manifest | None:
    """The manifest of an image that was made of this very swap space, and was not written since it was verified.

    Nothing of swap is copied but its identity, which a domain that runs does not change: so it can be copied while the domain
    runs, and once it is off there is nothing left to do.
    """
    if not plan.header:
        return None
    try:
        record, found = manifests.read(saved), Path(target_path).stat()
    except (UsageError, OSError):
        return None
    wanted = (plan.kind, plan.length, source_path, os.uname().nodename, point)
    is_same = (record.kind, record.length, record.source, record.host, record.point) == wanted
    is_same = is_same and record.entries == _header_entries(plan)
    is_untouched = found.st_mtime_ns == record.image_mtime_ns and found.st_size == record.length
    return record if is_same and is_untouched else None


def _done_event(
    source_path: str,
    target_path: str,
    plan: CopyPlan,
    record: Manifest,
    saved: str,
    began: float,
    *,
    written: int = 0,
    kept: int = 0,
) -> dict[str, Any]:
    return {
        "event": "done",
        "source": source_path,
        "target": target_path,
        "bytes": plan.length,
        "copied": plan.bytes,
        "written": written,
        "kept": kept,
        "method": plan.method,
        "reason": plan.reason,
        "verified": True,
        "hash": root_hash(record),
        "manifest": saved,
        "seconds": round(time.monotonic() - began, 3),
    }


def inspect(source_path: str, options: Options = DEFAULTS) -> dict[str, Any]:
    """What a copy would read, and why: the ``plan`` event, with ranges as [at, size]."""
    try:
        source = Storage(source_path)
    except OSError as error:
        raise SourceError(
            f"cannot be opened: {error.strerror}", where=source_path, remedy="name a file or a block device"
        ) from None
    with source:
        plan = _survey(source, source_path, options)
    return _plan_event(source_path, plan) | {"ranges": [[start, end - start] for start, end in plan.ranges]}


def _bulk(job: Job, *, dirty: bool) -> None:
    """Write everything that is not there yet, and read back what was written. Raises VerifyError if that differs."""
    limiter = RateLimiter(job.options.rate)
    progress = Progress(job.report, "copy", job.plan.bytes)
    pipeline = VerifyPipeline(job.target, job.target_name, limiter.wait)
    last = time.monotonic()

    def checkpoint() -> None:
        ready = job.done.unsynced[:]
        job.target.sync()
        if job.journal:
            job.journal.add(ready)
        del job.done.unsynced[: len(ready)]

    def tick() -> None:
        nonlocal last
        progress.at(limiter.done)
        if time.monotonic() - last > _CHECKPOINT and job.done.unsynced:
            checkpoint()
            last = time.monotonic()

    try:
        try:
            with pipeline:
                run(
                    job.pieces,
                    lambda: copier(job, limiter, pipeline, dirty=dirty),
                    limiter,
                    tick,
                    threads=job.options.threads,
                    last=pipeline.drain,
                )
            if job.plan.header:
                with memoryview(job.plan.header) as header:
                    job.target.write_from(header, 0)
        except BaseException:
            checkpoint()  # for the next run
            raise
        job.target.sync()
    except OSError as error:
        raise write_error(error, job.target_name, (0, job.plan.length)) from None
    progress.at(job.plan.bytes, force=True)
    raise_on_difference(pipeline.differing, job.target_name)


def _entries(job: Job) -> Entries:
    if job.plan.header:
        return _header_entries(job.plan)
    return tuple((piece, job.done.hashes[piece.index]) for piece in job.pieces)


def _header_entries(plan: CopyPlan) -> Entries:
    return ((Piece(0, ((0, len(plan.header)),)), hashlib.sha256(plan.header).hexdigest()),)


def _unproven(job: Job, entries: Entries) -> Entries:
    """What was not read back while it was copied: windows kept from an earlier run, and a new swap header."""
    kept = {piece.index for piece in job.done.kept}
    return tuple(entry for entry in entries if job.plan.header or entry[0].index in kept)


def _finish(job: Job, record: Manifest, saved: str) -> None:
    """The manifest first: an image under its final name always has one."""
    try:
        if saved:
            manifests.write(saved, record)
        if not job.target.is_block:
            job.target.copy_owner_and_mode(job.target_name)
            Path(job.target.path).replace(job.target_name)
            manifests.sync_folder(job.target_name)
    except OSError as error:
        raise write_error(error, job.target_name, (0, job.plan.length)) from None
    if job.journal:
        job.journal.remove()


def _record(job: Job, entries: Entries, started: str) -> Manifest:
    stamp = time.time_ns() // 10**9 * 10**9  # whole seconds: what every file system can keep
    if not job.target.is_block:
        try:
            job.target.allocate()  # what was made holes on the way
            job.target.set_mtime(stamp)
            job.target.sync()
        except OSError as error:
            if error.errno != EPERM:
                raise write_error(error, job.target_name, (0, job.plan.length)) from None
    return Manifest(
        length=job.plan.length,
        window=job.plan.window,
        method=job.plan.method,
        reason=job.plan.reason,
        kind=job.plan.kind,
        source=job.source_name,
        host=os.uname().nodename,
        started=started,
        finished=_now(),
        entries=entries,
        image_mtime_ns=stamp,
        point=job.options.point,
    )


def _survey(source: Storage, path: str, options: Options) -> CopyPlan:
    if not source.length:
        raise SourceError("it is empty", where=path, remedy="name a disk with something on it")
    try:
        return plan_copy(source, every_block=options.every_block, unclean=bool(options.point))
    except OSError as error:
        raise _unreadable(path, error) from None


def _is_changed(source: Storage, path: str, plan: CopyPlan, options: Options) -> bool:
    """Whether it was written since it was surveyed. Swap may be: a domain that runs swaps, and that is not what is copied."""
    if plan.header:
        return _survey(source, path, options).header != plan.header
    try:
        return change_stamp(source) != plan.change_stamp
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> SourceError:
    return SourceError(f"cannot be read: {error.strerror}", where=path, remedy="check dmesg: the disk may be failing")


def _plan_event(path: str, plan: CopyPlan) -> dict[str, Any]:
    return {
        "event": "plan",
        "source": path,
        "length": plan.length,
        "kind": plan.kind,
        "method": plan.method,
        "reason": plan.reason,
        "bytes": plan.bytes,
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
