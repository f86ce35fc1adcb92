"""``snow ha resolve``: what broken live migrations have left."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.options import FILE
from snowha.cli.session import its_turn, say
from snowha.migration import load, view
from snowha.operations import resolve as resolving
from snowha.operations.resolve import Verdict


@click.command()
@FILE
@click.option("--yes", is_flag=True, help="Do it.")
@click.option("--json", "as_json", is_flag=True, help="What was found as data.")
def resolve(file: Path, yes: bool, as_json: bool) -> None:
    """Show what broken live migrations have left, and what would be done.

    Halves of a domain (NAME--incoming, NAME--migratedaway), a domain that is suspended, and leases that are half handed over:
    where they are, and what would be done about each. Nothing is changed without --yes. What is not certain is never done:
    while a migration is under way, while a server does not answer, and where leases and servers say different things.
    Exits with 0 if nothing is left, else with 4.
    """
    with waiting.shown():
        ha = load.read(file)
        site = view.observe(ha).ground.site
        there = load.connect(ha.content)
        found = resolving.look(site, there.hosts)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _show(found)
    if not yes or not any(one.actions for one in found):
        sys.exit(4 if found else 0)
    with its_turn(there):
        resolving.must_be_the_same(found, resolving.look(site, there.hosts))
        resolving.carry_out(there.hosts, found, say)
        left = resolving.look(site, there.hosts)
    sys.exit(4 if left else 0)


def _show(found: Sequence[Verdict]) -> None:
    if not found:
        click.echo("nothing is left of any migration")
    for one in found:
        click.echo(f"{one.domain}: {one.why}")
        for line in one.found:
            click.echo(f"    {line}")
        for action in one.actions:
            click.echo(f"  → {action.title}: on {action.server}: {' '.join(action.words)}")
