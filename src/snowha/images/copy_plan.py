"""What would be read from a source, and why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from . import ext, signatures, swap, xfs
from .filesystem import HEAD, MOST_RANGES, NotTrusted
from .ranges import Range, aligned, bounded, intersect, merge, total
from .storage import Storage

EVERY_BLOCK = "every block"
SMALLEST_WINDOW = 4 << 20
_MOST_WINDOWS = 16384


@dataclass(frozen=True)
class CopyPlan:
    """``ranges`` are what must be copied; all else reads as zeros in the image."""

    length: int
    kind: str
    """``ext4``, ``xfs``, ``swap``, ``unknown``, …"""
    method: str
    """``ext4 used blocks``, ``new swap header`` or ``every block``."""
    reason: str
    """Why every block, if so."""
    ranges: tuple[Range, ...]
    header: bytes = b""
    """What the image begins with instead of what the source begins with (swap)."""
    change_stamp: str = ""
    """A hash over what the survey relied on. If it is another one after the copy, the source was written meanwhile."""

    @property
    def bytes(self) -> int:
        return total(self.ranges)

    @property
    def window(self) -> int:
        """Bytes hashed as one: more on larger volumes, so that the manifest and our memory do not grow with them."""
        window = SMALLEST_WINDOW
        while self.length > window * _MOST_WINDOWS:
            window *= 2
        return window


def plan_copy(source: Storage, *, every_block: bool = False, unclean: bool = False) -> CopyPlan:
    """Look at a source. Never raises for what is on it: what cannot be trusted is read whole. Raises as ``change_stamp``.

    ``unclean``: a snapshot of a file system in use. What is found is a guess that ``incremental`` makes good (see there). Of XFS
    there is none: only a kernel can replay its log, which may hold minutes of writes, so too much would be left for the end.
    """
    length = source.length
    before = change_stamp(source)
    whole = merge([(0, length)])
    if every_block:
        return _survey(source, before, "unknown", EVERY_BLOCK, "asked for", whole)
    head = source.read_bytes(0, min(length, HEAD))
    try:
        if length < 4096:
            raise NotTrusted("too small for a file system")
        found = swap.parse(head, length)
        if found:
            _is_only(source, "swap")
            return CopyPlan(length, "swap", "new swap header", "", (), swap.render(found, length), before)
        if head.startswith(xfs.MAGIC):
            kind, used = xfs.used_ranges(source.read_bytes, length)
            _is_only(source, "xfs")
        else:
            kind, used = ext.used_ranges(source.read_bytes, length, unclean=unclean)
            _is_only(source, "ext")
    except NotTrusted as reason:
        return _survey(source, before, "unknown", EVERY_BLOCK, str(reason), whole)
    return _survey(source, before, kind, f"{kind} used blocks", "", used)


def _is_only(source: Storage, kind: str) -> None:
    """Raise NotTrusted for a source that is signed as something else than ``kind`` as well."""
    signatures.only(source.read_bytes, source.length, kind)
    signatures.agrees(source.path, kind)


def _survey(source: Storage, before: str, kind: str, method: str, reason: str, ranges: list[Range]) -> CopyPlan:
    """Holes of a source that is a file need not be read either."""
    if not source.is_block:
        data = bounded(aligned(source.data_ranges(), source.length), MOST_RANGES)
        ranges = bounded(intersect(ranges, data), MOST_RANGES)
    return CopyPlan(source.length, kind, method, reason, tuple(ranges), change_stamp=before)


def change_stamp(source: Storage) -> str:
    """Over the beginning of the source, where a mount changes ext's superblock, and over what the kernel counts of writes to a
    device, or a file's times and size.

    Another one after the copy means that somebody wrote. Raises SourceError if that cannot be known, OSError.
    """
    digest = hashlib.sha256(source.read_bytes(0, min(source.length, HEAD)))
    digest.update(source.changed().encode())
    return digest.hexdigest()
