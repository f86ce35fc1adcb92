"""What the verbs of ``snow ha`` share: the file that is read, the journal, the site loaded for looking or for changing."""

from __future__ import annotations

import os
from pathlib import Path

import click

from snowha.cli.values import FILE_NAME
from snowha.errors import InputError

FILE = click.option(
    "--file",
    "-f",
    type=FILE_NAME,
    default=Path("ha.toml"),
    show_default=True,
    metavar="FILE",
    help="What the cluster shall be.",
)


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
