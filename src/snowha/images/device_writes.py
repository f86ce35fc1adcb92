"""How much was written to an open file or block device, for a comparison of before and after.

A block device does not say when it was written, but the kernel counts what is written to it
(Linux' Documentation/block/stat.rst): also by a guest, whose writes pass by every cache and claim of this server, and by whatever
lies on top of the device (a mount, LVM, md, a partition), since all of that becomes writes to it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from .errors import SourceError

SYSFS = Path("/sys/dev/block")
_COUNTED = (6, 13)
"""Fields of ``stat``: sectors that were written, and discarded. Not how often: a flush counts as a write, and is no content."""


def stamp(descriptor: int, path: str) -> str:
    """Another one later means that somebody wrote. What is still in this server's caches is written first, so it counts.

    Raises SourceError for a device of which the kernel does not count this; OSError.
    """
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    found = os.fstat(descriptor)
    if stat.S_ISBLK(found.st_mode):
        return _counters(SYSFS / f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}", path)
    # opened anew: an NFS client asks the server then (close-to-open consistency), and answers from memory else
    again = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        now = os.fstat(again)
    finally:
        os.close(again)
    return f"{now.st_dev} {now.st_ino} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_size}"


def _counters(device: Path, path: str) -> str:
    try:
        fields = (device / "stat").read_text().split()
        in_flight = (device / "inflight").read_text().split()
        # a partition has the queue of its disk
        folder = device.resolve(strict=True)
        queue = next(one for one in (folder / "queue", folder.parent / "queue") if one.exists())
        is_counting = (queue / "iostats").read_text().strip() != "0"
        counted = [fields[number] for number in _COUNTED]
    except (OSError, IndexError, StopIteration) as error:
        raise SourceError(
            f"the kernel does not say what is written to it ({device}: {error})",
            where=path,
            remedy="mount /sys; without it a write during the copy could not be detected",
        ) from None
    if not is_counting:
        raise SourceError(
            "the kernel does not count what is written to it, so a write during the copy could not be detected",
            where=path,
            remedy=f"echo 1 > {queue}/iostats, then run this again",
        )
    return " ".join([*counted, in_flight[-1] if in_flight else ""])
