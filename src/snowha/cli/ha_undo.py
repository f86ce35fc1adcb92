"""``snow ha undo``: back to an earlier step, down to the single server."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.options import EVENTS, FILE, offered_steps
from snowha.cli.progress import display
from snowha.cli.session import carry_out, say, session
from snowha.cli.values import NAME
from snowha.errors import SiteError
from snowha.live import connect
from snowha.migration import arguments, planning
from snowha.migration.undo import steps as undoing
from snowha.plan import events


@click.command()
@FILE
@click.option(
    "--to",
    type=NAME,
    metavar="STEP",
    shell_complete=offered_steps,
    help="Restore the state of the site after this step or section.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@EVENTS
def undo(file: Path, to: str | None, yes: bool, as_json: bool) -> None:
    """Take the migration back, down to the single server.

    With --to only to what it was after that step. Domains keep everything they wrote since: each is shut down, its
    images are copied back and compared, and it is started from its volumes. Configurations are put back as they were
    kept. Packages stay. Every way back is checked before the first step: sizes of volumes, room for files, the kept
    configs, and whether xl reads them. A domain that is off stays off. `snow ha apply` does it all again.
    """
    ha = connect.read(file)
    arguments.check_selection(ha, to=to)
    with session(ha) as here:
        with waiting.shown():
            here.context.on_all(lambda host: host.run(["true"], timeout=30))
            before = planning.files(here.context, here.ha)
            planning.refuse_older(here.context, here.ha, replaces=False)
            steps = undoing.steps(here.context, here.passwords, to=to or "")
            due = undoing.titles(steps)
        if not due:
            _nothing(here.since, as_json=as_json)
            return
        if not yes:
            for title in due:
                say(title)
            if not ask("Undo this?"):
                raise SiteError("nothing was undone, since the answer was no", remedy=ANSWERS)

        def refuse_changed() -> None:
            planning.refuse_changed(before, planning.files(here.context, here.ha))

        outcome = carry_out(here, steps, yes=True, as_json=as_json, refuse_changed=refuse_changed)
    sys.exit(outcome.exit_code)


def _nothing(since: float, *, as_json: bool) -> None:
    """Tell of a run that had no steps."""
    if not as_json:
        click.echo("nothing to undo")
        return
    with display(json=True) as shown:
        took = time.monotonic() - since
        shown(events.RunStarted(steps=0, passed=took))
        shown(events.RunEnded(done=0, skipped=0, failed=0, blocked=0, left=0, cancelled=False, seconds=took))
