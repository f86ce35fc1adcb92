"""``snow ha status``: servers, links, quorum, fence devices, and where every domain runs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.options import FILE
from snowha.migration import load
from snowha.operations import status as running


@click.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def status(file: Path, as_json: bool) -> None:
    """Show servers, links, quorum, fencing, and where domains run.

    Exits with 4 if anything is not well.
    """
    with waiting.shown():
        ground = load.load(file)
        seen = running.look(ground.site, ground.hosts)
    if as_json:
        click.echo(json.dumps({**asdict(seen), "healthy": seen.healthy}, indent=2))
    else:
        for line in running.lines(seen):
            click.echo(line)
    sys.exit(0 if seen.healthy else 4)
