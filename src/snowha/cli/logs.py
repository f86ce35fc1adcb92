"""What ``-v`` and ``--log-file`` write: the commands on servers, and all that is said and happens, without the secrets."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import click

from snowha import __version__
from snowha.cli import streams
from snowha.cli.streams import Stream
from snowha.cli.verbosity import raw
from snowha.errors import InputError
from snowha.hosts import user_file
from snowha.hosts.redaction import redact

_ALL = logging.getLogger("snowha")
_ALL.propagate = False
_SAID = logging.getLogger("snowha.said")


class _ShortFormatter(logging.Formatter):
    """One line; of a script its first."""

    def format(self, record: logging.LogRecord) -> str:
        first, *more = redact(super().format(record)).split("\n")
        return f"{first} …" if more else first


class _FullFormatter(logging.Formatter):
    """All of it, with the time (UTC)."""

    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class LogHandler(logging.StreamHandler[TextIO]):
    """Ends with the first line that cannot be written: a run goes on without being watched."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self._what = name

    def handleError(self, record: logging.LogRecord) -> None:
        self.setLevel(logging.CRITICAL)
        error = sys.exc_info()[1]
        streams.forget(self.stream)
        if self._what and isinstance(error, OSError):
            click.echo(f"{self._what}: no longer written: {error.strerror}", file=raw(sys.stderr))


def commands_to(stream: TextIO) -> None:
    """Each command on a server as it begins."""
    handler = LogHandler(stream, "")
    handler.setLevel(logging.INFO)
    handler.setFormatter(_ShortFormatter("%(message)s"))
    handler.addFilter(logging.Filter("snowha.commands"))
    _ALL.addHandler(handler)
    _ALL.setLevel(logging.DEBUG)


def everything_to(path: Path) -> Callable[[str], None]:
    """Everything, into a file that only its owner can read, behind what is there. What adds a line to it is returned.

    Raises InputError.
    """
    handler = LogHandler(_opened(path), str(path))
    handler.setFormatter(_FullFormatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S"))
    _ALL.addHandler(handler)
    _ALL.setLevel(logging.DEBUG)
    _SAID.info("snow %s, pid %d, user %d: %s", __version__, os.getpid(), os.geteuid(), " ".join(sys.argv[1:]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.copy = _Lines()
    return _SAID.info


def _opened(path: Path) -> TextIO:
    try:
        if path.exists():
            user_file.check_regular(path)
            _check_is_log(path)
        number = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600
        )
        os.fchmod(number, 0o600)
    except OSError as error:
        raise InputError(
            f"the log cannot be written: {error.strerror}", where=str(path), remedy="name another file: --log-file FILE"
        ) from error
    return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace")


def _check_is_log(path: Path) -> None:
    """Raise InputError for a file of the user's: lines of a log would be added to it, and its mode would be changed."""
    with path.open("rb") as file:
        begin = file.read(4096).split(b"\n", 1)[0]
    if begin and not re.search(rb"Z snow \S+, pid \d+, user \d+: ", begin):
        raise InputError(
            "this file is not a log of snow; it is not changed",
            where=str(path),
            remedy="name another file: --log-file FILE",
        )


class _Lines:
    """What is written to a stream, as whole lines without colours."""

    def __init__(self) -> None:
        self._rest = ""

    def __call__(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            _SAID.info("%s", click.unstyle(line))
