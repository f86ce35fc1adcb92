"""What happens, as data: one JSON line an event, or one line of text."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from .errors import Interrupted

Report = Callable[[dict[str, Any]], None]


def as_json(event: dict[str, Any]) -> None:
    """One line on stdout, at once. Raises Interrupted if nobody listens."""
    line(json.dumps(event))


def line(text: str) -> None:
    """``text`` on stdout, at once. Raises Interrupted if nobody listens."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # what is left in its buffer would be written again, and fail again, when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Interrupted("no process reads the events any more", remedy="run it again: it resumes") from None


def as_text(event: dict[str, Any]) -> None:
    """For a person: progress overwrites itself on a terminal and is left out elsewhere."""
    kind = event["event"]
    if kind == "progress":
        if sys.stderr.isatty():
            share = f"{100 * event['done'] / event['total']:.0f} % of {size(event['total'])}"
            sys.stderr.write(
                f"\r\033[K{event['phase']}: {share}, {size(event['rate'])}/s, {event['left_s']:.0f} s left"
            )
        return
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    if kind == "plan":
        why = f" ({event['reason']})" if event["reason"] else ""
        line(f"{event['source']}: {size(event['length'])}, {event['method']}{why}: {size(event['bytes'])} to read")
    elif kind == "waiting" and not event["seconds"]:
        line(f"waiting for {event['target']}")
    elif kind == "done":
        line(
            f"{event['target']}: {size(event['bytes'])}, {event['method']}, verified, {event['seconds']:.1f} s, {event['hash']}"
        )


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


class Progress:
    """Turns counts of bytes into events, at most two a second."""

    def __init__(self, report: Report, phase: str, total: int) -> None:
        self._report = report
        self._phase = phase
        self._total = total
        self._began = time.monotonic()
        self._last = 0.0

    def at(self, done: int, *, force: bool = False) -> None:
        if not self._total:
            return  # swap, of which nothing is copied
        now = time.monotonic()
        if not force and now - self._last < 0.5:
            return
        self._last = now
        rate = done / max(now - self._began, 1e-3)
        self._report(
            {
                "event": "progress",
                "phase": self._phase,
                "done": done,
                "total": self._total,
                "rate": round(rate),
                "left_s": round((self._total - done) / rate, 1) if rate else 0.0,
            }
        )
