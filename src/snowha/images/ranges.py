"""Ranges of bytes: sorted lists of (start, end), end excluded, that do not touch each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Range = tuple[int, int]

GRAIN = 4096
"""Bytes. O_DIRECT wants offsets, lengths and memory aligned to the logical block size (open(2)); no disk has a larger one."""


@dataclass(frozen=True)
class Piece:
    """The ranges inside one window of the image: what is hashed as a whole, and what a worker does in one go."""

    index: int
    ranges: tuple[Range, ...]

    @property
    def bytes(self) -> int:
        return total(self.ranges)


def merge(ranges: Iterable[Range], *, gap: int = 0) -> list[Range]:
    """Sorted, with ranges joined that overlap, touch, or are at most ``gap`` bytes apart."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1] + gap:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def aligned(ranges: Iterable[Range], length: int, *, grain: int = GRAIN) -> list[Range]:
    """Every range widened to multiples of ``grain``, cut off at ``length``."""
    return merge((start // grain * grain, min(length, -(-end // grain) * grain)) for start, end in ranges)


def bounded(ranges: list[Range], most: int) -> list[Range]:
    """At most ``most`` ranges, by reading over more and more of the gaps: memory must not grow with the disk."""
    gap = GRAIN
    while len(ranges) > most:
        ranges = merge(ranges, gap=gap)
        gap *= 2
    return ranges


def intersect(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """What is in both."""
    found: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start = max(left[i][0], right[j][0])
        end = min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


def without(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """What is in ``left`` and not in ``right``."""
    return intersect(left, list(gaps(right, left[-1][1]))) if left else []


def gaps(ranges: Iterable[Range], length: int) -> Iterator[Range]:
    """What lies between, up to ``length``."""
    at = 0
    for start, end in ranges:
        if at < start:
            yield at, start
        at = end
    if at < length:
        yield at, length


def total(ranges: Iterable[Range]) -> int:
    """Bytes in all ranges."""
    return sum(end - start for start, end in ranges)


def cut(ranges: Iterable[Range], window: int) -> list[Piece]:
    """The pieces, one for every window of ``window`` bytes in which there is something."""
    pieces: list[Piece] = []
    current = -1
    inside: list[Range] = []
    for start, end in ranges:
        while start < end:
            index = start // window
            stop = min(end, (index + 1) * window)
            if index != current:
                if inside:
                    pieces.append(Piece(current, tuple(inside)))
                current, inside = index, []
            inside.append((start, stop))
            start = stop
    if inside:
        pieces.append(Piece(current, tuple(inside)))
    return pieces
