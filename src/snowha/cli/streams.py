"""Standard input, output and error as they are found: closed, full, or without the characters that we write."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from snowha.errors import InputError

_ASCII = {"✓": "+", "✗": "x", "·": "-", "▸": ">", "‖": "|", "→": "->", "…": "...", "–": "-"}
"""For what we write ourselves, where the terminal does not have it."""
_NAMES = ("stdin", "stdout", "stderr")
STDOUT, STDERR = "standard output", "standard error"


_HANDLER = "snow-ascii"


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """For codecs.register_error: our own signs in ASCII, any other character escaped."""
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] in _ASCII:
        return _ASCII[error.object[error.start]], error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(_HANDLER, _readable)


class Stream:
    """A text stream whose errors name it, and that tells ``copy`` what was written to it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream = stream
        self.copy: Callable[[str], None] | None = None
        self._name = name

    def write(self, text: str) -> int:
        try:
            written = self.stream.write(text)
        except OSError as error:
            raise self._named(error) from None
        if self.copy is not None:
            self.copy(text)
        return written

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            raise self._named(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _named(self, error: OSError) -> OSError:
        error.filename = self._name
        return error


class Renamed:
    """A text stream in which the command is called as it was called: what is said to type would be another program else."""

    def __init__(self, stream: TextIO, rename: Callable[[str], str]) -> None:
        self.stream = stream
        self.rename = rename

    def write(self, text: str) -> int:
        self.stream.write(self.rename(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def standard() -> None:
    """Make all three usable. What is closed gets /dev/null: the next file that is opened would have its number, and be written to
    by mistake.

    Raises InputError for a closed standard output: whoever wants none of it says so with > /dev/null.
    """
    closed = [name for name in _NAMES if getattr(sys, name) is None]
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in closed:
        number = _NAMES.index(name)
        setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        # a character that a terminal does not have must not end a run
        cast(Any, stream).reconfigure(errors=_HANDLER)
    sys.stdout, sys.stderr = cast(TextIO, Stream(sys.stdout, STDOUT)), cast(TextIO, Stream(sys.stderr, STDERR))
    if "stdout" in closed:
        raise InputError("standard output is closed", remedy="leave it open, or redirect it to a file or /dev/null")


def rename_with(rename: Callable[[str], str]) -> None:
    """What standard output and error get goes through ``rename``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.stream = cast(TextIO, Renamed(stream.stream, rename))


def forget(stream: TextIO) -> None:
    """Nobody takes what is left for ``stream``: Python would try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
