"""What a user can cause is one message: what, where, what to do. Everything else is a traceback, and a bug.

The exit code of ``snow`` is the class of the error, so that a script can tell a typing mistake from a dead server.
"""

from __future__ import annotations


class SnowError(Exception):
    """An error with a remedy. ``where`` is a file and line, a host, or a domain."""

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class InputError(SnowError):
    """Something that the user wrote (a file, an argument) cannot be used."""

    exit_code = 2


class UnreachableError(SnowError):
    """A server, a BMC or the storage does not answer, or refuses us."""

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
    """A step was carried out and its result, looked at on the real thing, is not what it must be."""

    exit_code = 6
