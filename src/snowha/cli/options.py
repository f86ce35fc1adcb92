"""What the verbs share: where ha.toml is read from, how the servers are reached for it, and the journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snowha.cli.values import FILE_NAME, Amount
from snowha.errors import InputError, SnowError

if TYPE_CHECKING:
    from snowha.site.ha_file import HaFile

HERE = Path("ha.toml")
_NAMED = "snowha.site"
"""Key of what the command line says of the site, in the context that its groups and its verb share (click.Context.meta)."""


def _default() -> Path:
    """The ha.toml that is used where none is named."""
    from snowha.site import definition as copies

    return next((file for file in (HERE, Path(copies.PATH)) if os.path.lexists(file)), HERE)


def offered_domains(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """What a shell offers for the name of a domain: those of ``ha.toml``, if it can be read. No server is asked."""
    ha = _readable(context)
    return [name for name in ha.domains if name.startswith(typed)] if ha else []


def offered_servers(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The same for the name of a server."""
    ha = _readable(context)
    return [server.name for server in ha.servers if server.name.startswith(typed)] if ha else []


def offered_steps(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The same for the name of a step of the migration, or of a section."""
    from snowha.migration import arguments
    from snowha.migration.sections import SECTIONS

    ha = _readable(context)
    names = [*SECTIONS, *(step.id for step in arguments.steps_of(ha))] if ha else []
    return [name for name in dict.fromkeys(names) if name.startswith(typed)]


def _readable(context: click.Context) -> HaFile | None:
    from snowha.hosts import user_file  # imported when it is asked for: --help waits for nothing
    from snowha.site import ha_toml

    file = context.params.get("file") or _default()
    with suppress(SnowError):
        return ha_toml.parse(user_file.read(file), where=str(file))
    return None


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
    shell_complete=offered_servers,
    help="Use the ha.toml that SERVER keeps, over ssh.",
)
SSH_CONFIG = click.option(
    "--ssh-config",
    type=FILE_NAME,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_keep,
    help="OpenSSH configuration for the servers, instead of the one in ha.toml.",
)


def _file(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    """The ha.toml of the command line: --file, the one in this folder, the one that this server keeps. That of --site is brought
    later: no server is asked before all words of the command line were found to be right."""
    named = context.meta.get(_NAMED, {})
    config = named.get("ssh_config")
    here = _default()
    if context.resilient_parsing:  # a shell completes a word: no server is asked
        return value or here
    from snowha.live import connect

    connect.chosen.ssh_config = str(config.absolute()) if config is not None else ""
    if value is not None and "site" in named:
        raise click.UsageError("--file and --site cannot be combined: each names an ha.toml")
    return value or here


def _of_site(context: click.Context, file: Path) -> Path:
    """``file``, or with --site the ha.toml that this server keeps, brought to this machine."""
    server = context.meta.get(_NAMED, {}).get("site")
    if server is None:
        return file
    from snowha.cli import waiting
    from snowha.live import connect, definition

    context.set_parameter_source("file", ParameterSource.COMMANDLINE)  # it is not the default
    with waiting.shown():
        return definition.fetch(server, connect.chosen.ssh_config)


_FILE = click.option(
    "--file",
    "-f",
    type=FILE_NAME,
    metavar="FILE",
    callback=_file,
    help="Description of the cluster. Default: ha.toml in this folder, else /etc/snow-ha/ha.toml.",
)


def every(help: str) -> Callable[..., Any]:
    """``--every`` of a verb that looks again and again; in seconds, as ``every``."""
    return click.option(
        "--every",
        type=Amount("seconds", "5", least=1, most=3600),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help=help,
    )


EVENTS = click.option("--json", "as_json", is_flag=True, help="Events as JSON lines.")
"""Of a verb that changes something."""


def FILE(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--file``, ``--site`` and ``--ssh-config`` of a verb, which gets the ha.toml that they mean as ``file``."""

    @wraps(command)
    def with_file(*words: Any, file: Path, **more: Any) -> Any:
        return command(*words, file=_of_site(click.get_current_context(), file), **more)

    found: Callable[..., Any] = with_file
    for option in (SSH_CONFIG, SITE, _FILE):
        found = option(found)
    return found


def journal_path() -> Path:
    """Where the journal is kept: $SNOW_JOURNAL, else /var/lib/snow-ha for root, else below the user's home. Nothing is made."""
    if named := os.environ.get("SNOW_JOURNAL"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/snow-ha/journal.sqlite")
    try:
        return Path.home() / ".local/state/snow-ha/journal.sqlite"
    except RuntimeError:  # neither HOME nor an entry in passwd(5)
        raise InputError(
            "there is no home folder for the journal", remedy="set the path of a file: SNOW_JOURNAL=FILE"
        ) from None
