"""Answers of many commands in one go: one that is taken for another's is a server believed to be what it is not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snowha.hosts.batch import run_all
from snowha.hosts.local import LocalHost


def test_each_command_has_its_own_output_and_exit_status() -> None:
    answers = run_all(
        LocalHost(),
        [
            ["printf", "no newline at the end"],
            ["sh", "-c", "echo out; echo err >&2; exit 3"],
            ["no-such-command-here"],
            ["cat"],
            ["printf", "a\n\nb\n"],
        ],
    )
    assert [answer.returncode for answer in answers] == [0, 3, 127, 0, 0]
    assert [answer.stdout for answer in answers] == ["no newline at the end", "out\n", "", "", "a\n\nb\n"]
    assert answers[1].stderr == "err\n"
    assert answers[1].argv == ("sh", "-c", "echo out; echo err >&2; exit 3")


def test_nothing_asked_is_nothing_run() -> None:
    assert run_all(LocalHost(), []) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, max_size=5))
def test_words_arrive_as_they_are(words: list[str]) -> None:
    """`a;reboot` as a word would reboot the server."""
    (answer,) = run_all(LocalHost(), [["printf", "[%s]", *words]])
    assert answer.stdout == "".join(f"[{word}]" for word in words)
