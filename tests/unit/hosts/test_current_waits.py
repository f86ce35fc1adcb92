"""What a user is told that he waits for."""

from __future__ import annotations

from contextvars import copy_context
from threading import Thread

from snowha.hosts.current_waits import waiting_for, waits


def names() -> list[str]:
    return [wait.what for wait in waits()]


def test_what_was_waited_for_longest_is_first_and_each_is_told_once() -> None:
    def elsewhere() -> None:
        with waiting_for("snow02"), waiting_for("something in it"):
            assert names() == ["snow01", "snow02"]

    with waiting_for("snow01"):
        for _ in range(2):
            other = Thread(target=elsewhere)
            other.start()
            other.join()
        assert names() == ["snow01"]
    assert names() == []


def test_who_knows_better_than_the_server_that_is_asked_is_believed() -> None:
    """The line would say that a server does not answer, whose BMC it is that is silent."""
    with waiting_for("the BMC of snow02"):
        with waiting_for("snow01"):
            assert names() == ["the BMC of snow02"]
        copy_context().run(lambda: waiting_for("snow01").__enter__())
        assert names() == ["the BMC of snow02"]
    with waiting_for("snow01"):
        assert names() == ["snow01"]


def test_a_watch_is_not_a_wait() -> None:
    """The lock of a run is held for as long as it lasts."""
    with waiting_for(""), waiting_for("snow01"):
        assert names() == []


def test_nothing_is_waited_for_after_an_error() -> None:
    try:
        with waiting_for("snow01"):
            raise ValueError
    except ValueError:
        pass
    assert names() == []
