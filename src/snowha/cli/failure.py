"""How a verb ends that failed: one message for a person, and where data was asked for one object as well."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import click

from snowha.cli.tree import snow
from snowha.errors import SnowError

Failure: TypeAlias = SnowError | click.ClickException | str


def say(error: Failure) -> None:
    """One message on stderr."""
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
    else:
        click.echo(f"snow: {error}" if isinstance(error, SnowError) else error, file=sys.stderr)


def answer(error: Failure, *, exit_code: int, words: Sequence[str]) -> None:
    """If ``words`` (of the command line) ask for data, the error on stdout in one line: ``{"event": "error", "message": …,
    "where": …, "remedy": …, "exit_code": …}``, with ``findings`` if it has some."""
    if wants_json(words) and not (isinstance(error, SnowError) and error.answered):
        click.echo(json.dumps(as_data(error, exit_code)))


@contextmanager
def after_the_answer() -> Iterator[None]:
    """For an error that says what an answer lacks: two objects on stdout would be none."""
    try:
        yield
    except SnowError as error:
        error.answered = True
        raise


def as_data(error: Failure, exit_code: int) -> dict[str, object]:
    """The error for a script. The same for every verb."""
    if isinstance(error, SnowError):
        said: dict[str, object] = {"message": error.message, "where": error.where, "remedy": error.remedy}
        if error.findings:
            said["findings"] = [dict(finding) for finding in error.findings]
    else:
        message = error.format_message() if isinstance(error, click.ClickException) else error
        said = {"message": message, "where": "", "remedy": ""}
    return {"event": "error", **said, "exit_code": exit_code}


def wants_json(words: Sequence[str]) -> bool:
    """Whether the verb that ``words`` call has --json, and was given it. Also where the words cannot be used otherwise."""
    command: click.Command = snow
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        name = rest.pop(0)
        if name.startswith("-"):
            if "=" not in name and any(name in option.opts and not option.is_flag for option in _options(command)):
                del rest[:1]  # its value
            continue
        found = command.get_command(click.Context(command), name)
        if found is None:
            return False
        command = found
    has = any("--json" in option.opts for option in _options(command))
    before = rest[: rest.index("--")] if "--" in rest else rest
    return has and "--json" in before


def _options(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option)]
