"""A run on the terminal, in a log, or as JSON lines. Always says what is being waited for.

rich is imported only by the live display: a log and JSON do without its start-up time.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from snowha.cli import terminal, verbosity
from snowha.cli.asking import ask
from snowha.cli.time_left import TimeLeft, about
from snowha.errors import SnowError, explained
from snowha.plan import events

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_BAR, _WIDE = 16, 100
"""Columns of a bar of progress, and of a terminal above which it has all of them."""
_QUIET = 15.0
"""Seconds between two lines of progress of one step in a log."""

Style = Literal["good", "dim", "bad", "warn", "plain"]
_COLOURS: dict[Style, str] = {"good": "green", "dim": "dim", "bad": "bold red", "warn": "yellow", "plain": ""}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "·": "-", "▸": ">", "‖": "|", "→": ">", "…": ".", "–": "-"})


class Display(Protocol):
    """A Monitor that is entered for the time of a run, and can ask."""

    def __call__(self, event: events.Event, /) -> None: ...

    def confirm(self, question: str) -> bool:
        """Ask for a yes. Raises SiteError without a terminal to ask on."""
        ...

    def __enter__(self) -> Display: ...

    def __exit__(self, *details: object) -> None: ...


def display(*, json: bool = False, stream: TextIO | None = None) -> Display:
    """The display for ``stream`` (standard output): live on a terminal, plain lines elsewhere, or JSON lines."""
    # with a log file the events go there by themselves, and not as a copy of what is drawn
    shown = _display(json, stream or verbosity.raw(sys.stdout))
    if verbosity.chosen.log is None:
        return shown
    from snowha.cli.quiet import LogDisplay

    return LogDisplay(shown, verbosity.chosen.log)


def _display(json: bool, out: TextIO) -> Display:
    if json:
        return JsonDisplay(out)
    if verbosity.chosen.quiet:
        from snowha.cli.quiet import QuietDisplay

        return QuietDisplay(out)
    if verbosity.chosen.verbose or not terminal.is_live(out):
        return PlainDisplay(out)
    from rich.console import Console

    return LiveDisplay(Console(file=out, highlight=False, no_color=not terminal.has_colour(out)))


@dataclass(frozen=True)
class Line:
    """One line for the user. ``mark`` is one character."""

    mark: str
    text: str
    style: Style = "plain"


def lines_of(event: events.Event, left: list[str]) -> Iterator[Line]:
    """What stays on the screen of an event. ``left`` gathers the titles of steps that were left undone."""
    match event:
        case events.StepDone():
            yield Line("✓", f"{event.title}  {duration(event.seconds)}", "good")
        case events.StepSkipped():
            yield Line("·", f"{event.title} (up to date)", "dim")
        case events.StepFailed():
            yield Line("✗", event.title, "bad")
            for text in error_text(event.error).splitlines():
                yield Line(" ", text, "plain")
        case events.StepBlocked():
            yield Line("·", f"{event.title} (not tried: needs {', '.join(event.because)})", "warn")
        case events.StepLeft():
            left.append(event.title)
            if event.begun:
                yield Line("‖", f"{event.title} (stopped)", "warn")
        case events.RunStopping():
            what = "waiting until the running steps reach a safe point" if event.running else "nothing is running"
            yield Line("‖", f"stopping: {what}; a second Ctrl-C leaves", "warn")
        case events.RunLeftovers():
            what = ", ".join(event.leftovers)
            again = f"removing {what}; Ctrl-C again leaves it behind"
            yield Line("‖", again if event.waits else f"left behind: {what}", "warn")
        case events.RunEnded():
            yield from _summary(event, left)


def _summary(event: events.RunEnded, left: list[str]) -> Iterator[Line]:
    took = duration(event.seconds)
    counts = {"done": event.done, "up to date": event.skipped, "failed": event.failed}
    counts |= {"not tried": event.blocked, "left": event.left}
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no steps"
    if event.failed or event.blocked:
        yield Line("✗", f"{text}  {took}", "bad")
    elif event.cancelled:
        yield Line("‖", f"{text}  {took}", "warn")
    elif not event.done:
        yield Line("✓", f"nothing to do: all {event.skipped} steps are up to date  {took}", "good")
    else:
        yield Line("✓", f"{text}  {took}", "good")
    for title in left[:5]:
        yield Line(" ", f"not done: {title}")
    if len(left) > 5:
        yield Line(" ", f"not done: {len(left) - 5} more")
    if event.cancelled:
        yield Line(" ", "run the same command again to continue")


def error_text(error: BaseException) -> str:
    """The message and remedy of a user's error; the whole traceback of ours."""
    error = explained(error)
    return str(error) if isinstance(error, SnowError) else "".join(traceback.format_exception(error)).rstrip()


