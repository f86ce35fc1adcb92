"""The chart of a report: who ran where and when, and when it did not answer. Report in, SVG out; pure.

Nothing in it is rounded away: what is shorter than a pixel is still drawn a pixel wide, every time without an answer
has its seconds written to it, and a domain seen on two servers is drawn on both. Servers differ by pattern as well as
by colour, reasons by the shape of their mark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from snowha.lab.report_chart_colours import FONT_FAMILY, HATCHES, PATTERNS, STYLE, attributes
from snowha.lab.report_chart_layout import (
    FONT,
    Axis,
    Label,
    merged,
    overlaps,
    seconds_text,
    shortened,
    spread,
    text_width,
)
from snowha.migration.sections import SECTIONS

WIDTH = 1120
_RIGHT = 18
_BAR, _STRIP, _LABELS, _GAP = 15, 5, 14, 7
"""Heights in pixels: where a domain ran, when it did not answer, the seconds below, and the space to the next lane."""
_STEP_ROW = 15
REASONS = ("copy", "live migration", "restart", "power loss", "")
_WORDS = {"copy": "image copied", "restart": "restarted on purpose", "": "other"}


def chart_svg(report: Mapping[str, Any], *, headline: str = "", good: bool = True) -> str:
    """The chart of a report as one SVG element, which stands alone and inside HTML. ``headline`` goes on top."""
    data = report["timeline"]
    servers = _server_order(report)
    names = [*data["domains"], *servers, *SECTIONS]
    left = 16 + min(max(max(map(text_width, names)) + 14, 90), 200)
    axis = Axis(data["start"], max(data["end"], data["start"] + 1), left, WIDTH - _RIGHT)
    drawing = _Drawing(axis, servers)
    if headline:
        drawing.headline(headline, good)
    drawing.sections(data.get("steps", ()))
    top = drawing.marks_above(data.get("marks", ()))
    drawing.heading("domains: the bar is the server that ran it, the strip below is time without an answer")
    for name, row in data["domains"].items():
        drawing.domain(name, row)
    drawing.heading("power")
    for server in servers:
        drawing.server(server, data.get("servers", {}).get(server, {}))
    bottom = drawing.y
    drawing.minutes(bottom)
    drawing.legend({away.get("why", "") for row in data["domains"].values() for away in row["away"]})
    return drawing.render(data.get("marks", ()), top, bottom)


def _server_order(report: Mapping[str, Any]) -> list[str]:
    """Every server that anything is said of, each once, by name: so a server has its colour in every picture."""
    data = report["timeline"]
    names = set(data.get("servers", {}))
    names |= {stay["server"] for row in data["domains"].values() for stay in row["stays"]}
    return sorted(names)


class _Drawing:
    """Grows downwards; ``y`` is where the next thing goes."""

    def __init__(self, axis: Axis, servers: list[str]) -> None:
        self.axis = axis
        self.servers = servers
        self.y = 10.0
        self.body: list[str] = []

    def _text(self, x: float, y: float, text: str, *, kind: str = "", anchor: str = "start", title: str = "") -> None:
        inner = escape(text) + (f"<title>{escape(title)}</title>" if title else "")
        anchored = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.body.append(f'<text x="{x:.1f}" y="{y:.1f}" {attributes(kind or "word")}{anchored}>{inner}</text>')

    def _rect(
        self, x: float, y: float, width: float, height: float, kind: str, title: str = "", fill: str = ""
    ) -> None:
        paint = f'fill="{fill}"' if fill else attributes(kind)
        inner = f"><title>{escape(title)}</title></rect>" if title else "/>"
        self.body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {paint}{inner}')

    def _clock(self, t: float) -> str:
        """Minutes and seconds since the start."""
        minutes, seconds = divmod(max(round(t - self.axis.start), 0), 60)
        return f"{minutes}:{seconds:02}"

    def _during(self, start: float, end: float) -> str:
        return f"{self._clock(start)} to {self._clock(end)}, {seconds_text(end - start)}"

    def headline(self, text: str, good: bool) -> None:
        text = f"{'✓' if good else '✗'} {text}"
        size = min(15.0, 15 * (WIDTH - 60) / text_width(text, 15))
        self._rect(16, self.y + 2, 5, 18, "goodfill" if good else "badfill")
        font = f'font-size="{size:.1f}" font-weight="600"'
        self.body.append(f'<text x="28" y="{self.y + 16:.1f}" {attributes("word")} {font}>{escape(text)}</text>')
        self.y += 32

    def heading(self, text: str) -> None:
        self._text(16, self.y + 12, text, kind="muted head")
        self.y += 20

    def sections(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """A row a section, since sections overlap: a bar wherever one of its steps was being carried out."""
        if not steps:
            return
        self.heading("migration, by section of the guide")
        known = [*SECTIONS, *sorted({step["section"] for step in steps} - set(SECTIONS))]
        for section in known:
            own = [step for step in steps if step["section"] == section]
            if own:
                self._section(section, own)
        self.y += 8

    def _section(self, section: str, steps: list[Mapping[str, Any]]) -> None:
        self._text(16, self.y + 11, shortened(section, self.axis.left - 24))
        self._rect(self.axis.left, self.y + 2, self.axis.right - self.axis.left, _STEP_ROW - 4, "lane")
        total = 0.0
        edge = self.axis.left
        for start, end, titles in merged(steps):
            x, width = self.axis.span(start, end)
            self._rect(x, self.y + 2, width, _STEP_ROW - 4, "step", f"{'; '.join(titles)} ({self._during(start, end)})")
            total += end - start
            edge = x + width
        words = seconds_text(total)
        first = self.axis.x(min(step["from"] for step in steps))
        if edge + 5 + text_width(words) <= self.axis.right:
            self._text(edge + 5, self.y + 11, words, kind="muted")
        elif first - 5 - text_width(words) >= self.axis.left:
            self._text(first - 5, self.y + 11, words, kind="muted", anchor="end")
        self.y += _STEP_ROW

    def marks_above(self, marks: Sequence[Mapping[str, Any]]) -> dict[int, float]:
        """Titles of the marks in a staircase, so that no line crosses a title. Where each mark's line begins."""
        ordered = sorted(range(len(marks)), key=lambda number: float(marks[number]["t"]))
        titles = {number: f"{marks[number]['title']} ({self._clock(marks[number]['t'])})" for number in ordered}
        # To the left of the lines where one would not fit on the right; then the last one is on top.
        leftwards = any(self.axis.x(marks[n]["t"]) + text_width(titles[n]) + 8 > self.axis.right for n in ordered)
        starts: dict[int, float] = {}
        row, taken, lowest = 0, -math.inf, -1
        for number in reversed(ordered) if leftwards else ordered:
            x = self.axis.x(marks[number]["t"]) * (-1 if leftwards else 1)
            row = 0 if x > taken else row + 1
            taken = max(taken, x + text_width(titles[number]) + 12)
            lowest = max(lowest, row)
            starts[number] = self.y + row * 14
            here, anchor = (abs(x) - 4, "end") if leftwards else (x + 4, "start")
            self._text(here, starts[number] + 10, titles[number], kind="marktext", anchor=anchor)
        self.y += (lowest + 1) * 14 + (4 if marks else 0)
        return starts

    def _lane(self, name: str, server: str | None = None) -> None:
        shown = shortened(name, self.axis.left - 24 - (14 if server else 0))
        x = 16.0
        if server:
            self._swatch(x, self.y + 3, server)
            x += 15
        self._text(x, self.y + 12, shown, kind="head", title=name if shown != name else "")

    def _swatch(self, x: float, y: float, server: str, width: float = 10, height: float = 10, title: str = "") -> None:
        number = self.servers.index(server) % PATTERNS
        self._rect(x, y, width, height, f"s{number}", title)
        if HATCHES[number]:
            self._rect(x, y, width, height, "", title, fill=f"url(#tl-p{number})")

    def domain(self, name: str, row: Mapping[str, Any]) -> None:
        """A lane: the servers that ran it, the times without an answer, their seconds."""
        self._lane(name)
        axis = self.axis
        self._rect(axis.left, self.y, axis.right - axis.left, _BAR, "lane")
        both = overlaps(row["stays"])
        for stay in sorted(row["stays"], key=lambda stay: float(stay["from"])):
            if axis.shows(stay["from"], stay["to"]):
                self._stay(name, stay, any(a < stay["to"] and stay["from"] < b for a, b in both))
        for start, end in both:
            x, width = axis.span(start, end, least=6)
            self.body.append(
                f'<rect x="{x:.1f}" y="{self.y - 1.5:.1f}" width="{width:.1f}" height="{_BAR + 3}" {attributes("twice")}>'
                f"<title>{escape(f'{name} on two servers at once: {self._during(start, end)}')}</title></rect>"
            )
        labels = []
        for away in row["away"]:
            if axis.shows(away["from"], away["to"]):
                why = away.get("why", "")
                x, width = axis.span(away["from"], away["to"], least=2)
                title = f"{name} did not answer: {self._during(away['from'], away['to'])} ({_WORDS.get(why, why)})"
                self._rect(x, self.y + _BAR + 1, width, _STRIP, "away", title)
                labels.append(Label(x + width / 2, seconds_text(away["to"] - away["from"]), why))
        labels += [Label(axis.x((a + b) / 2), "TWO PLACES", bad=True) for a, b in both]
        self.y += _BAR + _STRIP + 1
        self._labels(labels)
        self.y += _GAP

    def _stay(self, name: str, stay: Mapping[str, Any], halved: bool) -> None:
        """Half as high where it overlaps another server's: both are to be seen."""
        x, width = self.axis.span(stay["from"], stay["to"])
        number = self.servers.index(stay["server"])
        height = _BAR / 2 if halved else _BAR
        top = self.y + (height if halved and number % 2 else 0)
        title = f"{name} on {stay['server']}: {self._during(stay['from'], stay['to'])}"
        self._swatch(x, top, stay["server"], width, height, title)
        if not halved and width > text_width(stay["server"]) + 10:
            room = text_width(stay["server"]) + 6
            self._rect(x + 3, top + 2, room, height - 4, f"s{number % PATTERNS}")
            self._text(x + 6, top + 11.5, stay["server"], kind="on")

    def _labels(self, labels: list[Label]) -> None:
        """Below what they belong to, moved apart where they would touch, in as many rows as they need."""
        if not labels:
            return
        labels = sorted(labels, key=lambda label: label.at)
        low, high = self.axis.left, self.axis.right + 12
        rows = math.ceil(sum(label.width + 6 for label in labels) / (high - low))
        for row in range(rows):
            own = labels[row::rows]
            for label, x in zip(own, spread([(one.at, one.width) for one in own], low, high), strict=True):
                middle = x + label.width / 2
                if abs(middle - label.at) > 3:
                    path = f"M{label.at:.1f} {self.y:.1f}L{middle:.1f} {self.y + 3:.1f}"
                    self.body.append(f'<path {attributes("leader")} d="{path}"/>')
                self._rect(x - 2, self.y + 3, label.width + 3, 11, "under")  # the marks' lines end behind it
                if label.reason is not None:
                    self._shape(x, self.y + 4, label.reason)
                kind = "marktext" if label.bad else ""
                self._text(x + (11 if label.reason is not None else 0), self.y + 12, label.text, kind=kind)
            self.y += _LABELS

    def _shape(self, x: float, y: float, reason: str) -> None:
        """8 × 8: a square, an arrow to and fro, a triangle, a cross; a ring for what has no explanation."""
        if reason == "copy":
            self._rect(x, y, 8, 8, "away")
        elif reason == "live migration":
            self.body.append(
                f'<path {attributes("away")} d="M{x:.1f} {y + 4:.1f}l4-4v8zM{x + 9:.1f} {y + 4:.1f}l-4-4v8z"/>'
            )
        elif reason == "restart":
            self.body.append(f'<path {attributes("away")} d="M{x:.1f} {y + 8:.1f}h8l-4-8z"/>')
        elif reason == "power loss":
            path = f"M{x + 1:.1f} {y + 1:.1f}l7 7m0-7l-7 7"
            self.body.append(f'<path {attributes("cross")} d="{path}"/>')
        else:
            ring = f'cx="{x + 4:.1f}" cy="{y + 4:.1f}" r="3"'
            self.body.append(f"<circle {attributes('ring')} {ring}/>")

    def server(self, name: str, row: Mapping[str, Any]) -> None:
        """A lane: a line while the server had power, a block while it had none."""
        self._lane(name, name)
        self._swatch(self.axis.left, self.y + 5, name, self.axis.right - self.axis.left, 4)
        labels = []
        for off in row.get("off", ()):
            if self.axis.shows(off["from"], off["to"]):
                x, width = self.axis.span(off["from"], off["to"], least=3)
                title = f"{name} without power: {self._during(off['from'], off['to'])}"
                self._rect(x, self.y, width, _BAR - 1, "away", title)
                labels.append(Label(x + width / 2, f"off {seconds_text(off['to'] - off['from'])}"))
        self.y += _BAR
        self._labels(labels)
        self.y += _GAP

    def minutes(self, y: float) -> None:
        """The axis: about ten ticks, at whole minutes."""
        length = (self.axis.end - self.axis.start) / 60
        every = next((n for n in (1, 2, 5, 10, 15, 30, 60, 120, 240) if length / n <= 14), 480)
        for minute in range(0, int(length) + 1, every):
            x = self.axis.x(self.axis.start + 60 * minute)
            self.body.insert(0, f'<path {attributes("grid")} d="M{x:.1f} 44V{y:.1f}"/>')
            anchor = "middle" if x + 20 < self.axis.right else "end"
            self._text(x, y + 13, f"{minute} min" if minute == 0 else str(minute), kind="muted", anchor=anchor)
        self.y = y + 24

    def legend(self, reasons: set[str]) -> None:
        """What the patterns and shapes mean; only what occurs."""
        x = 16.0
        entries: list[tuple[str, str]] = [("server", name) for name in self.servers]
        entries += [("reason", reason) for reason in (*REASONS, *sorted(reasons - set(REASONS))) if reason in reasons]
        for kind, name in entries:
            words = f"ran on {name}" if kind == "server" else f"did not answer: {_WORDS.get(name, name)}"
            width = 15 + text_width(words) + 18
            if x + width > WIDTH and x > 16:
                x, self.y = 16.0, self.y + 18
            if kind == "server":
                self._swatch(x, self.y + 3, name)
            else:
                self._shape(x + 1, self.y + 4, name)
            self._text(x + 15, self.y + 12, words)
            x += width
        self.y += 24

    def render(self, marks: Sequence[Mapping[str, Any]], tops: Mapping[int, float], bottom: float) -> str:
        lines = "".join(
            f'<path {attributes("mark")} d="M{self.axis.x(mark["t"]):.1f} {tops[number]:.1f}V{bottom:.1f}"/>'
            for number, mark in enumerate(marks)
        )
        patterns = "".join(
            f'<pattern id="tl-p{number}" width="{size}" height="{size}" patternUnits="userSpaceOnUse">{hatch}</pattern>'
            for number, (hatch, size) in enumerate(zip(HATCHES, (8, 8, 6, 8, 8, 8), strict=True))
            if hatch
        )
        size = f"0 0 {WIDTH} {self.y:.0f}"
        what = quoteattr("Timeline: where every domain ran, when it did not answer, and when a server had no power")
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="tl" viewBox="{size}" width="{WIDTH}" '
            f'height="{self.y:.0f}" font-family="{FONT_FAMILY}" font-size="{FONT}" role="img" aria-label={what}>'
            f"<style>{STYLE}</style><defs>{patterns}</defs>"
            f'<rect width="{WIDTH}" height="{self.y:.0f}" rx="6" {attributes("under")}/>{lines}{"".join(self.body)}</svg>'
        )
