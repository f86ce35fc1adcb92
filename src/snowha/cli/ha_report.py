"""``snow ha report``: one archive for a support case."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from snowha import __version__
from snowha.cli import ha_log, waiting
from snowha.cli.failure import as_data
from snowha.cli.ha_check import findings_of
from snowha.cli.options import FILE
from snowha.cli.values import FILE_NAME, Amount
from snowha.errors import InputError, SnowError, UnreachableError
from snowha.health import leases
from snowha.hosts import user_file
from snowha.live import connect, view
from snowha.operations import report
from snowha.operations import status as running
from snowha.site.rules import Finding

_DAYS = 7
_READ_ME = """\
A report of snow-ha {version} about the cluster {name}, made at {when} UTC.

ha.toml, check.json, status.json   what the cluster shall be, what is wrong with it, and how it is
journal.jsonl                      what was done to it, one run per line
domains/                           the domains' configs
servers/NAME/                      what each server reports of itself; its logs of {days} days

Passwords and keys are replaced by ***: those that are known, and whatever is in the place of one. Names and addresses of
your site are in it. Read it before you give it to somebody.
{lacks}"""


@click.command(name="report")
@FILE
@click.option(
    "--output",
    "-o",
    type=FILE_NAME,
    metavar="FILE",
    help="The archive. Default: snow-ha-report-NAME-TIME.tar.gz in this folder.",
)
@click.option(
    "--days",
    type=Amount("days", "7", whole=True, least=1, most=60),
    default=_DAYS,
    show_default=True,
    metavar="N",
    help="Days of the servers' logs to include.",
)
def report_(file: Path, output: Path | None, days: int) -> None:
    """Write one archive for a support case, without secrets.

    In it: ha.toml, the journal, what status and check say, and of each server that answers versions, logs, leases, and the
    configurations of Corosync, Pacemaker and the domains. It changes nothing on the servers. Only you can read the archive.
    Exits with 3, after that, if a server does not answer.
    """
    began = time.gmtime()
    ha = connect.read(file)
    name = f"snow-ha-report-{ha.content.name}-{time.strftime('%Y%m%dT%H%M%SZ', began)}"
    target = Path(f"{name}.tar.gz") if output is None else output
    if os.path.lexists(target):
        raise InputError("the file exists already", where=str(target), remedy="use another file: --output FILE")
    user_file.check_target(target)
    with waiting.shown() as doing:
        doing("asking the servers")
        site = view.observe(ha)
        passwords, lacks = _passwords(site, file)
        images = tuple(leases.images_of(site.context.site))
        gathered = report.gather(site.context.hosts, site.context.site.paths.domain_configs, images, days=days)
    gathered.known.update(passwords.values())
    gathered.files.update(
        {
            "ha.toml": user_file.read(file),
            "status.json": _json(lambda: running.as_data(_status(site))),
            "check.json": _json(lambda: {"findings": list(map(asdict, _findings(site, passwords)))}),
            "journal.jsonl": _journal(file),
        }
    )
    lacks += [f"{error.where}: {error.message.splitlines()[0]}" for error in site.lost.values()]
    gathered.files["README.txt"] = _READ_ME.format(
        version=__version__,
        name=site.context.site.name,
        when=time.strftime("%Y-%m-%d %H:%M:%S", began),
        days=days,
        lacks="".join(f"\nNot in it: {lack}" for lack in lacks),
    )
    archive = report.pack(name, gathered, at=int(time.time()))
    user_file.write(target, archive, mode=0o600)
    click.echo(
        f"{target}: {len(gathered.files)} files, {len(archive) / (1 << 20):.1f} MiB, without the secrets that are known"
    )
    click.echo("Names and addresses of your site are in it: read it before you give it to somebody.")
    view.raise_for_lost(site.lost)


def _passwords(site: view.View, file: Path) -> tuple[dict[str, str], list[str]]:
    """The BMCs' passwords, to be removed; and why there are none, if so."""
    try:
        return connect.passwords(site.context, file, all_fenced=False), []
    except InputError as error:
        return {}, [f"what check reports of the BMCs ({error.where}: {error.message})"]


def _status(site: view.View) -> running.SiteStatus:
    with waiting.shown():
        return running.status_of(site.context.site, site.context.hosts, domains=site.domains, known=site.findings)


def _findings(site: view.View, passwords: dict[str, str]) -> tuple[Finding, ...]:
    return findings_of(site.context, passwords, site.findings, names=site.domains)


def _json(made: Callable[[], dict[str, object]]) -> str:
    """What was made, or why it could not be."""
    try:
        return json.dumps(made())
    except SnowError as error:
        return json.dumps(as_data(error, error.exit_code))


def _journal(file: Path) -> str:
    """A run a line. One line that says why if there is no journal."""
    lost: dict[str, UnreachableError] = {}
    try:
        with ha_log.newest(file, lost, of_site=True) as journal:
            runs = [ha_log.as_data(run, journal.entries(run.id), journal.commands(run.id)) for run in journal.runs()]
    except SnowError as error:
        runs = [as_data(error, error.exit_code)]
    return "".join(f"{json.dumps(run)}\n" for run in runs)
