"""``snow ha init``: look at the site and write ha.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.values import FILE_NAME
from snowha.errors import InputError
from snowha.hosts.ssh import SshHost
from snowha.live.bmc_passwords import read_password
from snowha.migration import init_files, site_discovery
from snowha.site.model import Ssh


@click.command()
@click.argument("servers", nargs=-1, required=True, metavar="SERVER SERVER…")
@click.option(
    "--output",
    "-o",
    type=FILE_NAME,
    default=Path("ha.toml"),
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@click.option("--ssh-config", type=FILE_NAME, metavar="FILE", help="OpenSSH configuration for the servers.")
@click.option("--force", is_flag=True, help="Replace an existing file (the old one is kept beside it).")
@click.option(
    "--bmc",
    "bmcs",
    multiple=True,
    metavar="SERVER=ADDRESS",
    help="The BMC of a server, where it is not its name with NET_MGMT's suffix; repeatable.",
)
@click.option("--bmc-user", metavar="NAME", help="The BMCs' user. Default: IPMI_USER of snow.conf.")
@click.option("--bmc-agent", default="fence_ipmilan", show_default=True, metavar="AGENT", help="Their fence agent.")
@click.option(
    "--bmc-password-file",
    type=FILE_NAME,
    metavar="FILE",
    help="File with the BMCs' password, mode 0600. Default: IPMI_PASSWORD of snow.conf; otherwise it is asked for.",
)
def init(
    servers: tuple[str, ...],
    output: Path,
    ssh_config: Path | None,
    force: bool,
    bmcs: tuple[str, ...],
    bmc_user: str | None,
    bmc_agent: str,
    bmc_password_file: Path | None,
) -> None:
    """Read the site and write ha.toml.

    The first SERVER is the one that runs the domains today. A name is also where ssh goes; of an address, or a name with
    dots, the server itself is asked what it is called. Nothing is changed on any server. The BMCs' password goes into a
    file of its own that only you can read.
    """
    password = "" if bmc_password_file is None else read_password(bmc_password_file, remedy=_NO_PASSWORD_FILE)
    bmc = site_discovery.Bmc(_addresses(bmcs), bmc_user, bmc_agent, password)
    site_discovery.check_words(servers, bmc)
    ssh = Ssh(config=str(ssh_config.absolute()) if ssh_config else "")
    hosts = {word: SshHost(word, word, ssh) for word in servers}
    to = init_files.target(output, replace=force)
    with waiting.shown():
        found = site_discovery.discover(servers, hosts, ssh, to.secret_path, bmc, _ask_password)
    notes = list(init_files.write(to, site_discovery.rendered(found.ha), found.secret, said=found.said))
    for note in (*found.notes, *notes):
        click.echo(note)
    click.echo(f"\nwrote {output}: {len(found.ha.servers)} servers, {len(found.ha.domains)} domains.")
    click.echo("Read it, correct it, then: snow ha check")


_NO_PASSWORD_FILE = "write the BMCs' password into the first line of a file of mode 0600, and give its path"


def _addresses(bmcs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in bmcs:
        server, equals, address = (part.strip() for part in word.partition("="))
        if not equals or server in found:
            raise InputError(
                f"cannot be {word!r}" if not equals else f"{server} is given twice",
                where="--bmc",
                remedy="write --bmc SERVER=ADDRESS once for each server, for example --bmc snow01=10.0.0.101",
            )
        found[server] = address
    return found


def _ask_password() -> str:
    """Typed, and not shown. Never an argument: everybody on this machine could read it there."""
    if not is_terminal():
        raise InputError(
            "the BMCs' password is not in snow.conf and was not given, and there is no terminal to ask on",
            remedy="put it into a file of mode 0600: --bmc-password-file FILE",
        )
    with waiting.paused():
        return str(click.prompt("Password of the BMCs", hide_input=True, err=True))


def is_terminal() -> bool:
    return sys.stdin.isatty()
