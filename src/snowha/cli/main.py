"""The command ``snow``. Errors of the user's, and of this machine's, leave as one message and an exit code by class."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import TextIO

import click

from snowha.cli import failure, streams, verbosity
from snowha.cli.tree import snow
from snowha.errors import SnowError, explained

_OTHER_NAME = "snow-ha"
"""For where sNow!'s own `snow` comes first in PATH (pyproject.toml, project.scripts)."""


def main() -> None:
    try:
        streams.standard()
        if (rename := _renaming(sys.argv[0])) is not None:
            streams.rename_with(rename)
        code = _words()
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _failed("interrupted", 130)
    except click.ClickException as error:
        code = _failed(error, 2)
    except BrokenPipeError:
        streams.forget(sys.stdout)
        code = 1
    except (SnowError, OSError) as error:
        if getattr(error, "filename", "") == streams.STDOUT:
            streams.forget(sys.stdout)
        known = explained(error)
        if not isinstance(known, SnowError):
            raise
        if known is not error:
            _log("".join(traceback.format_exception(error)))
        code = _failed(known, known.exit_code)
    _log(f"exit code {code}")
    sys.exit(code)


def _renaming(called: str) -> Callable[[str], str] | None:
    """What makes `snow-ha arm` of `snow arm` in all that is said, where the command was ``called`` so: typed as it stands it
    would be sNow!'s own command."""
    if PurePath(called).name != _OTHER_NAME:
        return None
    verbs = "|".join(map(re.escape, snow.verbs))
    pattern = re.compile(rf"(?<![\w./-])snow(?= (?:{verbs}|--\w+)\b)")
    return partial(pattern.sub, _OTHER_NAME)


def _log(text: str) -> None:
    if verbosity.chosen.log is not None:
        verbosity.chosen.log(text)


def _words() -> int:
    """The exit code of what the command line says."""
    try:
        return int(snow.main(standalone_mode=False) or 0)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0


def _failed(error: failure.Failure, code: int) -> int:
    """Tell of it, for a person and for a script; its exit code."""
    with _taken(sys.stderr):
        failure.say(error)
    with _taken(sys.stdout):
        failure.answer(error, exit_code=code, words=sys.argv[1:])
    return code


@contextmanager
def _taken(stream: TextIO) -> Iterator[None]:
    """If nobody takes it there, the exit code has to do."""
    try:
        yield
        stream.flush()
    except OSError:
        streams.forget(stream)


if __name__ == "__main__":
    main()
