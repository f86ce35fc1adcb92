"""Waiting: how often is looked, by a clock that only moves when something takes time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snowha.hosts.wait import wait_for


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr("time.sleep", made.sleep)
    return made


def looks(clock: Clock, *durations: float) -> Callable[[], bool]:
    """A condition that becomes true with its last look; each look takes its time."""
    left = list(durations)

    def look() -> bool:
        clock.now += left.pop(0)
        return not left

    return look


@pytest.mark.parametrize(
    ("sparing", "pauses"), [(False, [5.0, 5.0]), (True, [5.0, 12.0])], ids=["every 5 s", "a fifth of the time"]
)
def test_a_slow_server_is_looked_at_less_often(clock: Clock, sparing: bool, pauses: list[float]) -> None:
    """A migration would wait for those who look whether it is done."""
    look = looks(clock, 0.5, 3.0, 1.0)
    wait_for(look, timeout=100, what="it", interval=5, sparing=sparing)
    assert clock.pauses == pauses


def test_the_last_look_is_when_the_time_is_up_however_long_one_takes(clock: Clock) -> None:
    look = looks(clock, 4.0, 1.0)
    wait_for(look, timeout=10, what="it", interval=1, sparing=True)
    assert clock.pauses == [6.0]
