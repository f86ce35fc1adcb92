"""``snow ha plan`` and ``snow ha apply``: what would be done, and doing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from snowha.cli import waiting
from snowha.cli.options import EVENTS, FILE, journal_path, offered_domains, offered_steps
from snowha.cli.session import carry_out, session
from snowha.cli.values import FILE_NAME, NAME
from snowha.errors import InputError, SiteError
from snowha.live import connect
from snowha.live.context import SiteContext
from snowha.migration import arguments, own_machine, planning, preflight
from snowha.migration.steps import all_steps
from snowha.plan import engine, plan_text
from snowha.plan import saved_plan as saved_plans
from snowha.plan.journal import Journal
from snowha.plan.selection import select
from snowha.plan.step import Step
from snowha.site.rules import Finding


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose steps."""
    for option in (
        click.option(
            "--domain",
            "domains",
            type=NAME,
            multiple=True,
            metavar="NAME",
            shell_complete=offered_domains,
            help="Only what this domain needs; repeatable.",
        ),
        click.option(
            "--only",
            type=NAME,
            metavar="STEP",
            shell_complete=offered_steps,
            help="Only this step or section; what it needs must be done.",
        ),
        click.option(
            "--until",
            type=NAME,
            metavar="STEP",
            shell_complete=offered_steps,
            help="Up to this step or section, with all that it needs.",
        ),
    ):
        command = option(command)
    return command


def _chosen(
    context: SiteContext, passwords: dict[str, str], until: str, only: str, domains: tuple[str, ...]
) -> list[Step]:
    known = [domain.name for domain in context.site.domains]
    return select(all_steps(context, passwords), until_step=until, only_step=only, domains=domains, known=known)


@click.command()
@FILE
@_selecting
@click.option(
    "--save",
    type=FILE_NAME,
    metavar="FILE",
    help="Write the plan to this file, for `snow ha apply --plan`.",
)
@click.option("--short", is_flag=True, help="Only the steps, without their changes.")
@click.option("--json", "as_json", is_flag=True, help="The plan as data.")
def plan(
    file: Path,
    until: str | None,
    only: str | None,
    domains: tuple[str, ...],
    save: Path | None,
    short: bool,
    as_json: bool,
) -> None:
    """Show what `snow ha apply` would do now. Changes nothing.

    The steps in order, files as diffs, commands, reboots, and times.
    """
    until, only = until or "", only or ""
    if save is not None:
        saved_plans.check_target(save)
    ha = connect.read(file)
    arguments.check_selection(ha, until=until, only=only, domains=domains)
    passwords = connect.known_passwords(ha)
    with waiting.shown() as doing:
        context = connect.load(ha, remember=True)
        if passwords is None:
            passwords = connect.passwords(context, file)
        steps = _chosen(context, passwords, until, only, domains)
        planning.refuse_older(context, ha)  # before the checks, as apply does
        warn(preflight.check(context, passwords))
        _warn_of_own_end(context, steps)
        path = journal_path()
        journal = Journal(path) if path.exists() else None
        try:
            made = planning.make(context, passwords, steps, journal=journal, say=doing)
        finally:
            if journal is not None:
                journal.close()
    if save is not None:
        with waiting.shown():
            inputs = planning.inputs(context, ha)
        saved_plans.write(save, made, inputs, until=until, only=only, domains=domains)
    if as_json:
        click.echo(json.dumps({"steps": [{**asdict(one), "due": one.is_due} for one in made]}))
        return
    for line in plan_text.lines(made, details=not short):
        click.echo(line)
    if save is not None:
        click.echo(f"saved: snow ha apply --plan {save}")


@click.command()
@FILE
@_selecting
@click.option(
    "--plan",
    "plan_file",
    type=FILE_NAME,
    metavar="FILE",
    help="Carry out this plan, unless the site has changed.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a server's power is cut to prove its fencing.")
@EVENTS
def apply(
    file: Path,
    until: str | None,
    only: str | None,
    domains: tuple[str, ...],
    plan_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Carry out the migration, or what is left of it.

    Every step checks before it acts and again after. Run it again at any time: what is done is left alone,
    what was interrupted is continued. Ctrl-C ends it at the next safe point.
    """
    until, only = until or "", only or ""
    saved = saved_plans.read(plan_file) if plan_file is not None else None
    if saved is not None:
        if until or only or domains:
            raise InputError("a saved plan names its own steps", remedy="remove --until, --only and --domain")
        until, only, domains = saved.until, saved.only, saved.domains
    ha = connect.read(file)
    arguments.check_selection(ha, until=until, only=only, domains=domains)
    with session(ha) as here:
        steps = _chosen(here.context, here.passwords, until, only, domains)
        # what forbids a change matters only if there is one to make, and asking takes longer than all the looks
        before: dict[str, str] = {}

        def refuse_changed() -> None:
            planning.refuse_changed(before, planning.files(here.context, here.ha))

        with waiting.shown() as doing:
            due = saved is not None or not (here.known and engine.nothing_due(steps, here.journal))
            if due:
                before = planning.files(here.context, here.ha)
                planning.refuse_older(here.context, here.ha)
                warn(preflight.check(here.context, here.passwords))
            if saved is not None:
                made = planning.make(here.context, here.passwords, steps, journal=here.journal, say=doing)
                differences = saved_plans.compare(saved, made, planning.inputs(here.context, here.ha))
                saved_plans.refuse(saved, differences, str(plan_file))
        outcome = carry_out(here, steps, yes=yes, as_json=as_json, due=due, refuse_changed=refuse_changed)
        if not (until or only or domains):
            here.journal.keep_questions(here.context.asked())
    sys.exit(outcome.exit_code)


def _warn_of_own_end(context: SiteContext, steps: Sequence[Step]) -> None:
    """A plan may be made anywhere."""
    try:
        own_machine.refuse(context.hosts, steps)
    except SiteError as error:
        with waiting.paused():
            click.echo(f"warning: {error.message}", err=True)


def warn(findings: tuple[Finding, ...]) -> None:
    """Say those that forbid nothing."""
    with waiting.paused():
        for finding in findings:
            if finding.severity == "warn":
                click.echo(f"warning: {finding.where}: {finding.message} ({finding.code})", err=True)
