"""How long it still takes, of what says how far it is: by its own rate, and only once there is one."""

from __future__ import annotations

from dataclasses import dataclass

_ENOUGH_S = 3.0
"""Seconds that must be behind it: the first of a copy is faster than the disk, or waits for it to start."""
_ENOUGH = 0.01
"""The part of the whole that must be behind it."""


@dataclass
class TimeLeft:
    """Of one thing that is waited for. Times are seconds of any one clock."""

    began: float = 0.0
    first: float = 0.0
    last: float = 0.0
    total: float = 0.0
    now: float = 0.0

    def at(self, now: float, done: float, total: float) -> None:
        """``done`` of ``total``. Less than before, or another total: something else has begun."""
        if total != self.total or done < self.last:
            self.began, self.first, self.total = now, done, total
        self.now, self.last = now, done

    @property
    def left(self) -> float | None:
        """Seconds, None if that cannot be said."""
        passed, done = self.now - self.began, self.last - self.first
        if passed < _ENOUGH_S or done < _ENOUGH * self.total or self.last >= self.total:
            return None
        return (self.total - self.last) * passed / done


def about(seconds: float) -> str:
    """``about 40 s left``, ``about 3:07 left``, ``about 1:02:00 left``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"about {hours}:{minutes:02}:{rest:02} left"
    return f"about {minutes}:{rest:02} left" if minutes else f"about {rest} s left"
