"""What a running step talks to: its words become events, its facts go to the journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from snowha.plan import events
from snowha.plan.step import Cancelled, Fact, Step

_PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of a step: nobody can read more, and a copy reports every chunk."""
_NOTE_INTERVAL = 2.0
"""Seconds between two notes of how far a step is, for whoever reads the journal of a run that goes on."""


class StepReporter:
    """The Reporter of one step in one run. Safe to use from many threads."""

    def __init__(
        self,
        step: Step,
        *,
        emit: Callable[[events.Event], None],
        cancelled: threading.Event,
        keep: Callable[[str, Fact], None],
        note: Callable[[float, float, str], None],
    ) -> None:
        self._step = step
        self._emit = emit
        self._cancelled = cancelled
        self._keep = keep
        self._note = note
        self._last_text = ""
        self._next_progress = self._next_note = 0.0

    def say(self, text: str) -> None:
        self._safe_point()
        if text != self._last_text:  # a wait says the same before every look
            self._last_text = text
            self._emit(events.StepSaid(text=text, **events.names(self._step)))

    def wait(self, text: str) -> None:
        self.say(text)

    def progress(self, done: float, total: float, unit: str = "") -> None:
        self._safe_point()
        now = time.monotonic()
        if now >= self._next_note or done >= total:
            self._next_note = now + _NOTE_INTERVAL
            self._note(done, total, unit)
        if now >= self._next_progress or done >= total:
            self._next_progress = now + _PROGRESS_INTERVAL
            self._emit(events.StepProgress(done=done, total=total, unit=unit, **events.names(self._step)))

    def fact(self, key: str, value: Fact) -> None:
        self._keep(key, value)
        self._emit(events.StepFact(key=key, value=value, **events.names(self._step)))

    def _safe_point(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
