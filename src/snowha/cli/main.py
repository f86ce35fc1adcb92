"""The door: ``snow``. Errors of the user's leave as one message and an exit code by class."""

from __future__ import annotations

import sys

import click

from snowha import __version__
from snowha.cli.ha import ha
from snowha.cli.images import images
from snowha.cli.lab import lab
from snowha.errors import SnowError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="snow")
def snow() -> None:
    """Highly available service domains for sNow! sites.

    \b
    Exit codes: 0 done · 1 other error · 2 wrong input · 3 a server, BMC or storage does not answer
    4 the site forbids it · 5 a command failed · 6 a proof failed · 130 interrupted
    """


snow.add_command(lab)
snow.add_command(ha)
snow.add_command(images)


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
