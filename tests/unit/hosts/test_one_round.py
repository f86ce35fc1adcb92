"""Everything that is asked of a server at once, with real commands on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from snowha.errors import CommandError, UnreachableError
from snowha.hosts.files import read_folder
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.hosts.one_round import ask, words_of
from snowha.hosts.read_only import is_read_only


class Counted(LocalHost):
    """Counts what is asked of it, and has no answer to what has ``slow`` in it."""

    def __init__(self, slow: str = "") -> None:
        super().__init__()
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self.slow = slow

    def run(self, argv: Sequence[str], **options: object) -> Completed:
        text = str(options.get("input", ""))
        self.asked.append((tuple(argv), text))
        if self.slow and self.slow in text:
            raise CommandError("did not end within 1 s", where=self.name)
        return super().run(argv, **options)  # type: ignore[arg-type]


OWN, SHARED = [["cat", "/proc/version"], ["false"]], [["ls", "/nowhere"]]


def test_all_is_asked_in_one_command_and_answered_from_it() -> None:
    host = Counted()
    answered = ask(host, OWN, SHARED, limit=20, timeout=30)
    assert answered.run(["cat", "/proc/version"]).stdout.startswith("Linux")
    assert answered.run(["false"], check=False).returncode == 1
    assert "nowhere" in answered.run(["ls", "/nowhere"], check=False).stderr
    with pytest.raises(CommandError):
        answered.run(["false"])
    assert len(host.asked) == 1
    assert answered.run(["echo", "more"]).stdout == "more\n" and len(host.asked) == 2


def test_storage_that_holds_everything_up_is_left_out_the_second_time() -> None:
    """What the server knows by itself would not be known either."""
    host = Counted(slow="/nowhere")
    answered = ask(host, OWN, SHARED, limit=20, timeout=30)
    assert answered.run(["cat", "/proc/version"]).ok and len(host.asked) == 2
    with pytest.raises(CommandError, match="did not end within 1 s"):
        answered.run(["ls", "/nowhere"], check=False)
    assert len(host.asked) == 2  # not once more


def test_a_server_that_is_too_slow_for_all_of_it_is_not_asked_for_each() -> None:
    host = Counted(slow="cat")
    answered = ask(host, OWN, SHARED, limit=20, timeout=30)
    with pytest.raises(CommandError):
        answered.run(["cat", "/proc/version"])
    assert len(host.asked) == 2


def test_a_server_that_does_not_answer_is_that() -> None:
    class Lost(LocalHost):
        def run(self, argv: Sequence[str], **options: object) -> Completed:
            raise UnreachableError("it does not answer", where=self.name)

    with pytest.raises(UnreachableError):
        ask(Lost(), OWN, SHARED, limit=20, timeout=30)


def test_a_command_with_a_limit_is_known_to_only_look_as_without() -> None:
    """A status would need the lock of the site, and wait for the run that it is to tell of."""
    assert is_read_only(["timeout", "-k", "2", "20", "xl", "list"])
    assert not is_read_only(["timeout", "-k", "2", "20", "xl", "destroy", "x"])
    host = Counted()
    ask(host, [["cat", "/proc/version"]], [], limit=20, timeout=30)
    ((argv, text),) = host.asked
    assert "timeout -k 2 20 cat" in text and is_read_only(argv, text)


def test_the_command_of_a_question_is_the_one_that_is_run_later() -> None:
    """It would be asked of the server a second time, by itself."""
    host = Counted()
    words = words_of(lambda one: read_folder(one, "/proc/sys/kernel", "nothing"))
    answered = ask(host, [words], [], limit=20, timeout=30)
    assert read_folder(answered, "/proc/sys/kernel", "nothing") == {} and len(host.asked) == 1
    with pytest.raises(AssertionError):
        words_of(lambda one: one.name)
