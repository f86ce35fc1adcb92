"""What verbs share: options, and where the journal is kept."""

from __future__ import annotations

import os
from pathlib import Path

import click

from snowha.errors import InputError

FILE = click.option(
    "--file",
    "-f",
    type=click.Path(path_type=Path),
    default=Path("ha.toml"),
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
