"""``snow ha check``: every assumption looked up on every server at once."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import click

from snowha.cli.options import FILE, waiting
from snowha.cli.session import carry_out, session
from snowha.migration import load, view
from snowha.migration.checks import judge, look
from snowha.migration.steps import all_steps
from snowha.site.rules import Finding


@click.command()
@FILE
@click.option("--fix", is_flag=True, help="Carry out the remedies that are safe, then look again.")
@click.option("--json", "as_json", is_flag=True, help="The findings as data.")
def check(file: Path, fix: bool, as_json: bool) -> None:
    """Look at everything that must hold, on every server at once.

    Changes nothing, unless --fix is given. Each finding has a code, a severity (stop, warn, note), a place and a remedy;
    docs/checks.md explains them all. Exits with 4 if something forbids `snow ha apply`.
    """
    wanted: tuple[str, ...] = ()
    failed = 0
    shared: list[Finding] = []
    began = time.monotonic()
    if fix:
        with session(file, found=shared) as here:
            findings = judge.judge(here.ground.site, look.look(here.ground, here.passwords), shared)
            wanted = judge.fixes(findings, here.ground.hosts)
            if wanted:
                steps = [step for step in all_steps(here.ground, here.passwords) if step.id in wanted]
                steps = [replace(step, needs=()) for step in steps]
                failed = carry_out(here, steps, yes=False, as_json=as_json).exit_code
                findings = judge.judge(here.ground.site, look.look(here.ground, here.passwords), shared)
    else:
        site = view.look(file, waiting)
        seen = look.look(site.ground, load.passwords(site.ground, file, all_fenced=False))
        findings = judge.judge(site.ground.site, seen, site.findings, names=site.domains)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        click.echo(
            json.dumps(
                {"findings": [asdict(finding) for finding in findings], "fixed": list(wanted), "seconds": seconds}
            )
        )
    else:
        for line in lines(findings):
            click.echo(line)
        click.echo(f"{len(findings)} findings in {seconds} s")
    sys.exit(failed or (4 if any(finding.severity == "stop" for finding in findings) else 0))


def lines(findings: tuple[Finding, ...]) -> list[str]:
    """The findings for a terminal, the worst first."""
    if not findings:
        return ["nothing found: all is as it must be"]
    text = []
    for finding in findings:
        text += [
            f"{finding.severity.upper():4}  {finding.code}  {finding.where}",
            f"      {finding.message}",
            f"      → {finding.remedy}",
        ]
    return text
