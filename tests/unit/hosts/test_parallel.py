"""Many hosts at once, waiting, and recorded hosts."""

from __future__ import annotations

import threading

import pytest

from snowha.errors import CommandError, LostLockError, ProofError, SiteError, UnreachableError
from snowha.hosts.local import LocalHost
from snowha.hosts.parallel import each
from snowha.hosts.playback import Call, PlaybackHost
from snowha.hosts.wait import wait_for

HOSTS = [LocalHost("snow01"), LocalHost("snow02"), LocalHost("snow03")]


def test_all_hosts_are_asked_at_once() -> None:
    """Eight servers would take eight times as long as one."""
    together = threading.Barrier(3, timeout=10)
    result = each(HOSTS, lambda host: (together.wait(), host.name)[1])
    assert list(result.items()) == [(host.name, host.name) for host in HOSTS]
    assert each([], lambda host: host) == {}


def test_the_first_failure_is_raised_and_the_others_named() -> None:
    """The user would repair one server, run again, and only then hear of the next."""

    def fail(host: LocalHost) -> str:
        if host.name == "snow01":
            return "fine"
        raise SiteError("clock is wrong", where=host.name, remedy="set it")

    with pytest.raises(SiteError) as caught:
        each(HOSTS, fail)
    assert str(caught.value) == "snow02: clock is wrong\n  also snow03: clock is wrong\n  → set it"


def test_a_lost_lock_goes_before_all_else() -> None:
    """The one error that ends the run would be a remark in another one, or said once for each server."""

    def fail(host: LocalHost) -> str:
        if host.name == "snow01":
            raise SiteError("clock is wrong", where=host.name, remedy="set it")
        raise LostLockError("this run lost the lock on snow02 to bob", where="snow02", remedy="snow ha status")

    with pytest.raises(LostLockError) as caught:
        each(HOSTS, fail)
    assert str(caught.value) == "snow02: this run lost the lock on snow02 to bob\n  → snow ha status"


def test_a_bug_stays_a_traceback() -> None:
    """Our own mistake would be blamed on the user."""
    with pytest.raises(ZeroDivisionError):
        each(HOSTS, lambda host: 1 / 0)


def test_waiting_says_for_what_and_returns_what_it_found() -> None:
    """The display would stand still without a word."""
    answers = iter([None, False, "up"])
    said: list[str] = []
    assert wait_for(lambda: next(answers), timeout=10, what="links of snow02", interval=0, report=said.append) == "up"
    assert said == ["waiting for links of snow02"] * 3


def test_waiting_ends_and_names_what_was_missing() -> None:
    """A run would wait for ever, or end without saying why."""
    with pytest.raises(ProofError, match=r"snow02: quorum: timed out after 0 s\n  → look"):
        wait_for(lambda: None, timeout=0.05, what="quorum", interval=0.01, where="snow02", remedy="look")
    with pytest.raises(SiteError):
        wait_for(lambda: None, timeout=0, what="quorum", error=SiteError)


def test_a_rebooting_server_is_waited_for_only_if_asked() -> None:
    """A reboot would fail the run, or a dead server would be taken for a slow one."""
    looks = 0

    def away() -> str:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise UnreachableError("it does not answer", where="snow02")
        return "back"

    said: list[str] = []
    assert (
        wait_for(away, timeout=10, what="snow02 back", interval=0, report=said.append, unreachable_is_not_yet=True)
        == "back"
    )
    assert said[-1] == "waiting for snow02 back (it does not answer)"
    looks = 0
    with pytest.raises(UnreachableError):
        wait_for(away, timeout=10, what="snow02 back", interval=0)
    looks = -1000
    with pytest.raises(ProofError, match=r"\(it does not answer\)"):
        wait_for(away, timeout=0.02, what="snow02 back", interval=0, unreachable_is_not_yet=True)


def test_playback_answers_only_what_was_recorded() -> None:
    """A test would pass by accident."""
    calls = [
        Call(("xl", "list"), stdout="Name\n", stdin=b""),
        Call(("xl", "shutdown", "a"), returncode=1, stderr="no such domain"),
    ]
    with PlaybackHost("snow01", calls) as host:
        lines: list[str] = []
        assert host.run(["xl", "list"], on_line=lines.append).stdout == "Name\n"
        assert lines == ["Name"]
        with pytest.raises(AssertionError, match="expected xl shutdown a, got xl destroy a"):
            host.run(["xl", "destroy", "a"])
        with pytest.raises(CommandError, match="no such domain"):
            host.run(["xl", "shutdown", "a"])
        with pytest.raises(AssertionError, match="nothing more was expected"):
            host.run(["xl", "list"])
    with pytest.raises(AssertionError, match="never came"), PlaybackHost("snow01", calls):
        pass
