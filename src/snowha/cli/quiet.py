"""Displays for ``-q`` and ``--log-file``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import TextIOBase
from typing import TextIO, cast

from snowha.cli.progress import Display, Line, PlainDisplay, lines_of
from snowha.plan import events

_RESULTS = (events.StepFailed, events.StepBlocked, events.StepLeft, events.RunLeftovers, events.RunEnded)


class QuietDisplay(PlainDisplay):
    """Only what failed, and what came of it all."""

    def _lines(self, event: events.Event) -> Iterator[Line]:
        if isinstance(event, _RESULTS):
            yield from lines_of(event, self._left)


class LogDisplay:
    """``shown``, with every event written into a log as well."""

    def __init__(self, shown: Display, log: Callable[[str], None]) -> None:
        self._shown = shown
        self._plain = PlainDisplay(cast(TextIO, _Log(log)))

    def __call__(self, event: events.Event, /) -> None:
        self._plain(event)
        self._shown(event)

    def confirm(self, question: str) -> bool:
        return self._shown.confirm(question)

    def __enter__(self) -> LogDisplay:
        self._shown.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._shown.__exit__(*details)


class _Log(TextIOBase):
    """A log as a stream: a line each time."""

    encoding = "utf-8"

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log

    def write(self, text: str, /) -> int:
        self._log(text.rstrip("\n"))
        return len(text)
