"""A disk in a format of its own (qcow2, VHD) made an image, and back: by qemu-img, and compared by it before anything is renamed.

As with a copy, what is under the name TARGET is verified, and has a manifest if it is an image. It is not resumed: what an ended
run left is begun anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import manifest as manifests
from . import qemu_img
from .copy_plan import plan_copy
from .errors import BusyError, ImageError, SourceError, SpaceError, TargetError
from .events import Progress, Report
from .journal import Journal
from .manifest import Manifest
from .prepare import check_replace
from .ranges import Piece, cut
from .storage import IO_SIZE, Storage, open_target
from .transfer import write_error
from .verify import Entries, root_hash

_PATIENCE_S = 60.0


def preview(source: str, target: str, kind: str) -> dict[str, Any]:
    """What there is to do to make the image ``target`` of a disk of ``kind``, or a disk of an image if that is empty; and why it
    cannot be done. The domain may run meanwhile. Raises ImageError."""
    qemu_img.check_there()
    try:
        length = qemu_img.length_of(source, kind, in_use=True) if kind else Path(source).stat().st_size
        _check_room(target, length)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=source, remedy="check whether it exists") from None
    return _plan(source, target, kind or "raw", length)


def to_image(
    source: str, target: str, kind: str, report: Report, *, replace: bool = False, patience_s: float = _PATIENCE_S
) -> dict[str, Any]:
    """Make the image ``target`` of the disk ``source``, which nobody has open any more; the ``done`` event.

    Raises ImageError; nothing is left of what was begun then.
    """
    began, started = time.monotonic(), _now()
    qemu_img.check_there()
    check_replace(target, replace=replace)
    length = _once_closed(lambda: qemu_img.length_of(source, kind), patience_s)
    qemu_img.check(source, kind)
    report(_plan(source, target, kind, length))
    with _alone(source, target, length) as journal, _quiet(source) as check_unchanged:
        partial = f"{target}.partial"
        with open_target(partial, create=True) as image:
            try:
                image.set_length(0)
                _check_room(target, length)
                image.set_length(length)
                qemu_img.to_raw(source, kind, partial, _steps(report, "copy", length))
                image.sync()
                qemu_img.compare(source, kind, partial, _steps(report, "verify", length))
                check_unchanged()
                record = _record(image, source, kind, started, report)
                manifests.write(manifests.path_for(target), record)
                image.copy_owner_and_mode(target)
                Path(partial).replace(target)
                manifests.sync_folder(target)
            except OSError as error:
                raise write_error(error, target, (0, length)) from None
            except ImageError:
                _remove(partial)
                journal.remove()
                raise
        journal.remove()
    return _done(source, target, record, began)


def from_image(source: str, target: str, kind: str, report: Report) -> dict[str, Any]:
    """Make a disk of ``kind`` of the image ``source``, in the place of the one that is there; the ``done`` event.

    Raises ImageError; what is there stays then.
    """
    began = time.monotonic()
    qemu_img.check_there()
    partial = f"{target}.partial"
    with Storage(source) as image:
        length = image.length
    report(_plan(source, target, "raw", length))
    with _alone(source, target, length) as journal, _quiet(source) as check_unchanged:
        _remove(partial)
        try:
            _check_room(target, length)
            with open_target(partial, create=True):
                pass  # with nobody else's rights to read it
            qemu_img.from_raw(source, partial, kind, target, _steps(report, "copy", length))
            found = qemu_img.length_of(partial, kind)
            if found != length:
                raise TargetError(
                    f"it would have {found} bytes, and the image has {length}",
                    where=target,
                    remedy="copy the image back by hand, or let the domain run from it as a raw file",
                )
            with open_target(partial, create=True) as disk:
                disk.sync()
                qemu_img.compare(partial, kind, source, _steps(report, "verify", length))
                check_unchanged()
                disk.copy_owner_and_mode(target)
            Path(partial).replace(target)
            manifests.sync_folder(target)
        except OSError as error:
            raise write_error(error, target, (0, length)) from None
        except ImageError:
            _remove(partial)
            raise
        finally:
            journal.remove()
    return {
        "event": "done",
        "source": source,
        "target": target,
        "bytes": length,
        "copied": length,
        "method": f"converted to {kind}",
        "reason": "",
        "verified": True,
        "seconds": round(time.monotonic() - began, 3),
    }


@contextlib.contextmanager
def _alone(source: str, target: str, length: int) -> Iterator[Journal]:
    """No other copy to ``target`` is under way, nor begins. Raises BusyError, TargetError."""
    path = f"{target}.journal"
    header: dict[str, object] = {
        "source": source,
        "host": os.uname().nodename,
        "length": length,
        "version": 1,
        "converted": True,
    }
    try:
        journal = Journal(path, header)
    except OSError as error:
        raise TargetError(
            f"cannot be written: {error.strerror}", where=path, remedy="check the folder and its permissions"
        ) from None
    with contextlib.closing(journal):
        yield journal


@contextlib.contextmanager
def _quiet(source: str) -> Iterator[Callable[[], None]]:
    """What raises SourceError if ``source`` was written since."""
    with Storage(source) as opened:
        before = opened.changed()

        def check() -> None:
            if opened.changed() != before:
                raise SourceError(
                    "it was written while it was converted",
                    where=source,
                    remedy="shut its domain down, and run this again",
                )

        yield check


def _once_closed(check: Callable[[], int], patience_s: float) -> int:
    """What ``check`` says. The domain's device model closes its disks only after the domain is gone. Raises BusyError."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return check()
        except BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _check_room(target: str, length: int) -> None:
    """Raise SpaceError if a file as long as the disk does not fit beside ``target``."""
    room = os.statvfs(Path(target).parent)
    free = room.f_bavail * room.f_frsize
    if length > free:
        raise SpaceError(
            f"{length - free} bytes are missing: {length} are needed, {free} are free",
            where=target,
            remedy="free some space, or choose another folder",
        )


