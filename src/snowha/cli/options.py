"""What the verbs of ``snow ha`` share: the file that is read, the journal, the site loaded for looking or for changing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

FILE = click.option(
    "--file",
    "-f",
    type=click.Path(path_type=Path),
    default=Path("ha.toml"),
    show_default=True,
    help="What the cluster shall be.",
)


def journal_path() -> Path:
    """Where the journal is kept: /var/lib/snow-ha for root, else below the user's home."""
    base = Path("/var/lib/snow-ha") if os.geteuid() == 0 else Path.home() / ".local/state/snow-ha"
    if named := os.environ.get("SNOW_JOURNAL"):
        return Path(named)
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base / "journal.sqlite"


def waiting(text: str) -> None:
    """What is waited for, to whoever sits at a terminal."""
    if sys.stderr.isatty():
        click.echo(text, err=True)
