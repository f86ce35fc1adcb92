"""``snow ha resolve``: what broken live migrations have left."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.degraded_session import operating
from snowha.cli.failure import after_the_answer
from snowha.cli.options import FILE
from snowha.cli.session import carry_out
from snowha.live import connect, view
from snowha.operations import resolve as resolving
from snowha.operations.resolve import Verdict


@click.command()
@FILE
@click.option("--yes", is_flag=True, help="Do it.")
@click.option("--json", "as_json", is_flag=True, help="What was found as data; with --yes what is done, as JSON lines.")
def resolve(file: Path, yes: bool, as_json: bool) -> None:
    """Show the leftovers of broken live migrations, and what would be done.

    Copies of a domain (NAME--incoming, NAME--migratedaway), a domain that is suspended, and leases that are half handed over:
    where they are, and what would be done about each. Nothing is changed without --yes. What is not certain is never done:
    while a migration is under way, while a server does not answer, and where leases and servers say different things.
    Exits with 0 if nothing is left, else with 4; with 3 if nothing was found and a server does not answer.
    """
    with waiting.shown():
        ha = connect.read(file)
        seen = view.observe(ha)
        site = seen.context.site
        # who has not answered once is not waited for again
        hosts = seen.context.hosts
        found, silent = resolving.verdicts_of(site, hosts)
    acts = yes and any(one.actions for one in found)
    if not as_json:
        _show(found, silent=len(silent), servers=len(hosts))
    elif not acts:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    if acts:
        with operating(ha) as operation:
            hosts = operation.site.context.hosts
            outcome = carry_out(operation.session, resolving.steps(site, hosts, found), yes=True, as_json=as_json)
            if outcome.exit_code:
                sys.exit(outcome.exit_code)
            found, silent = resolving.verdicts_of(site, hosts)
    if found:
        sys.exit(4)
    with after_the_answer():
        view.raise_for_lost(silent)
        seen.raise_for_missing()


def _show(found: Sequence[Verdict], *, silent: int, servers: int) -> None:
    """``silent``: how many of the ``servers`` have not answered."""
    if not found and silent < servers:
        click.echo(f"no leftovers of a live migration{' on the servers that answer' if silent else ''}")
    for one in found:
        click.echo(f"{one.domain}: {one.why}")
        for line in one.found:
            click.echo(f"    {line}")
        for action in one.actions:
            click.echo(f"  → {action.title}: on {action.server}: {' '.join(action.words)}")
