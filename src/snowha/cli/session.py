"""A run that changes the site: the servers with their commands recorded, the journal found, mirrored, and shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from snowha.cli import verbosity, waiting
from snowha.cli.options import journal_path
from snowha.cli.progress import display
from snowha.errors import InputError, UnreachableError
from snowha.live import connect, left_down, view
from snowha.live.context import SiteContext
from snowha.migration import own_machine
from snowha.plan import engine, mirror
from snowha.plan.command_log import CommandLog
from snowha.plan.journal import Journal, prepare
from snowha.plan.outcome import Outcome
from snowha.plan.step import Step
from snowha.provision import recovery
from snowha.site.rules import Finding


@dataclass(frozen=True)
class Session:
    """The site, the BMCs' passwords, and the journal that this run is noted in."""

    ha: connect.HaToml
    context: SiteContext
    passwords: dict[str, str]
    journal: Journal
    known: bool
    """An earlier run of the whole got to its end: it is known what to look at."""
    since: float
    """When it began (time.monotonic)."""


@contextmanager
def session(
    ha: connect.HaToml, *, whole: bool = True, starts_left_down: bool = True, found: list[Finding] | None = None
) -> Iterator[Session]:
    """Everything that a run needs. A journal that the servers have is gone on with if there is none here. What can be known
    without a server (the passwords) is known before one is asked.

    ``whole``: it may be about any part of the site; else it needs no password of a BMC, nor the answers to all that the last run
    asked for. ``starts_left_down``: a domain that an earlier run shut down and could not start again is started first.
    ``found`` gets what two domains must not share, which is an error without it, as is a server without fence device.
    """
    since = time.monotonic()
    path = journal_path()
    prepare(path)
    recorder = CommandLog()
    there = connect.connect(ha.content)
    try:
        passwords = connect.known_passwords(ha, all_fenced=found is None) if whole else {}
    except InputError:
        if starts_left_down:
            _bring_back(there)  # no file of a password is worth a domain that stays down
        raise
    with waiting.shown() as doing:
        doing("asking the servers what there is")
        answering, lost = view.answering(there.hosts)
        if starts_left_down and there.first.name not in lost:
            _bring_back(there)
        said = mirror.adopt(path, list(answering.values()), there.name)
        if said:
            say(said)
        unfinished = _unfinished(path)
        if recovery.concerns(there.servers, unfinished):
            with connect.lock_site(there, say):
                recovery.wait_for_servers(there.servers, there.hosts, unfinished, say)
            if starts_left_down:
                _bring_back(there)
        else:
            view.raise_for_lost(lost)  # they were waited for once
        questions = _questions(path) if whole else {}
        context = connect.load(ha, remember=True, record=recorder, questions=questions, found=found)
        if passwords is None:
            passwords = connect.passwords(context, ha.path, all_fenced=found is None)
    recorder.hide(passwords.values())
    with Journal(path) as journal:
        recorder.journal = journal
        yield Session(ha, context, passwords, journal, known=bool(questions), since=since)


def _bring_back(there: connect.Connections) -> None:
    """Start what an earlier run shut down and could not start again, before anything else is checked."""
    with suppress(UnreachableError):  # said by whatever needs the server next; it may be coming back itself
        if left_down.noted(there.first):
            with connect.lock_site(there, say):
                left_down.bring_back(there, say)


def _unfinished(path: Path) -> Sequence[str]:
    """What the last run was in the middle of when it was lost."""
    if not path.exists():
        return ()
    with Journal(path) as journal:
        return journal.unfinished()


def _questions(path: Path) -> Mapping[str, Sequence[Sequence[str]]]:
    """What the last run asked the servers."""
    if not path.exists():
        return {}
    with Journal(path) as journal:
        return journal.questions()


def say(text: str) -> None:
    """To whoever watches, and not into what a script reads."""
    with waiting.paused():
        verbosity.say(text)


@contextmanager
def lock_held(site: SiteContext | connect.Connections) -> Iterator[None]:
    """To be the only run on ``site``. Raises SiteError, which names another one."""
    with ExitStack() as held:
        with waiting.shown():
            held.enter_context(connect.lock_site(site, say))
        yield


def carry_out(
    here: Session,
    steps: Sequence[Step],
    *,
    yes: bool,
    as_json: bool,
    due: bool = True,
    refuse_changed: Callable[[], None] = lambda: None,
) -> Outcome:
    """Carry out ``steps`` and show it; the journal goes to every server after each of them.

    ``due``: something is to be changed, so nobody else may be doing so. Raises SiteError, which names whoever is; and for a step
    that would restart what ``snow`` itself runs on. ``refuse_changed``: looks once nobody else can change anything any more,
    and raises SnowError if the site is no longer the one that ``steps`` were planned for.
    """
    if due:
        with waiting.shown():
            own_machine.refuse(here.context.hosts, steps)
    with ExitStack() as held:
        if due:
            held.enter_context(lock_held(here.context))
            here.context.renew()
            with waiting.shown():
                refuse_changed()
        shown = held.enter_context(display(json=as_json))
        watching = mirror.Mirror(shown, here.journal, here.context.hosts, here.context.site.name, steps)
        confirm: Callable[[str], bool] = (lambda question: True) if yes else shown.confirm
        with watching:
            outcome = engine.run(steps, monitor=watching, journal=here.journal, confirm=confirm, since=here.since)
    for server, reason in watching.refused.items():
        click.echo(f"{server} has no copy of the journal: {reason}", err=True)
    return outcome
