"""The door: ``snow``. Errors of the user's leave as one message and an exit code by class."""

from __future__ import annotations

import sys

import click

from snowha.cli.tree import snow
from snowha.errors import SnowError


def main() -> None:
    try:
        snow.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except SnowError as error:
        click.echo(f"snow: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
