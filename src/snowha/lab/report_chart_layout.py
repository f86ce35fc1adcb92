"""The arithmetic of the chart: pixels, widths of texts, labels that must not touch. Pure; no SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snowha.lab.placement_log import TOLERANCE_S

FONT = 11


@dataclass(frozen=True)
class Axis:
    """Time to pixels. Times: unix, seconds."""

    start: float
    end: float
    left: float
    right: float

    def x(self, t: float) -> float:
        part = (min(max(t, self.start), self.end) - self.start) / max(self.end - self.start, 1e-9)
        return self.left + part * (self.right - self.left)

    def span(self, start: float, end: float, *, least: float = 1.0) -> tuple[float, float]:
        """Left and width, at least ``least`` pixels and inside the picture."""
        a, b = self.x(start), self.x(end)
        width = max(b - a, least)
        return min(a, self.right - width), width

    def shows(self, start: float, end: float) -> bool:
        return end >= self.start and start <= self.end


@dataclass(frozen=True)
class Label:
    """Text that belongs to ``at`` (pixels); ``reason`` puts that reason's mark in front."""

    at: float
    text: str
    reason: str | None = None
    bad: bool = False

    @property
    def width(self) -> float:
        return text_width(self.text) + (11 if self.reason is not None else 0)


def text_width(text: str, size: float = FONT) -> float:
    """Pixels that a text needs in the widest of the fonts it can come out in (DejaVu Sans)."""
    return len(text) * size * 0.63


def seconds_text(seconds: float) -> str:
    """``4.2 s``, ``54 s``, ``12 min 5 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def spread(wanted: Sequence[tuple[float, float]], low: float, high: float, space: float = 6) -> list[float]:
    """Left edges for labels of (centre, width), in this order, inside ``low``…``high`` and never one over another.

    Labels that would touch are moved apart around the middle of where they wanted to be. What does not fit begins at
    ``low``.
    """
    # per group: the left edges wanted, less the widths that stand before them in the group, and the width of it all
    groups: list[tuple[list[float], float]] = []
    counts: list[list[float]] = []
    for centre, width in wanted:
        offsets, total, widths = [centre - width / 2], width + space, [width + space]
        while groups:
            before, length = groups[-1]
            if _edge(before, length, low, high) + length <= _edge(offsets, total, low, high):
                break
            offsets = before + [offset - length for offset in offsets]
            total += length
            widths = counts[-1] + widths
            groups.pop()
            counts.pop()
        groups.append((offsets, total))
        counts.append(widths)
    edges = []
    for (offsets, total), widths in zip(groups, counts, strict=True):
        left = _edge(offsets, total, low, high)
        for width in widths:
            edges.append(left)
            left += width
    return edges


def _edge(offsets: list[float], total: float, low: float, high: float) -> float:
    return max(low, min(sum(offsets) / len(offsets), high - total))


def overlaps(stays: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """When a domain was on two servers at once, for longer than a late line can explain."""
    ordered = sorted(stays, key=lambda stay: float(stay["from"]))
    found = []
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            start, end = max(one["from"], other["from"]), min(one["to"], other["to"])
            if one["server"] != other["server"] and end - start > TOLERANCE_S:
                found.append((start, end))
    return found


def merged(steps: Iterable[Mapping[str, Any]]) -> list[tuple[float, float, list[str]]]:
    """Stretches in which at least one of the steps was going on, with their titles."""
    found: list[tuple[float, float, list[str]]] = []
    for step in sorted(steps, key=lambda step: float(step["from"])):
        if found and step["from"] <= found[-1][1]:
            start, end, titles = found[-1]
            found[-1] = (start, max(end, step["to"]), [*titles, step["title"]])
        else:
            found.append((step["from"], step["to"], [step["title"]]))
    return found


def shortened(name: str, room: float) -> str:
    """``name``, cut to so many pixels."""
    most = int(room / text_width("x"))
    return name if len(name) <= most else f"{name[: max(most - 1, 1)]}…"
