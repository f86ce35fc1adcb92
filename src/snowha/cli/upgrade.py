"""``snow upgrade``: the servers' packages, one server after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import operating
from snowha.cli.moves import DRY, JSON, RESTART, TIMEOUT, YES, mover_of, server_of
from snowha.cli.options import FILE, offered_servers
from snowha.cli.session import lock_held, say
from snowha.cli.values import NAME
from snowha.errors import InputError, SiteError
from snowha.live import connect, view
from snowha.migration import arguments
from snowha.operations import plan_changes, upgrade_steps
from snowha.operations import upgrade as upgrading
from snowha.plan.step import Fact
from snowha.provision.servers import debian_release


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...", shell_complete=offered_servers)
@click.option(
    "--release",
    type=NAME,
    metavar="NAME",
    shell_complete=lambda context, parameter, typed: [
        one for one in debian_release.NEXT.values() if one.startswith(typed)
    ],
    help="Upgrade to this release of Debian, which must be the next one (trixie after bookworm).",
)
@FILE
@TIMEOUT
@RESTART
@DRY
@YES
@JSON
def upgrade(
    servers: tuple[str, ...],
    release: str | None,
    file: Path,
    timeout: float,
    restart: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Upgrade the packages of servers, one after the other.

    Without SERVER all, the first one of ha.toml last. The whole plan comes first: packages, moves, memory. Then each server is
    drained, upgraded (apt-get upgrade, or full-upgrade to --release), rebooted, and its links, quorum and BMC are checked; a
    trial domain is migrated to it live before it runs domains again. It stops at the first problem. Run it again to continue.
    """
    ha = connect.read(file)
    if release is not None and release not in debian_release.NEXT.values():
        known = ", ".join(debian_release.NEXT.values())
        raise InputError(f"not a release to upgrade to: {release}", where="--release", remedy=f"use one of: {known}")
    for name in servers:
        arguments.check_server(ha, name)
    with operating(ha) as here:
        view.raise_for_lost(here.site.lost)
        context = here.site.context
        chosen = [server_of(here, name) for name in servers] or [
            server.name for server in reversed(context.site.servers)
        ]
        chosen = list(dict.fromkeys(chosen))
        mover = mover_of(here, timeout, restart=restart)
        with lock_held(context), waiting.shown() as doing:
            plans = upgrading.plan(context, mover, chosen, _PreparationReporter(doing), release or "")
        due = [one.server for one in plans if one.is_due]
        if as_json:
            click.echo(json.dumps({"event": "plan", "servers": [asdict(one) for one in plans]}))
        else:
            click.echo("\n".join(upgrading.lines(plans)))
        if dry_run or not due:
            return
        if not yes and not ask(f"Upgrade and reboot {', '.join(due)}, one after the other?"):
            raise SiteError("nothing was upgraded, since the answer was no", remedy=ANSWERS)
        here.carry_out(
            upgrade_steps.steps(context, mover, plans),
            as_json=as_json,
            refuse_changed=lambda: plan_changes.refuse_upgrade(plans, upgrading.plan_again(context, mover, plans)),
        )


class _PreparationReporter:
    """A Reporter for what is done before there are steps."""

    def __init__(self, doing: Callable[[str], None]) -> None:
        self._doing = doing

    def say(self, text: str) -> None:
        self._doing(text)

    def wait(self, text: str) -> None:
        say(text)

    def progress(self, done: float, total: float, unit: str = "") -> None: ...

    def fact(self, key: str, value: Fact) -> None: ...
