"""The target before anything is copied: may it be written, is there room, and does it read as zeros where it must?"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from . import manifest as manifests
from .copy_plan import CopyPlan, plan_copy
from .errors import ImageError, SpaceError, TargetError
from .events import Progress
from .job import Job
from .journal import Journal
from .ranges import gaps, intersect
from .transfer import check_zeros, counter, write_error
from .workers import RateLimiter, run


def is_block(path: str) -> bool:
    """Whether the target is there and a block device. Raises TargetError if it is neither that nor a file."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TargetError(
            f"cannot be looked at: {error.strerror}", where=path, remedy="check whether its folder is mounted"
        ) from None
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise TargetError(
            "neither a file nor a block device", where=path, remedy="name a file in a folder, or a logical volume"
        )
    return stat.S_ISBLK(mode)


def check_replace(path: str, *, replace: bool) -> None:
    """An image that nobody wrote to since it was verified may be replaced; any other only when asked for."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return
    if replace:
        return
    with contextlib.suppress(ImageError):
        record = manifests.read(manifests.path_for(path))
        if record.image_mtime_ns == found.st_mtime_ns and record.length == found.st_size:
            return
    raise TargetError(
        "it exists, and was written since it was copied here (or was never copied here)",
        where=path,
        remedy="move it away, or use --replace if its content is not needed",
    )


def open_journal(source_path: str, target_path: str, plan: CopyPlan) -> Journal:
    """Raises BusyError if another copy to this target is under way, TargetError."""
    header: dict[str, object] = {
        "source": source_path,
        "host": os.uname().nodename,
        "length": plan.length,
        "window": plan.window,
        "version": 1,
    }
    path = f"{target_path}.journal"
    try:
        return Journal(path, header)
    except OSError as error:
        raise TargetError(
            f"cannot be written: {error.strerror}", where=path, remedy="check the folder and its permissions"
        ) from None


def prepare(job: Job) -> bool:
    """Make room and the right length. True if zeros have to be written as such, since something may be there already.

    After that, everything that is neither copied nor trusted from an earlier run reads as zeros.
    Raises SpaceError (and leaves nothing behind that was not there), TargetError.
    """
    target, plan = job.target, job.plan
    try:
        if target.is_block:
            missing = plan.length - target.length
            if missing > 0:
                raise SpaceError(
                    f"{target.length} bytes long, {missing} too few",
                    where=job.target_name,
                    remedy="enlarge the volume first (lvextend)",
                )
            if plan.header and not job.options.replace:
                _check_holds_swap(job)
            for start, end in gaps(plan.ranges, plan.length):
                target.clear(start, end - start)
            return True
        journal = job.journal
        if journal and not (journal.synced and target.length == plan.length):
            # what a killed copy wrote and never synced is worth nothing, and must not show through where zeros belong
            journal.synced.clear()
            target.set_length(0)
        _check_space(job)
        target.set_length(plan.length)
        if journal and journal.synced:
            kept = [span for piece in job.pieces if piece.index in journal.synced for span in piece.ranges]
            for start, end in intersect(list(gaps(kept, plan.length)), target.data_ranges()):
                target.clear(start, end - start)
            return True
    except OSError as error:
        raise write_error(error, job.target_name, (0, plan.length)) from None
    return False


def _check_holds_swap(job: Job) -> None:
    """A volume is cleared for a swap space only if it is one itself, or empty: its signature may have hidden something else when
    it was copied. Raises TargetError."""
    found = plan_copy(job.target)
    if found.kind == "swap" or not check_zeros(job.target, job.target.data_ranges()):
        return
    why = f" ({found.reason})" if found.reason else ""
    raise TargetError(
        f"it is to become an empty swap space, but holds something else: {found.method}{why}",
        where=job.target_name,
        remedy="check it (blkid -p, wipefs -n); if its content is not needed: wipefs -a, then blkdiscard -z",
    )


def discard(job: Job) -> None:
    """Remove what was begun."""
    if job.journal:
        with contextlib.suppress(OSError):
            Path(job.target.path).unlink()
        job.journal.remove()


def _check_space(job: Job) -> None:
    """Free space against what will be written. Only where that does not fit as a whole, zeros are counted first:
    that reads the source once more, and they become holes."""
    room = os.statvfs(job.target.path)
    free = room.f_bavail * room.f_frsize + Path(job.target.path).stat().st_blocks * 512
    if job.plan.bytes <= free:
        return
    needed = _without_zeros(job)
    if needed <= free:
        return
    if job.journal and not job.journal.synced:
        discard(job)
    raise SpaceError(
        f"{needed - free} bytes are missing: {needed} are needed, {free} are free",
        where=job.target_name,
        remedy="free some space, or choose another folder",
    )


def _without_zeros(job: Job) -> int:
    limiter = RateLimiter(job.options.rate)
    progress = Progress(job.report, "scan", job.plan.bytes)
    run(
        job.pieces,
        lambda: counter(job.source, limiter, job.done, job.source_name),
        limiter,
        lambda: progress.at(limiter.done),
        threads=job.options.threads,
    )
    needed, job.done.written = job.done.written, 0
    return needed
