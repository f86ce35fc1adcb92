"""A status that is asked for again and again: on a live screen, or one after the other in a pipe."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from snowha.cli.streams import Renamed
from snowha.operations import status_text
from snowha.operations.status import SiteStatus

Look = Callable[[], SiteStatus]
Pause = Callable[[float], None]


def as_lines(look: Look, every: float, *, show: Callable[[SiteStatus], None], pause: Pause = time.sleep) -> int:
    """One status after the other, until Ctrl-C; the exit code of the last one."""
    code = 0
    try:
        while True:
            seen = look()
            code = _code(seen)
            show(seen)
            pause(every)
    except KeyboardInterrupt:
        return code


def on_screen(look: Look, every: float, *, stream: TextIO, colour: bool = True, pause: Pause = time.sleep) -> int:
    """The newest status on the whole of a terminal, until Ctrl-C. What it said last stays below, in one line."""
    console = Console(file=stream, force_terminal=True, no_color=not colour, highlight=False)
    rename = stream.rename if isinstance(stream, Renamed) else str  # before it is cut to the width
    code, last = 0, "nothing is known yet"
    with (
        _stopped_as_by_ctrl_c(),
        Live(Text("asking the servers"), console=console, screen=True, auto_refresh=False) as live,
    ):
        try:
            while True:
                seen = look()
                code = _code(seen)
                shown = page(seen, console.width, console.height, colour=colour, every=every, now=time.time())
                text = [rename(line) for line in shown]
                last = text[0]
                live.update(Text.from_ansi("\n".join(text), no_wrap=True, overflow="crop"), refresh=True)
                pause(every)
        except KeyboardInterrupt:
            pass
    console.print(Text.from_ansi(last))
    return code


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP, too, leave the terminal as it was: without its cursor, whoever ends it would type blindly."""
    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, signal.default_int_handler) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def page(seen: SiteStatus, width: int, height: int, *, colour: bool, every: float, now: float) -> list[str]:
    """What fits on a screen: what is wrong is never what is cut off."""
    text = status_text.lines(seen, colour=colour, width=width, screen=True, now=now)
    room = max(height - 1, 2)
    if len(text) > room:
        text[room - 1 :] = [f"… {len(text) - room + 1} more lines: `snow ha status` shows all"]
    moment = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S")
    return [*text, f"{moment} UTC, every {every:g} s; Ctrl-C ends it"[:width]]


def _code(seen: SiteStatus) -> int:
    return 0 if seen.healthy else 4
