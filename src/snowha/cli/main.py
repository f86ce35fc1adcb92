"""The door: ``snow``. Errors of the user's leave as one message and an exit code by class."""

from __future__ import annotations

import sys

import click

from snowha.cli.failure import tell
from snowha.cli.tree import snow
from snowha.errors import SnowError


def main() -> None:
    try:
        snow.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        tell("interrupted", exit_code=130)
        sys.exit(130)
    except click.ClickException as error:
        tell(error, exit_code=2)
        sys.exit(2)
    except SnowError as error:
        tell(error, exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
