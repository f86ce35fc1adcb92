"""What a step would change, as data: for a person to read before it happens, and to compare later."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileChange:
    """A file that would be written or removed. ``diff`` is unified; empty where the content must not be shown, or is
    no text: ``about`` then says what is known of it."""

    host: str
    path: str
    diff: str = ""
    about: str = ""
    before: str = ""
    """sha256 of the content now, empty if there is none: what a saved plan is compared by."""


@dataclass(frozen=True)
class HostCommand:
    """A command that would be run, ready to paste."""

    host: str
    text: str


@dataclass(frozen=True)
class Change:
    """All that a step would do, as far as it can be told before the steps that it needs are done."""

    files: tuple[FileChange, ...] = ()
    commands: tuple[HostCommand, ...] = ()
    cib: tuple[str, ...] = ()
    """Differences of Pacemaker's configuration, a line each."""
    reboots: tuple[str, ...] = ()
    """Servers that are rebooted, or whose power is cut."""
    away: tuple[str, ...] = ()
    """Domains that do not answer for a while."""
    notes: tuple[str, ...] = ()
    complete: bool = True
    """False: it goes on from there, with what is only known then."""
