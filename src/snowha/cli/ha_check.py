"""``snow ha check``: every assumption looked up on every server at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import click

from snowha.cli.options import FILE, journal_path
from snowha.cli.progress import display
from snowha.migration import load
from snowha.migration.checks import judge, look
from snowha.migration.steps import all_steps
from snowha.plan import engine
from snowha.plan.journal import Journal
from snowha.site.rules import Finding


@click.command()
@FILE
@click.option("--fix", is_flag=True, help="Carry out the remedies that are safe, then look again.")
@click.option("--json", "as_json", is_flag=True, help="The findings as data.")
def check(file: Path, fix: bool, as_json: bool) -> None:
    """Look at everything that must hold, on every server at once. Changes nothing, unless --fix is given.

    Exits with 4 if something forbids `snow ha apply`. docs/checks.md explains every finding.
    """
    ground = load.load(file)
    passwords = load.passwords(ground, file)
    findings = judge.judge(ground.site, look.look(ground, passwords))
    wanted = judge.fixes(findings, ground.hosts) if fix else ()
    failed = 0
    if wanted:
        steps = [replace(step, needs=()) for step in all_steps(ground, passwords) if step.id in wanted]
        with display(json=as_json) as monitor, Journal(journal_path()) as journal:
            outcome = engine.run(steps, monitor=monitor, journal=journal, confirm=monitor.confirm)
        failed = outcome.exit_code
        findings = judge.judge(ground.site, look.look(ground, passwords))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings], "fixed": list(wanted)}))
    else:
        for line in lines(findings):
            click.echo(line)
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
    counts = {name: sum(finding.severity == name for finding in findings) for name in ("stop", "warn", "note")}
    return [*text, "", ", ".join(f"{count} {name}" for name, count in counts.items())]
