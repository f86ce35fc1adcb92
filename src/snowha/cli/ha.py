"""``snow ha``: make the site highly available, prove it, show it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli.ha_apply import apply, plan
from snowha.cli.ha_check import check
from snowha.cli.ha_log import log
from snowha.cli.ha_undo import undo
from snowha.cli.options import FILE, waiting
from snowha.cli.options import journal_path as journal_path
from snowha.errors import InputError
from snowha.hosts.ssh import SshHost
from snowha.migration import init as initial
from snowha.migration import view
from snowha.operations import status as running
from snowha.operations import status_text
from snowha.site import ha_toml
from snowha.site.model import Ssh


@click.group()
def ha() -> None:
    """Make a single sNow! server a highly available cluster, prove it, show it."""


@ha.command()
@click.argument("servers", nargs=-1, required=True, metavar="SERVER…")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("ha.toml"), show_default=True)
@click.option("--ssh-config", default="", help="OpenSSH configuration to reach the servers with.")
@click.option("--force", is_flag=True, help="Replace an existing file (the old one is kept beside it).")
def init(servers: tuple[str, ...], output: Path, ssh_config: str, force: bool) -> None:
    """Look at the site and write ha.toml. The first SERVER is the one that runs the domains today.

    Nothing is changed on any server. The BMCs' password goes into a file of its own that only you can read.
    """
    if output.exists() and not force:
        raise InputError(
            "it exists already", where=str(output), remedy="edit it, or say --force to have it written anew"
        )
    ssh = Ssh(config=str(Path(ssh_config).resolve()) if ssh_config else "")
    hosts = {name: SshHost(name, name, ssh) for name in servers}
    found = initial.look(list(servers), hosts, {}, ssh, f"{output.stem}.secrets/ipmi")
    secret = output.resolve().parent / f"{output.stem}.secrets" / "ipmi"
    _write_secret(secret, found.secret)
    if output.exists():
        output.rename(output.with_name(f"{output.name}.old"))
    output.write_text(ha_toml.render(found.ha))
    for note in found.notes:
        click.echo(note)
    click.echo(f"BMC password: {secret} (mode 0600)")
    click.echo(f"\nwrote {output}: {len(found.ha.servers)} servers, {len(found.ha.domains)} domains.")
    click.echo("Read it, correct it, then: snow ha apply")


def _write_secret(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
    temporary.replace(path)


@ha.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def status(file: Path, as_json: bool) -> None:
    """What is wrong and what to type; then servers, links, quorum, fence devices, and where every domain runs.

    Exits with 4 if anything is wrong (WRONG), with 0 if there is nothing but warnings (WARN) and notes (NOTE).
    """
    site = view.look(file, waiting)
    seen = running.look(site.ground.site, site.ground.hosts, domains=site.domains, known=site.findings)
    if as_json:
        click.echo(json.dumps({**asdict(seen), "healthy": seen.healthy}, indent=2))
    else:
        click.echo("\n".join(status_text.lines(seen, colour="NO_COLOR" not in os.environ)))
    sys.exit(0 if seen.healthy else 4)


for verb in (check, plan, apply, undo, log):
    ha.add_command(verb)
