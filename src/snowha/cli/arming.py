"""``snow disarm`` and ``snow arm``: nothing is recovered and nobody fenced while somebody works on the network."""

from __future__ import annotations

from pathlib import Path

import click

from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import operating
from snowha.cli.options import EVENTS, FILE
from snowha.errors import SiteError
from snowha.live import connect, view
from snowha.operations import disarm as arming


@click.command()
@FILE
@click.option("--yes", is_flag=True, help="Do not ask.")
@EVENTS
def disarm(file: Path, yes: bool, as_json: bool) -> None:
    """Suspend recovery and fencing, for work on the network.

    Domains continue to run. Nothing is started, stopped or moved until `snow arm`, also when a server is lost, and no server is
    fenced. `snow status` shows this, with its duration, and exits with 4.
    """
    with operating(connect.read(file)) as here:
        view.raise_for_lost(here.site.lost)
        if not yes and not ask("Until `snow arm` nothing that fails is recovered. Disarm the cluster?"):
            raise SiteError("nothing was done, since the answer was no", remedy=ANSWERS)
        here.carry_out([arming.disarm(here.site.context.hosts)], as_json=as_json)


@click.command()
@FILE
@EVENTS
def arm(file: Path, as_json: bool) -> None:
    """End `snow disarm`: resume recovery and fencing.

    Refused while a server is missing, which would be fenced, and while a domain is not where Pacemaker has it, or runs twice.
    Pacemaker checks first where everything runs.
    """
    with operating(connect.read(file)) as here:
        view.raise_for_lost(here.site.lost)
        context = here.site.context
        here.carry_out([arming.arm(context.hosts, [server.name for server in context.site.servers])], as_json=as_json)
