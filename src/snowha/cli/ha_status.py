"""``snow ha status``: what is wrong and what to type; then servers, links, quorum, fencing, and where domains run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from snowha.cli import options, terminal, verbosity, waiting
from snowha.cli.options import FILE
from snowha.errors import InputError
from snowha.live import connect
from snowha.operations import status as running
from snowha.operations import status_text
from snowha.operations.status import SiteStatus


@click.command()
@FILE
@click.option("--watch", is_flag=True, help="Refresh it on a live screen, until Ctrl-C.")
@options.every("With --watch: time between two refreshes.")
@click.option("--json", "as_json", is_flag=True, help="The same as data; with --watch, one line per refresh.")
@click.pass_context
def status(context: click.Context, file: Path, watch: bool, every: float, as_json: bool) -> None:
    """Show what is wrong, servers, links, fencing, and where domains run.

    What is wrong comes first: since when, what happens by itself, and what to type. The hypervisors are asked, not only
    Pacemaker; a server that does not answer is reported, and its domains are unknown. For every server the age of the last
    proof of its fencing is shown, and whether the others would have quorum and the memory for its domains (ITS LOSS). For every
    domain the server that has its images open is shown (snow-lease).

    Exits with 4 if anything is wrong (WRONG), or no server could be asked; with 0 if there is nothing but warnings (WARN) and
    notes (NOTE). With --watch the last refresh counts; Ctrl-C ends it. In a pipe, --watch prints one status after another.
    """
    if not watch and context.get_parameter_source("every") is ParameterSource.COMMANDLINE:
        raise InputError("--every needs --watch", remedy="add --watch, or remove --every")
    if not watch:
        with waiting.shown():
            seen = _status(file)
        if as_json:
            click.echo(_data(seen, indent=2))
        else:
            _print(_lines(seen))
        sys.exit(0 if seen.healthy else 4)
    from snowha.cli import watching

    if terminal.is_live(sys.stdout) and not as_json:
        stream = verbosity.raw(sys.stdout)
        colour = terminal.has_colour(sys.stdout)
        sys.exit(watching.on_screen(lambda: _status(file), every, stream=stream, colour=colour))

    def show(seen: SiteStatus) -> None:
        if as_json:
            click.echo(_data(seen))
        else:
            _print([*_lines(seen), ""])

    sys.exit(watching.as_lines(lambda: _status(file), every, show=show))


def _status(file: Path) -> SiteStatus:
    return running.look(connect.read(file))


def _data(seen: SiteStatus, *, indent: int | None = None) -> str:
    return json.dumps(running.as_data(seen), indent=indent)


def _lines(seen: SiteStatus) -> list[str]:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return status_text.lines(seen, colour=terminal.has_colour(sys.stdout), width=width)


def _print(lines: list[str]) -> None:
    click.echo("\n".join(lines), color=terminal.has_colour(sys.stdout))