def duration(seconds: float) -> str:
    """``12.3 s`` below a minute, ``3:07`` below an hour, ``1:02:03`` above."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(done: float, total: float, unit: str) -> str:
    """``1.2/4.0 GiB`` for bytes (unit B), else ``3/8 domains``."""
    if unit != "B":
        return f"{done:g}/{total:g} {unit}".rstrip()
    power = 0
    while total >= 1024 ** (power + 1) and power < 4:
        power += 1
    scale = 1024.0**power
    return f"{done / scale:.1f}/{total / scale:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


class JsonDisplay:
    """One JSON object a line, for scripts and the report."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: events.Event, /) -> None:
        with self._lock:
            self._stream.write(events.to_json(event) + "\n")
            self._stream.flush()

    def confirm(self, question: str) -> bool:
        return ask(question)

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, *details: object) -> None:
        pass


class PlainDisplay:
    """One line an event with the time since the start (mm:ss), for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._begin: float | None = None
        self._left: list[str] = []
        self._quiet_until: dict[str, float] = {}
        self._times_left: dict[str, TimeLeft] = {}
        self._encoding = stream.encoding or "utf-8"
        try:
            "✓→".encode(self._encoding)
            self._plain_marks = False
        except UnicodeEncodeError:
            self._plain_marks = True

    def __call__(self, event: events.Event, /) -> None:
        with self._lock:
            if self._begin is None:
                self._begin = event.at - (event.passed if isinstance(event, events.RunStarted) else 0)
            for line in self._lines(event):
                self._write(event.at - self._begin, line)
            self._stream.flush()

    def confirm(self, question: str) -> bool:
        return ask(question)

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def _lines(self, event: events.Event) -> Iterator[Line]:
        if isinstance(event, events.StepProgress):
            self._times_left.setdefault(event.step, TimeLeft()).at(event.at, event.done, event.total)
        match event:
            case events.RunStarted():
                yield Line(" ", f"checking {event.steps} " + ("step" if event.steps == 1 else "steps"))
            case events.StepStarted():
                self._quiet_until[event.step] = event.at + _QUIET
                yield Line("▸", f"{event.title}: {event.reason}")
            case events.StepSaid():
                yield Line(" ", f"{event.title}: {event.text}")
            case events.StepProgress() if event.at >= self._quiet_until.get(event.step, 0):
                self._quiet_until[event.step] = event.at + _QUIET
                left = self._times_left[event.step].left
                left_text = f", {about(left)}" if left is not None else ""
                yield Line(" ", f"{event.title}: {amount(event.done, event.total, event.unit)}{left_text}")
            case _:
                yield from lines_of(event, self._left)

    def _write(self, elapsed: float, line: Line) -> None:
        minutes, seconds = divmod(int(max(elapsed, 0)), 60)
        text = f"{minutes:02}:{seconds:02} {line.mark} {line.text}".rstrip()
        if self._plain_marks:
            text = text.translate(_ASCII)
        # a name that cannot be written here must not end the run
        self._stream.write(text.encode(self._encoding, "replace").decode(self._encoding) + "\n")


@dataclass
class _Running:
    title: str
    since: float
    """time.monotonic()"""
    text: str
    done: float = 0.0
    total: float = 0.0
    unit: str = ""
    time_left: TimeLeft = field(default_factory=TimeLeft)
    spinner: object = field(default=None, repr=False)


class LiveDisplay:
    """A line per running step at the bottom, what is finished above it."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._left: list[str] = []
        self._steps = self._over = 0
        self._begin = time.monotonic()
        self._ends: float | None = None
        """When the run is expected to end (time.monotonic), if that is known."""
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=8, transient=True, redirect_stderr=False
        )

    def __call__(self, event: events.Event, /) -> None:
        lines: list[Line] = []
        with self._lock:
            self._note(event)
            lines.extend(lines_of(event, self._left))
        # not under the lock: printing waits for the thread that draws, which waits for the lock
        self._print(lines)

    def confirm(self, question: str) -> bool:
        with self._paused():
            return ask(question)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        with self._lock:
            self._running.clear()
            self._steps = 0
        self._live.stop()

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """The terminal belongs to a question; what happens meanwhile is printed above and below it."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def _note(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self._steps, self._begin = event.steps, time.monotonic() - event.passed
            case events.StepStarted():
                self._running[event.step] = _Running(event.title, time.monotonic(), event.reason)
            case events.StepSaid():
                if running := self._running.get(event.step):
                    running.text = event.text
                    if running.done >= running.total:
                        running.total = 0.0  # a full bar beside something else that is being waited for misleads
            case events.StepProgress():
                if running := self._running.get(event.step):
                    running.done, running.total, running.unit = event.done, event.total, event.unit
                    running.time_left.at(event.at, event.done, event.total)
            case events.RunLeft():
                self._ends = None if event.left_s is None else time.monotonic() + event.left_s
            case events.StepDone() | events.StepSkipped() | events.StepFailed() | events.StepBlocked():
                self._running.pop(event.step, None)
                self._over += 1
            case events.StepLeft():
                self._running.pop(event.step, None)
            case events.RunEnded():
                self._running.clear()
                self._steps = 0

    def _print(self, lines: list[Line]) -> None:
        from rich.text import Text

        for line in lines:
            # Text, not markup: what stands in a file is never a style
            mark = Text(f"{line.mark} ", style=_COLOURS[line.style])
            dim = "dim" if line.style == "dim" else ""
            self._console.print(mark + Text(line.text, style=dim), soft_wrap=True)

    def render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        with self._lock:
            table = Table.grid(padding=(0, 1))
            table.add_column(width=1)
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
            table.add_column(justify="right", no_wrap=True)
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
            table.expand = True
            for running in self._running.values():
                if running.spinner is None:
                    running.spinner = Spinner("dots", style="cyan")
                said: RenderableType = Text(running.text, style="dim", no_wrap=True, overflow="ellipsis")
                if running.total > 0:
                    width = _BAR if self._console.width > _WIDE else _BAR // 2
                    bar = ProgressBar(total=running.total, completed=min(running.done, running.total), width=width)
                    figures = [amount(running.done, running.total, running.unit)]
                    if (left := running.time_left.left) is not None:
                        figures.append(about(left))
                    # one text, cut at its end: how far it is is worth more than the words behind it
                    words = Text(f"{' · '.join(figures)} ", no_wrap=True, overflow="ellipsis")
                    row = Table.grid(padding=(0, 1))
                    row.add_row(bar, words.append(running.text, style="dim"))
                    said = row
                elapsed = Text(duration(now - running.since), style="dim")
                table.add_row(running.spinner, Text(running.title), elapsed, said)  # type: ignore[arg-type]
            if not self._steps:
                return Group()
            doing = "" if self._running else " · checking"
            rest = f" · {about(self._ends - now)}" if self._ends is not None and self._ends > now else ""
            footer = Text(f"{self._over}/{self._steps} steps · {duration(now - self._begin)}{rest}{doing}", style="dim")
            return Group(table, footer)
