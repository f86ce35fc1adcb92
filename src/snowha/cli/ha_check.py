"""``snow ha check``: every assumption looked up on every server at once."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from snowha.checks import evaluate, explained, gather
from snowha.cli import waiting
from snowha.cli.options import FILE
from snowha.cli.session import carry_out, session
from snowha.cli.values import NAME
from snowha.errors import InputError
from snowha.live import connect, view
from snowha.live.context import SiteContext
from snowha.migration import own_machine, planning
from snowha.migration.steps import all_steps
from snowha.site import rules
from snowha.site.model import Domain
from snowha.site.rules import Finding


@click.command()
@FILE
@click.option("--fix", is_flag=True, help="Carry out the remedies that are safe, then check again.")
@click.option(
    "--explain",
    "code",
    type=NAME,
    metavar="CODE",
    shell_complete=lambda context, parameter, typed: [one for one in explained.codes() if one.startswith(typed)],
    help="Only explain what a finding means, why it matters, and what to do; `--explain all` lists the codes.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="The findings as data; with --fix, events as JSON lines before them."
)
def check(file: Path, fix: bool, code: str | None, as_json: bool) -> None:
    """Check everything that the migration needs, on every server at once.

    Changes nothing, unless --fix is given. Each finding has a code, a severity (stop, warn, note), a place and a remedy;
    docs/checks.md explains them all, --explain one of them. Exits with 4 if something forbids `snow ha apply`.
    """
    if code is not None and fix:
        raise InputError(
            "--explain and --fix cannot be combined", remedy="remove one of them: --explain asks no server"
        )
    if code is not None:
        _explain(code, as_json=as_json)
        return
    wanted: tuple[str, ...] = ()
    failed = 0
    shared: list[Finding] = []
    began = time.monotonic()
    if fix:
        with session(connect.read(file), found=shared) as here:
            planning.refuse_older(here.context, here.ha, replaces=False)
            findings = findings_of(here.context, here.passwords, shared)
            wanted = evaluate.fixes(findings, here.context.hosts)
            if wanted:
                steps = [step for step in all_steps(here.context, here.passwords) if step.id in wanted]
                steps = [replace(step, needs=()) for step in steps]
                failed = carry_out(here, steps, yes=False, as_json=as_json).exit_code
                findings = findings_of(here.context, here.passwords, shared)
    else:
        ha = connect.read(file)
        passwords = connect.known_passwords(ha, all_fenced=False)
        with waiting.shown():
            site = view.observe(ha)
            if passwords is None:
                passwords = connect.passwords(site.context, file, all_fenced=False)
        findings = findings_of(site.context, passwords, site.findings, names=site.domains, configs=site.configs)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        click.echo(
            json.dumps(
                {"findings": [asdict(finding) for finding in findings], "fixed": list(wanted), "seconds": seconds}
            )
        )
    else:
        for line in rules.lines(findings) or ["no findings"]:
            click.echo(line)
        more = "; `snow ha check --explain CODE` says why one matters" if findings else ""
        click.echo(f"{len(findings)} findings in {seconds} s{more}")
    sys.exit(failed or (4 if any(finding.severity == "stop" for finding in findings) else 0))


def _explain(code: str, *, as_json: bool) -> None:
    if code == explained.ALL:
        click.echo(json.dumps(explained.all_data()) if as_json else "\n".join(explained.all_lines()))
    else:
        click.echo(json.dumps(explained.data(code)) if as_json else "\n".join(explained.explain(code)))


def findings_of(
    context: SiteContext,
    passwords: dict[str, str],
    known: Sequence[Finding],
    *,
    names: Sequence[str] | None = None,
    configs: Sequence[Domain] | None = None,
) -> tuple[Finding, ...]:
    """What is wrong with a site that was loaded. ``known``: what was found wrong before."""
    with waiting.shown():
        seen = gather.gather_facts(context, passwords)
        own = own_machine.findings(context.hosts, all_steps(context, passwords))
    return evaluate.evaluate(context.site, seen, (*known, *own), names=names, configs=configs)
