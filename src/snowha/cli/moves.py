"""``snow move``, ``drain``, ``undrain`` and ``rebalance``: what runs on which server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import Operation, operating
from snowha.cli.options import EVENTS, FILE, offered_domains, offered_servers
from snowha.cli.values import Amount
from snowha.errors import SiteError
from snowha.live import connect
from snowha.migration import arguments
from snowha.operations import move_plan, plan_changes
from snowha.operations.move_plan import Move, MovePlan
from snowha.operations.moves import Mover
from snowha.site import domain_names

JSON = click.option("--json", "as_json", is_flag=True, help="The plan, then events, as JSON lines.")
YES = click.option("--yes", is_flag=True, help="Do not ask before the plan is carried out.")
DRY = click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
RESTART = click.option(
    "--restart", is_flag=True, help="Restart on the other server what cannot be moved while it runs."
)
TIMEOUT = click.option(
    "--timeout",
    type=Amount("seconds", "1800"),
    default=1800.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up on a move after this.",
)
_NAME_ONE = "move one domain at a time; `snow drain` empties a server"
_SERVER = click.argument("server", metavar="SERVER", shell_complete=offered_servers)


@click.command()
@click.argument("name", metavar="DOMAIN", shell_complete=offered_domains)
@click.argument("server", metavar="[SERVER]", required=False, shell_complete=offered_servers)
@FILE
@TIMEOUT
@RESTART
@EVENTS
def move(name: str, server: str | None, file: Path, timeout: float, restart: bool, as_json: bool) -> None:
    """Move a domain to another server while it runs.

    Without SERVER to the one with most free memory, away from domains that it must be apart from. Refused, with the reason, if it
    cannot be live. No constraint is left behind; that of a run which is killed expires within 30 minutes.
    """
    ha = connect.read(file)
    domain_names.check_one(name, ha.content.domains, remedy=_NAME_ONE)
    if server is not None:
        arguments.check_server(ha, server)
    with operating(ha, words=[name]) as here:
        domain_names.check_one(name, here.site.names(), remedy=_NAME_ONE)
        domain = here.site.domain(here.domains[0]).name
        mover = mover_of(here, timeout, restart=restart)

        def chosen(shown: str = "") -> str:
            if server:
                return server_of(here, server)
            return move_plan.best_target(mover.placement_state(), domain, shown=shown)

        with waiting.shown():
            target = chosen()
        here.carry_out(
            [mover.move(domain, target)],
            as_json=as_json,
            refuse_changed=lambda: plan_changes.refuse_other(
                [f"{domain} to {target}"], [f"{domain} to {chosen(target)}"]
            ),
        )


@click.command()
@_SERVER
@FILE
@TIMEOUT
@RESTART
@DRY
@YES
@JSON
def drain(server: str, file: Path, timeout: float, restart: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Move everything off a server, and keep it off.

    The whole plan comes first: what goes where, the memory that it leaves free, and whether the loss of another server would
    still be survived. It is refused before the first move if it does not fit, or if something cannot be moved while it runs. The
    server is put in standby last; `snow undrain` ends that.
    """
    ha = connect.read(file)
    arguments.check_server(ha, server)
    with operating(ha) as here:
        chosen = server_of(here, server)
        mover = mover_of(here, timeout, restart=restart)

        def planned(shown: Sequence[Move] = ()) -> MovePlan:
            return move_plan.drain(mover.placement_state(), chosen, restart=restart, shown=shown)

        with waiting.shown():
            plan = planned()
        if _agreed(plan, f"Drain {chosen}?", dry_run=dry_run, yes=yes, as_json=as_json):
            steps = mover.drain(chosen, plan.moves)
            here.carry_out(
                steps, as_json=as_json, refuse_changed=lambda: plan_changes.refuse(plan, planned(plan.moves))
            )


@click.command()
@_SERVER
@FILE
@EVENTS
def undrain(server: str, file: Path, as_json: bool) -> None:
    """Let a drained server run domains again.

    What runs elsewhere stays there: `snow rebalance` brings domains back.
    """
    ha = connect.read(file)
    arguments.check_server(ha, server)
    with operating(ha) as here:
        here.carry_out([mover_of(here, 120).undrain(server_of(here, server))], as_json=as_json)


@click.command()
@FILE
@TIMEOUT
@DRY
@YES
@JSON
def rebalance(file: Path, timeout: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Even out the servers' memory with few moves.

    Domains that must be apart are separated, where that takes one move, or two that exchange domains. For memory alone no domains
    are exchanged: a domain is moved if the fuller of the two servers gets emptier by a tenth of an even share; once one is moved,
    others by 8 %, so that the next call finds nothing to gain. Memory counts as domains have it, not as their configs say. The
    plan is shown first, as by `snow drain`. What cannot be moved while it runs stays.
    """
    with operating(connect.read(file)) as here:
        mover = mover_of(here, timeout)

        def planned() -> MovePlan:
            return move_plan.rebalance(mover.placement_state())

        with waiting.shown():
            plan = planned()
        if not plan.moves:
            said = (
                json.dumps({"event": "plan", **asdict(plan)}) if as_json else "\n".join(move_plan.nothing_to_gain(plan))
            )
            click.echo(said)
        elif _agreed(plan, "Carry out these moves?", dry_run=dry_run, yes=yes, as_json=as_json):
            steps = mover.all(plan.moves)
            here.carry_out(steps, as_json=as_json, refuse_changed=lambda: plan_changes.refuse(plan, planned()))


def mover_of(here: Operation, timeout: float, *, restart: bool = False) -> Mover:
    """What moves domains between the servers that answer. ``timeout``: seconds for each move."""
    context = here.site.context
    there = {name: host for name, host in context.hosts.items() if name not in here.site.lost}
    return Mover(there, here.site.known(), context.site.apart, timeout=timeout, restart=restart)


def server_of(here: Operation, name: str) -> str:
    """``name``, if that server answers. Raises UnreachableError."""
    if name in here.site.lost:
        raise here.site.lost[name]
    return name


def _agreed(plan: MovePlan, question: str, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Show the plan; whether it is to be carried out. Raises SiteError for a no."""
    if as_json:
        click.echo(json.dumps({"event": "plan", **asdict(plan)}))
    else:
        click.echo("\n".join(move_plan.lines(plan)))
    if dry_run:
        return False
    if not yes and not ask(question):
        raise SiteError("nothing was moved, since the answer was no", remedy=ANSWERS)
    return True
