"""``snow ha log``: what was done, by whom, from where, how long, with which commands."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli.options import FILE, journal_path, waiting
from snowha.errors import InputError, UnreachableError
from snowha.migration import load, view
from snowha.plan import mirror
from snowha.plan.journal import Done, Entry, Journal, Run

_SHOWN = ("done", "failed", "blocked", "cancelled", "proved")


@click.command()
@FILE
@click.option("--run", "number", type=int, metavar="N", help="This run only (its number); by default all.")
@click.option("--commands", is_flag=True, help="With every command that may have changed something on a server.")
@click.option("--json", "as_json", is_flag=True, help="The same as data, commands included.")
def log(file: Path, number: int | None, commands: bool, as_json: bool) -> None:
    """Show what was done to the site: runs, steps, and commands.

    Where there is no journal on this machine, the newest copy that a server has is shown. What was given to a command on
    its standard input is never recorded: it may be a secret. Exits with 3, after that, if a server does not answer that may have
    a newer one.
    """
    lost: dict[str, UnreachableError] = {}
    with _journal(file, lost) as journal:
        runs = [run for run in journal.runs() if number in (None, run.id)]
        if number is not None and not runs:
            raise InputError(f"there is no run {number}", where=str(journal.path), remedy="`snow ha log` shows all")
        data = [(run, journal.entries(run.id), journal.commands(run.id)) for run in runs]
    if as_json:
        click.echo(
            json.dumps(
                [
                    {**asdict(run), "steps": list(map(asdict, entries)), "commands": list(map(asdict, done))}
                    for run, entries, done in data
                ]
            )
        )
        view.raise_for_lost(lost)
        return
    for run, entries, done in data:
        for line in lines(run, entries, done if commands else ()):
            click.echo(line)
    view.raise_for_lost(lost)


@contextmanager
def _journal(file: Path, lost: dict[str, UnreachableError]) -> Iterator[Journal]:
    """This machine's, else the newest copy that a server has. ``lost`` gets the servers that do not answer."""
    path = journal_path()
    if path.exists():
        with Journal(path) as journal:
            yield journal
        return
    with tempfile.TemporaryDirectory(prefix="snow-ha-") as folder:
        copy = Path(folder) / "journal.sqlite"
        there = load.reach(file)
        hosts, silent = view.answering(there.hosts, waiting)
        lost.update(silent)
        if mirror.adopt(copy, list(hosts.values()), there.name) is None:
            view.raise_for_lost(lost)
            raise InputError(
                "there is no journal, here or on a server", where=str(path), remedy="`snow ha apply` writes it"
            )
        with Journal(copy) as journal:
            yield journal


def lines(run: Run, entries: tuple[Entry, ...], commands: tuple[Done, ...]) -> Iterator[str]:
    """One run for a terminal: each step with its time and, below it, its commands."""
    yield f"run {run.id}: {run.who} on {run.origin}, {run.started} to {run.ended or '?'}, {run.outcome or 'going on'}"
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
        yield f"  {skipped} steps were done already"


def _command(done: Done) -> str:
    status = "" if done.status == 0 else " (no end seen)" if done.status is None else f" (exit status {done.status})"
    return f"{done.host}$ {done.text}{status}  {done.seconds:.1f} s"
