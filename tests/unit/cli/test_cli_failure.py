"""What a script reads of a verb that failed: never nothing, and never text where it asked for data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snowha.cli.failure import after_the_answer, answer, as_data, wants_json
from snowha.cli.lazy import LazyGroup
from snowha.cli.tree import snow
from snowha.errors import InputError, UnreachableError


def verbs(
    words: tuple[str, ...] = (), command: click.Command = snow
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, LazyGroup):
        for name in command.verbs:
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from verbs((*words, name), found)
    else:
        yield words, command


VERBS = dict(verbs())
WITH_JSON = [words for words, verb in VERBS.items() if any("--json" in option.opts for option in verb.params)]


def snow_says(*words: str, folder: Path) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "snowha.cli.main", *words]
    ran = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("words", [words for words in WITH_JSON if words[0] != "lab"], ids=" ".join)
def test_an_error_before_the_run_is_data_too(words: tuple[str, ...], tmp_path: Path) -> None:
    """A script would parse an empty answer and stop with a traceback of its own."""
    more = ["deploy01"] if any(isinstance(one, click.Argument) for one in VERBS[words].params) else []
    code, out, err = snow_says(*words, *more, "--json", "--file", "nowhere.toml", folder=tmp_path)
    told = json.loads(out)
    assert (told["event"], told["exit_code"], told["where"]) == ("error", 2, "nowhere.toml")
    assert "no such file" in told["message"] and "snow ha init" in told["remedy"]
    assert code == 2 and "no such file" in err


def test_words_that_cannot_be_used_are_data_too(tmp_path: Path) -> None:
    code, out, err = snow_says("ha", "status", "--jsn", "--json", folder=tmp_path)
    assert (code, json.loads(out)["exit_code"]) == (2, 2)
    assert "--jsn" in json.loads(out)["message"] and "--jsn" in err


def test_who_did_not_ask_for_data_gets_none(tmp_path: Path) -> None:
    code, out, err = snow_says("ha", "status", folder=tmp_path)
    assert (code, out) == (2, "") and "no such file" in err


def test_what_an_error_is_made_of_is_data() -> None:
    error = InputError("2 findings", findings=[{"code": "clock"}, {"code": "release"}])
    assert as_data(error, 2)["findings"] == [{"code": "clock"}, {"code": "release"}]


def test_what_an_answer_lacks_is_no_second_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A list of images with an error behind it is nothing that can be parsed; stderr and the exit code say so."""
    with pytest.raises(UnreachableError) as caught, after_the_answer():
        raise UnreachableError("it does not answer", where="snow01")
    words = ["images", "list", "--json"]
    answer(caught.value, exit_code=3, words=words)
    assert capsys.readouterr().out == ""
    caught.value.answered = False
    answer(caught.value, exit_code=3, words=words)
    assert json.loads(capsys.readouterr().out)["where"] == "snow01"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["ha", "log", "--json"], True),
        (["-v", "--log-file", "ha", "ha", "log", "--json"], True),
        (["--log-file=x", "ha", "log", "--json"], True),
        (["ha", "log"], False),
        (["ha", "init", "--json"], False),
        (["lab", "exec", "snow", "ha", "status", "--json"], False),
        (["ha", "log", "--", "--json"], False),
        (["nothing", "--json"], False),
        (["--json"], False),
        ([], False),
    ],
)
def test_only_the_verb_that_was_called_is_asked(words: list[str], wanted: bool) -> None:
    """Of `snow lab exec … --json` the words belong to another program."""
    assert wants_json(words) is wanted
