"""``snow ha log``: what was done, by whom, from where, how long, with which commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from snowha.cli import waiting
from snowha.cli.failure import after_the_answer
from snowha.cli.options import FILE, journal_path
from snowha.cli.session import say
from snowha.cli.values import Amount
from snowha.errors import InputError, UnreachableError
from snowha.live import connect, view
from snowha.plan import mirror
from snowha.plan.journal import Done, Entry, Journal, Run

_SHOWN = ("done", "failed", "blocked", "cancelled", "proved")


@click.command()
@FILE
@click.option(
    "--run",
    "number",
    type=Amount("the number of a run", "3", whole=True),
    metavar="N",
    help="Only the run with this number. Default: all.",
)
@click.option("--commands", is_flag=True, help="Also show every command that may have changed something on a server.")
@click.option("--json", "as_json", is_flag=True, help="The same as data, commands included.")
@click.pass_context
def log(context: click.Context, file: Path, number: int | None, commands: bool, as_json: bool) -> None:
    """Show what was done to the site: runs, steps, and commands.

    This machine's journal is shown. Where there is none, or with --file, it is the newest that the servers of that site
    have, or this machine's if that is a later state of it. What was given to a command on its standard input is never
    recorded: it may be a secret. Exits with 3, after that, if a server does not answer that may have a newer one.
    """
    lost: dict[str, UnreachableError] = {}
    of_site = context.get_parameter_source("file") is not ParameterSource.DEFAULT
    with newest(file, lost, of_site=of_site) as journal:
        runs = [run for run in journal.runs() if number in (None, run.id)]
        if number is not None and not runs:
            raise InputError(f"there is no run {number}", where=str(journal.path), remedy="`snow ha log` shows all")
        data = [(run, journal.entries(run.id), journal.commands(run.id)) for run in runs]
    if as_json:
        click.echo(json.dumps([as_data(*one) for one in data]))
        with after_the_answer():
            view.raise_for_lost(lost)
        return
    for run, entries, done in data:
        for line in lines(run, entries, done if commands else ()):
            click.echo(line)
    with after_the_answer():
        view.raise_for_lost(lost)


def as_data(run: Run, entries: tuple[Entry, ...], commands: tuple[Done, ...]) -> dict[str, object]:
    """One run for a script."""
    return {**asdict(run), "steps": list(map(asdict, entries)), "commands": list(map(asdict, commands))}


@contextmanager
def newest(file: Path, lost: dict[str, UnreachableError], *, of_site: bool) -> Iterator[Journal]:
    """This machine's; else, or if ``of_site`` asks for the site of ``file``, the newest copy that its servers have. ``lost`` gets
    the servers that do not answer."""
    path = journal_path()
    if path.exists() and not of_site:
        with Journal(path) as journal:
            yield journal
        return
    there = connect.connect(connect.read(file).content)
    with waiting.shown():
        hosts, silent = view.answering(there.hosts)
        lost.update(silent)
        found = mirror.find(list(hosts.values()), there.name)
    if found is None:
        view.raise_for_lost(lost)
        what = "no server of this site has a journal" if path.exists() else "there is no journal, here or on a server"
        raise InputError(what, where=str(file if path.exists() else path), remedy="the first `snow ha apply` writes it")
    with mirror.opened(path, found) as (journal, server):
        if server:
            say(f"showing the journal from {server}")
        yield journal


def lines(run: Run, entries: tuple[Entry, ...], commands: tuple[Done, ...]) -> Iterator[str]:
    """One run for a terminal: each step with its time and, below it, its commands."""
    yield f"run {run.id}: {run.who} on {run.origin}, {run.started} to {run.ended or '?'}, {run.outcome or 'not ended'}"
    skipped = sum(entry.what == "skipped" for entry in entries)
    for entry in entries:
        if entry.what == "started":
            yield f"  {entry.at}  {entry.step}: {entry.detail}"
            yield from (f"      {_command(done)}" for done in commands if done.step == entry.step)
        elif entry.what in _SHOWN:
            time = f" after {entry.seconds:.1f} s" if entry.seconds is not None else ""
            detail = f": {entry.detail.splitlines()[0]}" if entry.detail else ""
            yield f"  {entry.at}  {entry.step} {entry.what}{time}{detail}"
    others = [done for done in commands if not any(entry.step == done.step for entry in entries)]
    yield from (f"      {_command(done)}" for done in others)
    if skipped:
        yield f"  up to date: {skipped} {'step' if skipped == 1 else 'steps'}"


def _command(done: Done) -> str:
    status = (
        ""
        if done.status == 0
        else " (its result is unknown)"
        if done.status is None
        else f" (exit status {done.status})"
    )
    return f"{done.host}$ {done.text}{status}  {done.seconds:.1f} s"
