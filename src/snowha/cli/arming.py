"""``snow disarm`` and ``snow arm``: nothing is recovered and nobody fenced while somebody works on the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import operating
from snowha.cli.options import EVENTS, FILE, offered_servers
from snowha.errors import SiteError, UnreachableError
from snowha.live import connect, view
from snowha.migration import arguments
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
@click.option(
    "--fence",
    "fenced",
    multiple=True,
    metavar="SERVER",
    shell_complete=offered_servers,
    help="A server that was lost meanwhile: Pacemaker cuts its power, then starts its domains elsewhere.",
)
@click.option("--yes", is_flag=True, help="Do not ask before power is cut.")
@FILE
@EVENTS
def arm(file: Path, fenced: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """End `snow disarm`: resume recovery and fencing.

    Refused while a server is missing that --fence does not name, since it would be fenced, and while a domain is not where
    Pacemaker has it, or runs twice. Pacemaker checks first where everything runs.
    """
    ha = connect.read(file)
    for server in fenced:
        arguments.check_server(ha, server)
    with operating(ha) as here:
        refuse_lost(here.site.lost, fenced)
        names = " and ".join(dict.fromkeys(fenced))
        if fenced and not yes and not ask(f"Cut the power of {names}, and start what ran there elsewhere?"):
            raise SiteError("nothing was done, since the answer was no", remedy=ANSWERS)
        context = here.site.context
        servers = [server.name for server in context.site.servers]
        asked = {name: host for name, host in context.hosts.items() if name not in fenced}
        here.carry_out([arming.arm(asked, servers, fenced)], as_json=as_json)


def refuse_lost(lost: Mapping[str, UnreachableError], fenced: Sequence[str]) -> None:
    """Raise UnreachableError for servers that do not answer and are not to be ``fenced``."""
    others = {name: error for name, error in lost.items() if name not in fenced}
    try:
        view.raise_for_lost(others)
    except UnreachableError as error:
        words = " ".join(["snow arm", *(f"--fence {name}" for name in dict.fromkeys((*fenced, *others)))])
        remedy = f"if it is lost: {words}, which cuts its power; else: {error.remedy}"
        raise UnreachableError(error.message, where=error.where, remedy=remedy) from None
