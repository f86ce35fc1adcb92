"""``-v``, ``-q`` and ``--log-file``: how much is said, and what is written down of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

import click

from snowha.cli.streams import Stream
from snowha.cli.values import FILE_NAME
from snowha.errors import InputError


@dataclass
class Chosen:
    """What the command line asks for. ``log``: a line for the log file, None without one."""

    verbose: bool = False
    quiet: bool = False
    log: Callable[[str], None] | None = None


chosen = Chosen()


_ASKED = "snowha.verbosity"
"""Key of what one command line asks for, in the context that its groups and its verb share (click.Context.meta)."""


def options(*, hidden: bool = False) -> list[click.Option]:
    """The three options. Each takes effect as soon as it is read, before the verb or behind it."""

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, hidden=hidden, callback=_take, **more)

    return [
        option("-v", "--verbose", is_flag=True, help="Show each command on a server when it starts."),
        option("-q", "--quiet", is_flag=True, help="Show only errors and results, no progress."),
        option(
            "--log-file",
            type=FILE_NAME,
            multiple=True,  # of several a single option has the last one, and says nothing of the others
            metavar="FILE",
            help="Append everything to FILE, with each command and its time.",
        ),
    ]


def with_output_options(command: click.Command) -> click.Command:
    """``command`` with the three options, where they would not be words for another program."""
    taken = {name for parameter in command.params for name in parameter.opts}
    if not command.context_settings.get("ignore_unknown_options"):
        command.params += [option for option in options(hidden=True) if not taken & set(option.opts)]
        command.epilog = command.epilog or "-v, -q and --log-file FILE can also be used here: see `snow --help`."
    return command


def _take(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Do as the option says, for the rest of this process. Raises InputError, click.UsageError."""
    asked: set[str] | None = context.meta.get(_ASKED)
    if asked is None:
        asked = context.meta[_ASKED] = set()
        chosen.verbose = chosen.quiet = False
    name = str(parameter.name)
    if value in (None, False, ()):
        return
    if name == "log_file" and (name in asked or len(value) > 1):
        raise InputError("the log file is given twice", where="--log-file", remedy="give one")
    again = name in asked
    asked.add(name)
    if {"verbose", "quiet"} <= asked:
        raise click.UsageError("-v and -q cannot be combined")
    if again:
        return
    if name == "quiet":
        chosen.quiet = True
        return
    from snowha.cli import logs

    if name == "verbose":
        chosen.verbose = True
        logs.commands_to(raw(sys.stderr))
    else:
        chosen.log = logs.everything_to(value[0])


def raw(stream: TextIO) -> TextIO:
    """``stream`` without the copy that goes to the log."""
    return stream.stream if isinstance(stream, Stream) else stream


def say(text: str) -> None:
    """To whoever watches: on standard error, and with -q only into the log."""
    if not chosen.quiet:
        click.echo(text, err=True)
    elif chosen.log is not None:
        chosen.log(text)