def _record(image: Storage, source: str, kind: str, started: str, report: Report) -> Manifest:
    """What the storage has of the image, which was compared with its source before."""
    plan = plan_copy(image, every_block=True)
    entries = _hashes(image, tuple(cut(plan.ranges, plan.window)), Progress(report, "hash", plan.bytes))
    image.allocate()
    stamp = time.time_ns() // 10**9 * 10**9  # whole seconds: what every file system can keep
    image.set_mtime(stamp)
    image.sync()
    return Manifest(
        length=plan.length,
        window=plan.window,
        method=f"converted from {kind}",
        reason="",
        kind="unknown",
        source=source,
        host=os.uname().nodename,
        started=started,
        finished=_now(),
        entries=entries,
        image_mtime_ns=stamp,
    )


def _hashes(image: Storage, pieces: tuple[Piece, ...], progress: Progress) -> Entries:
    found, done = [], 0
    with contextlib.closing(mmap.mmap(-1, IO_SIZE)) as buffer, memoryview(buffer) as view:
        for piece in pieces:
            digest = hashlib.sha256()
            for start, end in piece.ranges:
                for at in range(start, end, IO_SIZE):
                    size = min(IO_SIZE, end - at)
                    image.read_into(view, at, size)
                    digest.update(view[:size])
                    done += size
                    progress.at(done)
            found.append((piece, digest.hexdigest()))
    return tuple(found)


def _steps(report: Report, phase: str, length: int) -> Callable[[float], None]:
    progress = Progress(report, phase, length)
    return lambda share: progress.at(round(share * length))


def _plan(source: str, target: str, kind: str, length: int) -> dict[str, Any]:
    return {
        "event": "plan",
        "source": source,
        "target": target,
        "length": length,
        "kind": kind,
        "method": "converted by qemu-img",
        "reason": "",
        "bytes": length,
    }


def _done(source: str, target: str, record: Manifest, began: float) -> dict[str, Any]:
    return {
        "event": "done",
        "source": source,
        "target": target,
        "bytes": record.length,
        "copied": record.bytes,
        "method": record.method,
        "reason": "",
        "verified": True,
        "hash": root_hash(record),
        "manifest": manifests.path_for(target),
        "seconds": round(time.monotonic() - began, 3),
    }


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
