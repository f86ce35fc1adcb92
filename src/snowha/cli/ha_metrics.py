"""``snow ha metrics``: the site as Prometheus reads it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.options import FILE, journal_path
from snowha.cli.values import FILE_NAME
from snowha.errors import SnowError
from snowha.hosts import user_file
from snowha.hosts.host import Host
from snowha.live import connect, proof_records, view
from snowha.operations import metrics
from snowha.operations import status as running
from snowha.plan import mirror
from snowha.plan.run_counts import RunCounts


@click.command(name="metrics")
@FILE
@click.option(
    "--output",
    "-o",
    type=FILE_NAME,
    metavar="FILE",
    help="Write to FILE (mode 0644), atomically. Default: standard output.",
)
def metrics_(file: Path, output: Path | None) -> None:
    """Print the state of the site as metrics for Prometheus.

    They are for the textfile collector of node_exporter, and there when the cluster is down. docs/metrics.md explains them.
    Exits with 0 if they could be written, whatever they say.
    """
    if output is not None:
        user_file.check_target(output)
    with waiting.shown():
        site = view.observe(connect.read(file))
        hosts = site.context.hosts
        seen = running.status_of(site.context.site, hosts, domains=site.domains, known=site.findings)
        proofs = proof_records.times(hosts)
        runs = _runs([hosts[server.name] for server in seen.servers if server.reachable], seen.name)
    text = metrics.text(seen, site.context.site.domains, proofs, runs, at=round(time.time(), 3))
    if output is None:
        click.echo(text, nl=False)
    else:
        user_file.write(output, text, mode=0o644)


def _runs(hosts: list[Host], site: str) -> RunCounts | None:
    """By the newest journal that they have; None if that cannot be known: all else is to be known without it."""
    with suppress(SnowError):
        return mirror.newest_counts(hosts, site, journal_path())
    return None
