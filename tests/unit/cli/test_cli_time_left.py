"""The time left of a copy: a figure that nobody has measured would be believed."""

from __future__ import annotations

import pytest

from snowha.cli.time_left import TimeLeft, about


def test_it_is_known_by_its_own_rate_once_there_is_one() -> None:
    time_left = TimeLeft()
    time_left.at(100.0, 0, 1000)
    assert time_left.left is None
    time_left.at(101.0, 500, 1000)
    assert time_left.left is None, "a second is no rate"
    time_left.at(110.0, 500, 1000)
    assert time_left.left == 10
    time_left.at(120.0, 1000, 1000)
    assert time_left.left is None


def test_what_begins_anew_has_a_rate_of_its_own() -> None:
    """Reading back is faster than the copy was."""
    time_left = TimeLeft()
    for now, done in ((0.0, 0), (10.0, 900), (11.0, 10), (15.0, 410)):
        time_left.at(now, done, 1000)
    assert time_left.left == pytest.approx(5.9)


def test_a_copy_that_goes_on_counts_only_what_it_copied_itself() -> None:
    time_left = TimeLeft()
    time_left.at(0.0, 800, 1000)
    time_left.at(10.0, 900, 1000)
    assert time_left.left == 10


def test_nothing_is_said_of_what_does_not_move() -> None:
    time_left = TimeLeft()
    time_left.at(0.0, 5, 1000)
    time_left.at(60.0, 5, 1000)
    assert time_left.left is None


def test_the_words() -> None:
    assert [about(s) for s in (4.4, 187, 3720)] == ["about 4 s left", "about 3:07 left", "about 1:02:00 left"]
