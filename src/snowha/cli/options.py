"""What verbs share: options, and where the journal is kept."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from snowha.cli.values import FILE_NAME
from snowha.errors import InputError, SnowError

DEFAULT_FILE = Path("ha.toml")
FILE = click.option(
    "--file",
    "-f",
    type=FILE_NAME,
    default=DEFAULT_FILE,
    show_default=True,
    metavar="FILE",
    help="What the cluster shall be.",
)

EVENTS = click.option("--json", "as_json", is_flag=True, help="Events as JSON lines.")
"""Of a verb that changes something."""


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


def domain_names(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """What a shell offers for the name of a domain: those of ``ha.toml``, if it can be read. No server is asked."""
    from snowha.hosts import user_file  # imported when it is asked for: --help waits for nothing
    from snowha.site import ha_toml

    file = context.params.get("file") or DEFAULT_FILE
    with suppress(SnowError):
        return [name for name in ha_toml.parse(user_file.read(file), where=str(file)).domains if name.startswith(typed)]
    return []
