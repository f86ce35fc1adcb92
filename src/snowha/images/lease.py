"""The lease of an image that is written or read back: while this process has it, no server attaches the image.

The program that takes it is also the block script (docs/internals/image-lease.md). It locks an open file of ours, so the
lease ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .errors import BusyError, TargetError
from .opening import open_undelegated

_TIMEOUT_S = 60.0


@contextlib.contextmanager
def held(program: str, targets: Iterable[str], sources: Iterable[str] = ()) -> Iterator[None]:
    """Have the leases of the files among ``targets``, there or not yet, and of those ``sources`` that have a record of a lease.

    Nothing is done without a ``program``. Raises BusyError, which names who has one.
    """
    images = [path for path in dict.fromkeys(targets) if not _is_block(path)] if program else []
    images += [path for path in dict.fromkeys(sources) if program and Path(f"{path}.lease").exists()]
    with contextlib.ExitStack() as stack:
        words = [program, "take"]
        descriptors = []
        for image in images:
            for number, descriptor in enumerate(_open(image)):
                stack.callback(os.close, descriptor)
                if number:
                    _lock(descriptor, f"{image}.partial")
                    continue
                words += [image, "--fd", str(descriptor)]
                descriptors.append(descriptor)
        if images:
            _run(words, descriptors)
            stack.callback(_release, program, images)
        yield


def _is_block(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISBLK(Path(path).stat().st_mode)
    return False


def _open(image: str) -> list[int]:
    """The image and its partial copy, as far as they are there; at least the latter, which is renamed to the image in the end."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    found = []
    try:
        for path in (image, f"{image}.partial"):
            with contextlib.suppress(FileNotFoundError):
                found.append(open_undelegated(path, flags))
        return found or [open_undelegated(f"{image}.partial", flags | os.O_CREAT)]
    except OSError as error:
        for descriptor in found:
            os.close(descriptor)
        raise TargetError(
            f"cannot be opened for its lease: {error.strerror}",
            where=image,
            remedy="check the permissions of its folder",
        ) from None


def _lock(descriptor: int, path: str) -> None:
    """Where the storage has no locks, the record is what is left (20-lease-record.pl)."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
            return
        raise BusyError(
            "it is locked: another copy to this target is under way", where=path, remedy="wait for it, or end it"
        ) from None


def _run(words: Sequence[str], descriptors: Sequence[int] = ()) -> None:
    try:
        done = subprocess.run(
            words,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(
            f"the lease cannot be taken: {error}", where=words[0], remedy="`snow ha apply` installs it"
        ) from None
    if done.returncode:
        said = done.stderr.strip().removeprefix("snow-lease: ")
        raise BusyError(
            said or f"{words[0]} ended with {done.returncode}", remedy="see which server has it: snow-lease list IMAGE"
        )


def _release(program: str, images: Sequence[str]) -> None:
    """Say that the lease is free again. Where that cannot be said, the lock that ends with this process is what counts."""
    with contextlib.suppress(TargetError, BusyError):
        _run([program, "give", *images])
