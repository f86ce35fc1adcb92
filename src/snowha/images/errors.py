"""What can go wrong while an image is copied. The exit code of the command is the class of the error.

These are not the errors of the rest of the project: this package is sent to servers alone.
"""

from __future__ import annotations

from collections.abc import Sequence


class ImageError(Exception):
    """An error with a remedy. ``ranges`` are the bytes (start, end) that it is about, where it is about some."""

    exit_code = 1
    kind = "image"

    def __init__(
        self, message: str, *, where: str = "", remedy: str = "", ranges: Sequence[tuple[int, int]] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.ranges = tuple(ranges)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class UsageError(ImageError):
    """The words given cannot be used."""

    exit_code = 2
    kind = "usage"


class SourceError(ImageError):
    """The source cannot be read, or was written while it was read."""

    exit_code = 3
    kind = "source"


class SectorError(SourceError):
    """What it holds depends on the size of its sectors, and the target has others."""


class TargetError(ImageError):
    """The target cannot be written, or must not be."""

    exit_code = 4
    kind = "target"


class SpaceError(ImageError):
    """There is not enough room for the target."""

    exit_code = 5
    kind = "space"


class VerifyError(ImageError):
    """What is on the storage is not what the manifest says."""

    exit_code = 6
    kind = "verify"


class BusyError(ImageError):
    """Somebody else has the source or the target open."""

    exit_code = 7
    kind = "busy"


class Interrupted(ImageError):
    """Ended by a signal. What was synced stays, and the next run goes on from there."""

    exit_code = 130
    kind = "interrupted"
