"""``snow ha``."""

import click


@click.group()
def ha() -> None:
    """Make the site highly available, prove it, show it."""
