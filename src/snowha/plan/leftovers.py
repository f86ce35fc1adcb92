"""What a step would leave behind if the run left it now: a second Ctrl-C waits until the step has removed it.

Of the whole process, as are signals: whoever makes such a thing is far below whoever hears of the signal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from snowha.plan import events

PATIENCE_S = 90.0
"""Seconds that a second Ctrl-C waits at most: for the step to come to its safe point, and to remove what it has left."""
_LOOK_S = 0.2
"""Seconds between two looks whether it has."""
_LAST_WORDS_S = 2.0
"""Seconds for it to end afterwards, and to say why it could not."""


@dataclass(frozen=True)
class Leftover:
    what: str
    """``the constraint of the move of deploy01``"""
    ends: float
    """When it goes by itself: seconds since 1970, by the clock of this machine."""

    def __str__(self) -> str:
        return f"{self.what} (it ends at {time.strftime('%H:%M', time.localtime(self.ends))})"


_pending: dict[int, Leftover] = {}
_lock = threading.Lock()


@contextmanager
def until_removed(what: str, *, lifetime: float) -> Iterator[None]:
    """``what`` is there from now on, and removed before the end of ``with``. It goes by itself after ``lifetime`` seconds."""
    found = Leftover(what, time.time() + lifetime)
    with _lock:
        _pending[id(found)] = found
    try:
        yield
    finally:
        with _lock:
            del _pending[id(found)]


def pending() -> tuple[Leftover, ...]:
    """In the order in which they were made."""
    with _lock:
        return tuple(_pending.values())


class Leaving:
    """How a run ends at a second Ctrl-C."""

    def __init__(self, emit: Callable[[events.Event], None]) -> None:
        self._emit = emit
        self._end: float | None = None
        self._is_over = False

    @property
    def look_after(self) -> float | None:
        """Seconds after which ``is_over`` is to be asked again; None before a second Ctrl-C that waits."""
        return None if self._end is None else _LOOK_S

    def is_over(self, signals: int, *, running: bool) -> bool:
        """After ``signals`` of them: at once, or when what would stay is removed, at the latest after PATIENCE_S; at once after a
        third. ``running``: steps are, one of which may have to say that it could not remove it."""
        left = pending()
        if self._is_over or (self._end is None and not left):
            return True
        now = time.monotonic()
        if self._end is None:
            self._end = now + PATIENCE_S
            if signals == 2:
                self._tell(left, waits=True)
        if not left:
            self._end = min(self._end, now + _LAST_WORDS_S)
        self._is_over = signals > 2 or now >= self._end or not (left or running)
        if self._is_over and left:
            self._tell(left, waits=False)
        return self._is_over

    def _tell(self, left: tuple[Leftover, ...], *, waits: bool) -> None:
        self._emit(events.RunLeftovers(leftovers=tuple(map(str, left)), waits=waits))
