"""``snow init``: a new server set up for the site."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.ha_apply import warn
from snowha.cli.moves import DRY, JSON
from snowha.cli.options import FILE, offered_servers
from snowha.cli.session import carry_out, say, session
from snowha.errors import InputError, SiteError
from snowha.live import connect
from snowha.migration import own_machine, planning, preflight
from snowha.migration.steps import all_steps
from snowha.operations import new_server


@click.command()
@click.argument("servers", metavar="[SERVER]", nargs=-1, shell_complete=offered_servers)
@FILE
@DRY
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def init(servers: tuple[str, ...], file: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Set up a new server for the site, and nothing else.

    It is the part of `snow ha apply` that is about this server alone: mounts, packages, settings, host names, kernels,
    and a reboot into Xen with the domains' bridges. Without SERVER this machine. Unlike sNow!'s own `snow init` it writes nothing
    that the servers share; it warns and asks as that one does. Refused for the first server of ha.toml, for one on which domains
    run, and for one that ha.toml does not name. Every server must answer.
    """
    if len(servers) > 1:
        raise InputError(
            "one new server at a time",
            remedy=f"snow init {servers[-1]}; to write ha.toml: `snow ha init {' '.join(servers)}`",
        )
    ha = connect.read(file)
    name = new_server.chosen(ha, *servers)
    with session(ha) as here:
        with waiting.shown() as doing:
            before = planning.files(here.context, here.ha)
            planning.refuse_older(here.context, here.ha, replaces=False)
            new_server.refuse(here.context, name)
            warn(preflight.check(here.context, here.passwords))
            steps = new_server.steps_of(all_steps(here.context, here.passwords), name)
            made = planning.make(here.context, here.passwords, steps, journal=here.journal, say=doing)
            plan = new_server.plan(here.context, name, made)
        if as_json:
            click.echo(json.dumps({"event": "plan", **asdict(plan)}))
        else:
            click.echo("\n".join(new_server.lines(plan)))
        if dry_run or not plan.is_due:
            return
        with waiting.shown():
            own_machine.refuse(here.context.hosts, steps)
        if not yes and not ask("Do you want to proceed?"):
            raise SiteError(f"nothing was done to {name}, since the answer was no", remedy=ANSWERS)

        def refuse_changed() -> None:
            planning.refuse_changed(before, planning.files(here.context, here.ha), since="the plan was made")
            new_server.refuse(here.context, name)  # a server that has got domains must not be rebooted

        outcome = carry_out(here, steps, yes=True, as_json=as_json, refuse_changed=refuse_changed)
    if outcome.ok:
        say(f"{name} is set up. The cluster is next: snow ha plan, then snow ha apply")
    sys.exit(outcome.exit_code)
