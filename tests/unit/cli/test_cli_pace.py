"""The time left of a copy: a figure that nobody has measured would be believed."""

from __future__ import annotations

import pytest

from snowha.cli.pace import Pace, about


def test_it_is_known_by_its_own_rate_once_there_is_one() -> None:
    pace = Pace()
    pace.at(100.0, 0, 1000)
    assert pace.left is None
    pace.at(101.0, 500, 1000)
    assert pace.left is None, "a second is no rate"
    pace.at(110.0, 500, 1000)
    assert pace.left == 10
    pace.at(120.0, 1000, 1000)
    assert pace.left is None


def test_what_begins_anew_has_a_rate_of_its_own() -> None:
    """Reading back is faster than the copy was."""
    pace = Pace()
    for now, done in ((0.0, 0), (10.0, 900), (11.0, 10), (15.0, 410)):
        pace.at(now, done, 1000)
    assert pace.left == pytest.approx(5.9)


def test_a_copy_that_goes_on_counts_only_what_it_copied_itself() -> None:
    pace = Pace()
    pace.at(0.0, 800, 1000)
    pace.at(10.0, 900, 1000)
    assert pace.left == 10


def test_nothing_is_said_of_what_does_not_move() -> None:
    pace = Pace()
    pace.at(0.0, 5, 1000)
    pace.at(60.0, 5, 1000)
    assert pace.left is None


def test_the_words() -> None:
    assert [about(s) for s in (4.4, 187, 3720)] == ["about 4 s left", "about 3:07 left", "about 1:02:00 left"]
