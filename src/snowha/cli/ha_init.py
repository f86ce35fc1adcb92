"""``snow ha init``: look at the site and write ha.toml."""

from __future__ import annotations

import os
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.errors import InputError
from snowha.hosts.ssh import SshHost
from snowha.migration import init as initial
from snowha.site import ha_toml
from snowha.site.model import Ssh


@click.command()
@click.argument("servers", nargs=-1, required=True, metavar="SERVER…")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("ha.toml"), show_default=True)
@click.option("--ssh-config", default="", help="OpenSSH configuration to reach the servers with.")
@click.option("--force", is_flag=True, help="Replace an existing file (the old one is kept beside it).")
def init(servers: tuple[str, ...], output: Path, ssh_config: str, force: bool) -> None:
    """Look at the site and write ha.toml.

    The first SERVER is the one that runs the domains today. Nothing is changed on any server. The BMCs' password goes
    into a file of its own that only you can read.
    """
    if output.exists() and not force:
        raise InputError(
            "it exists already", where=str(output), remedy="edit it, or say --force to have it written anew"
        )
    ssh = Ssh(config=str(Path(ssh_config).resolve()) if ssh_config else "")
    hosts = {name: SshHost(name, name, ssh) for name in servers}
    with waiting.shown():
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
