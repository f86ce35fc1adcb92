"""``snow ha undo``: back to an earlier step, down to the single server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from snowha.cli.options import FILE
from snowha.cli.session import carry_out, session
from snowha.migration import undo as undoing


@click.command()
@FILE
@click.option("--to", default="", metavar="STEP", help="Back to what the site was after this step or section.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines.")
def undo(file: Path, to: str, yes: bool, as_json: bool) -> None:
    """Take the migration back, down to the single server.

    With --to only to what it was after that step. Domains keep everything they wrote since: each is shut down, its
    images are copied back and compared, and it is started from its volumes. Configurations are put back as they were
    kept. Packages stay. `snow ha apply` does it all again.
    """
    with session(file) as here:
        here.ground.on_all(lambda host: host.run(["true"], timeout=30))
        steps = undoing.steps(here.ground, here.passwords, to=to)
        due = undoing.titles(steps)
        if not due:
            click.echo("nothing to undo")
            return
        if not yes:
            for title in due:
                click.echo(title, err=True)
            if not sys.stdin.isatty() or not click.confirm("Undo this?", err=True):
                click.echo("nothing was undone: the answer was no (--yes answers for you)", err=True)
                sys.exit(4)
        outcome = carry_out(here, steps, yes=True, as_json=as_json)
    sys.exit(outcome.exit_code)
