"""The line at the foot of a terminal that says what a verb waits for, while it has nothing to show yet.

It is on stderr, and only if that is a terminal. rich is imported only if there is something to wait for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snowha.cli import terminal, verbosity
from snowha.hosts.current_waits import Wait, waits

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

PATIENCE_S = 0.3
"""Seconds without the line: with what is imported before and now, it is there within a second."""
_LONG_S = 1.0
"""Who has not answered for so long is waited for; others are just being asked."""
_NAMED = 3
"""How many are named; a site may have more servers than a line has room."""


@contextmanager
def shown() -> Iterator[Callable[[str], None]]:
    """Show what is waited for until the end of ``with``, and before it what the function that it gives was told last.

    Nothing may be written meanwhile, but while it is ``paused``. With -q nothing is shown, nor with -v, which shows more.
    """
    global _line
    if verbosity.chosen.quiet or verbosity.chosen.verbose or _line is not None or not terminal.is_live(sys.stderr):
        yield lambda text: None
        return
    _line = line = Line()
    try:
        yield line.doing
    finally:
        _line = None
        line.end()


@contextmanager
def paused() -> Iterator[None]:
    """The terminal belongs to somebody else until the end of ``with``."""
    if (line := _line) is None:
        yield
        return
    with line.paused():
        yield


def text(doing: str, waits: Sequence[Wait], now: float) -> str:
    """The line. ``waits`` begin with the longest, whose seconds are shown."""
    slow = [wait for wait in waits if now - wait.since >= _LONG_S]
    names = [wait.what for wait in slow or waits]
    if len(names) > _NAMED:
        names[_NAMED:] = [f"{len(names) - _NAMED} more"]
    listed = ", ".join(names)
    what = f"waiting for {listed} ({now - slow[0].since:.0f} s)" if slow else f"asking {listed}" if names else ""
    return " · ".join(part for part in (doing, what) if part)


class Line:
    """It comes after PATIENCE_S, by a thread of its own, and goes with ``end``."""

    def __init__(self) -> None:
        self._said = ""
        self._live: Live | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE_S, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def doing(self, text: str) -> None:
        self._said = text

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._live is not None:
                self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._lock:
            if self._live is not None:
                self._live.stop()
            try:
                yield
            finally:
                if self._live is not None and not self._ended:
                    self._start(self._live)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console: Console = Console(file=verbosity.raw(sys.stderr), highlight=False)  # nothing of it is for the log
        with self._lock:
            if self._ended:
                return
            self._live = Live(
                console=console,
                get_renderable=self._render,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._start(self._live)

    def _start(self, live: Live) -> None:
        live.start()
        live.console.show_cursor(True)  # who is killed cannot bring it back

    def _render(self) -> Text:
        from rich.text import Text

        now = time.monotonic()
        return Text(text(self._said, waits(), now), style="dim", no_wrap=True, overflow="ellipsis")


_line: Line | None = None
"""The one that is shown."""
