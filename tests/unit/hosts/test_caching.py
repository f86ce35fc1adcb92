"""An answer kept for too long is a server that is believed to be what it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from snowha.errors import CommandError
from snowha.hosts.caching import CachingHost, for_prefetch
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost


class CountingHost:
    """Answers with how often it was asked; ``false`` fails."""

    name = "snow01"

    def __init__(self) -> None:
        self.asked = 0

    def reset(self) -> None: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.asked += 1
        return Completed(tuple(argv), 1 if argv[0] == "false" else 0, str(self.asked), "")


def test_the_same_question_is_asked_once() -> None:
    host = CachingHost(CountingHost())
    assert [host.run(["xl", "list"]).stdout for _ in range(3)] == ["1", "1", "1"]
    assert host.run(["xl", "info"]).stdout == "2"
    assert host.run(["cat"], input="a").stdout != host.run(["cat"], input="b").stdout


def test_after_a_change_every_question_is_asked_anew() -> None:
    host = CachingHost(CountingHost())
    host.run(["xl", "list"])
    host.invalidate()
    assert [host.run(["xl", "list"]).stdout for _ in range(2)] == ["2", "3"]


def test_a_remembered_failure_fails_again_for_who_minds() -> None:
    host = CachingHost(CountingHost())
    assert host.run(["false"], check=False).returncode == 1
    with pytest.raises(CommandError):
        host.run(["false"])


class ShellHost(CountingHost):
    """Runs what it is given, and counts."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.asked += 1
        return LocalHost().run(argv, input=input, timeout=timeout, check=check)


def test_what_was_asked_in_the_last_run_is_asked_at_once_in_the_next() -> None:
    """A finished site would be looked at for minutes."""
    first = CachingHost(ShellHost())
    with for_prefetch():
        first.run(["stat", "-c", "%F", "/"])
        first.run(["test", "-e", "/nowhere"], check=False)
        first.run(["cat"], input="not a question: who knows what it is about")
    first.invalidate()
    first.run(["touch", "/dev/null"])
    with for_prefetch():
        first.run(["stat", "-c", "%F", "/"])
    asked = first.asked()
    assert asked == (("stat", "-c", "%F", "/"), ("test", "-e", "/nowhere"))

    server = ShellHost()
    second = CachingHost(server)
    second.prefetch(asked)
    assert second.run(["stat", "-c", "%F", "/"]).stdout == "directory\n"
    assert second.run(["test", "-e", "/nowhere"], check=False).returncode == 1
    assert server.asked == 1


def test_what_might_change_something_is_never_asked_ahead() -> None:
    """A question that somebody wrote into the journal must not reboot a server."""
    server = ShellHost()
    CachingHost(server).prefetch([["touch", "/tmp/owned"], ["sh", "-c", "reboot"]])
    assert server.asked == 0
