"""What the verbs share: where ha.toml is read from, how the servers are reached for it, and the journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from snowha.errors import InputError

HERE = Path("ha.toml")
_NAMED = "snowha.site"
"""Key of what the command line says of the site, in the context that its groups and its verb share (click.Context.meta)."""


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Before the verb or behind it: what is said last counts."""
    named = context.meta.setdefault(_NAMED, {})
    if value is not None:
        named[parameter.name] = value


SITE = click.option(
    "--site",
    metavar="SERVER",
    is_eager=True,
    expose_value=False,
    callback=_keep,
    help="Use the ha.toml that SERVER keeps, over ssh.",
)
SSH_CONFIG = click.option(
    "--ssh-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_keep,
    help="OpenSSH configuration to reach the servers with, in place of the one in ha.toml.",
)


def _file(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    """The ha.toml of the command line: --file, --site, the one in this folder, the one that this server keeps."""
    from snowha.migration import load
    from snowha.site import definition as copies

    named = context.meta.get(_NAMED, {})
    server, config = named.get("site"), named.get("ssh_config")
    load.chosen.ssh_config = str(config.absolute()) if config is not None else ""
    if server is None:
        return value or next((file for file in (HERE, Path(copies.PATH)) if os.path.lexists(file)), HERE)
    if value is not None:
        raise click.UsageError("--file and --site exclude each other: each names an ha.toml")
    from snowha.cli import waiting
    from snowha.migration import definition

    context.set_parameter_source(str(parameter.name), ParameterSource.COMMANDLINE)  # it is not the default
    with waiting.shown():
        return definition.fetch(server, load.chosen.ssh_config)


_FILE = click.option(
    "--file",
    "-f",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_file,
    help="What the cluster shall be. Default: ha.toml in this folder, else /etc/snow-ha/ha.toml.",
)


def FILE(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--file``, ``--site`` and ``--ssh-config`` of a verb, which gets the ha.toml that they mean as ``file``."""
    for option in (SSH_CONFIG, SITE, _FILE):
        command = option(command)
    return command


def journal_path() -> Path:
    """Where the journal is kept: $SNOW_JOURNAL, else /var/lib/snow-ha for root, else below the user's home. Nothing is made."""
    if named := os.environ.get("SNOW_JOURNAL"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/snow-ha/journal.sqlite")
    try:
        return Path.home() / ".local/state/snow-ha/journal.sqlite"
    except RuntimeError:  # neither HOME nor an entry in passwd(5)
        raise InputError("no home folder to keep the journal in", remedy="name a file: SNOW_JOURNAL=FILE") from None
