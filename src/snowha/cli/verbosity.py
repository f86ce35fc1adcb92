"""``-v``, ``-q`` and ``--log-file``: how much is said, and what is written down of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from snowha.cli.streams import Stream


@dataclass
class Chosen:
    """What the command line asks for. ``log``: a line for the log file, None without one."""

    verbose: bool = False
    quiet: bool = False
    log: Callable[[str], None] | None = None


chosen = Chosen()


def choose(verbose: bool, quiet: bool, log_file: Path | None) -> None:
    """Do as the options say, for the rest of this process. Raises InputError, click.UsageError."""
    if verbose and quiet:
        raise click.UsageError("-v and -q exclude each other")
    chosen.verbose, chosen.quiet = verbose, quiet
    if verbose or log_file is not None:
        from snowha.cli import logs

        if verbose:
            logs.commands_to(raw(sys.stderr))
        if log_file is not None:
            chosen.log = logs.everything_to(log_file)


def raw(stream: TextIO) -> TextIO:
    """``stream`` without the copy that goes to the log."""
    return stream.stream if isinstance(stream, Stream) else stream


def say(text: str) -> None:
    """To whoever watches: on standard error, and with -q only into the log."""
    if not chosen.quiet:
        click.echo(text, err=True)
    elif chosen.log is not None:
        chosen.log(text)
