"""What a user can cause is one message: what, where, what to do. Everything else is a traceback, and a bug.

The exit code of ``snow`` is the class of the error, so that a script can tell a typing mistake from a dead server.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

_WITHOUT_PATH = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EAGAIN,
    }
)
"""What the kernel says of the machine, whatever was asked (errno(3)): full, read-only, broken, exhausted."""
_WITH_PATH = _WITHOUT_PATH | {
    *(
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    ),
    *(errno.ESTALE, errno.EBUSY, errno.ETXTBSY, errno.ENXIO, errno.ENODEV, errno.ENOTEMPTY, errno.EXDEV, errno.EMLINK),
}
"""What it says of a file that it names."""
_REMEDIES = {
    errno.ENOSPC: "free some space there, and run it again",
    errno.EDQUOT: "free some space there, and run it again",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "run it as a user who may, or name another place",
    errno.EPERM: "run it as a user who may, or name another place",
    errno.ENOTDIR: "correct the path: the part before its last / is a file, not a folder",
    errno.ELOOP: "correct the links there: they form a loop (ls -l shows where each leads)",
    errno.ENAMETOOLONG: "name it with fewer characters: most file systems take 255",
    errno.EISDIR: "name a file, not a folder",
}


class SnowError(Exception):
    """An error with a remedy. ``where`` is a file and line, a host, or a domain. ``findings``: what it is made of, as data, if it
    stands for several."""

    exit_code = 1
    answered = False
    """What could be shown stands on stdout already."""

    def __init__(
        self, message: str, *, where: str = "", remedy: str = "", findings: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.findings = tuple(findings)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class InputError(SnowError):
    """Something that the user wrote (a file, an argument) cannot be used."""

    exit_code = 2


class UnreachableError(SnowError):
    """A server, a BMC or the storage does not answer, or refuses the login."""

    exit_code = 3


class SiteError(SnowError):
    """The site is in a state in which it would be wrong to go on."""

    exit_code = 4


class LostLockError(SiteError):
    """Another run may have taken over: a command was not carried out, and nothing more may be done to any server."""

    command: tuple[str, ...] = ()
    """The one that was not carried out."""


class CommandError(SnowError):
    """A command on a server failed. The message shows it once, ready to paste."""

    exit_code = 5


class ProofError(SnowError):
    """A step was carried out and its result, checked on the real thing, is not what it must be."""

    exit_code = 6


class MachineError(SnowError):
    """The machine that `snow` runs on cannot do what it must: a full disk, a folder that cannot be written."""


def explained(error: BaseException) -> BaseException:
    """What the kernel says of this machine as one message; everything else, which may be a bug of ours, as it is."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return error
    known = _WITHOUT_PATH if error.filename is None else _WITH_PATH
    if error.errno not in known:
        return error
    where = "" if error.filename is None else str(error.filename)
    return MachineError(error.strerror or str(error), where=where, remedy=remedy_of(error))


def remedy_of(error: OSError) -> str:
    """What can be done about what the kernel says of a file; empty where nothing general can be said."""
    return _REMEDIES.get(error.errno or 0, "")
