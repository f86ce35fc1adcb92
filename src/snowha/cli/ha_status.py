"""``snow ha status``: what is wrong and what to type; then servers, links, quorum, fencing, and where domains run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.options import FILE
from snowha.migration import load, view
from snowha.operations import status as running
from snowha.operations import status_text


@click.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def status(file: Path, as_json: bool) -> None:
    """Show what is wrong, servers, links, fencing, and where domains run.

    What is wrong comes first, with what to type. The hypervisors are asked, not only Pacemaker; a server that does not answer is
    reported, and its domains are unknown. For every domain the server that has its images open is shown (snow-lease).
    Exits with 4 if anything is wrong (WRONG), with 0 if there is nothing but warnings (WARN) and notes (NOTE).
    """
    with waiting.shown():
        site = view.observe(load.read(file))
        seen = running.status_of(
            site.ground.site, site.ground.hosts, domains=site.domains, known=site.findings, configs=site.configs
        )
    if as_json:
        click.echo(json.dumps(running.as_data(seen), indent=2))
    else:
        click.echo("\n".join(status_text.lines(seen, colour="NO_COLOR" not in os.environ)))
    sys.exit(0 if seen.healthy else 4)
