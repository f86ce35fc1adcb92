"""``snow ha``: make the site highly available, prove it, show it."""

from __future__ import annotations

import click

from snowha.cli.ha_apply import apply, plan
from snowha.cli.ha_check import check
from snowha.cli.ha_init import init
from snowha.cli.ha_log import log
from snowha.cli.ha_status import status
from snowha.cli.ha_undo import undo


@click.group()
def ha() -> None:
    """Make a single sNow! server a highly available cluster, prove it, show it."""


for verb in (init, status, check, plan, apply, undo, log):
    ha.add_command(verb)
