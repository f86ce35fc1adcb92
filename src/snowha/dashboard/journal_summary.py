"""What the dashboard shows of a site's journal: the last runs, the one that goes on, and the downtimes that runs measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snowha.hosts.host import Host
from snowha.plan import mirror
from snowha.plan.journal import PROGRESS, STEPS, Entry, Journal, RecordedFact, Run

RUNS = 30
"""Runs that are shown, the last ones."""
FETCH_S = 60.0
"""Seconds between two looks for a newer copy of the journal on the servers."""
AWAY = "away_s"
"""Key of the fact with a domain's downtime, in seconds."""


@dataclass(frozen=True)
class JournalSummary:
    """``server``: which the journal is from, empty for this machine's own."""

    server: str
    runs: tuple[Run, ...]
    is_running: bool
    """A process of this machine carries out the last one."""
    entries: tuple[Entry, ...] = ()
    """Of the last run, if no end of it is noted."""
    steps: int | None = None
    """Number of steps of that run. None: an earlier version has begun it."""
    progress: Mapping[str, tuple[float, float, str]] = field(default_factory=dict)
    """Of that run, by step: done, total, unit."""
    failures: tuple[Entry, ...] = ()
    """Steps of ``runs`` that failed."""
    away: tuple[RecordedFact, ...] = ()
    """Downtimes of domains, in seconds."""
    noted: str = ""
    """When that run was noted last, ISO 8601; empty if it has ended."""


def of_journal(journal: Journal, server: str) -> JournalSummary:
    """What is shown of ``journal``. ``server``: which it is a copy from, empty for this machine's own. Raises MachineError."""
    runs = journal.runs()[-RUNS:]
    numbers = {run.id for run in runs}
    failures = tuple(one for one in journal.entries(what="failed") if one.run in numbers)
    away = journal.facts(AWAY)
    if not runs or runs[-1].ended or runs[-1].outcome:
        return JournalSummary(server, runs, False, failures=failures, away=away)
    last = runs[-1].id
    entries, progress = journal.entries(last), journal.facts(PROGRESS, last)
    steps = [one.value for one in journal.facts(STEPS, last)]
    return JournalSummary(
        server,
        runs,
        not server and journal.is_running(),
        entries,
        steps[-1] if steps and isinstance(steps[-1], int) else None,
        {one.step: _progress(one) for one in progress},
        failures,
        away,
        max((runs[-1].started, *(entry.at for entry in entries), *(one.at for one in progress))),
    )


def _progress(told: RecordedFact) -> tuple[float, float, str]:
    match told.value:
        case [int() | float() as done, int() | float() as total, str() as unit]:
            return done, total, unit
    return 0, 0, ""


class JournalSummaryReader:
    """The journal at ``path``, or a newer copy of it that the servers have: they are asked for it every ``FETCH_S``.

    ``of_site``: the site was named, so this machine's journal counts only if it is that of the servers.
    """

    def __init__(self, path: Path, *, of_site: bool) -> None:
        self._path = path
        self._of_site = of_site
        self._found: mirror.Copy | None = None
        self._fetched: float | None = None

    def read(self, hosts: Sequence[Host], site: str, now: float) -> JournalSummary | None:
        """None if there is no journal. ``hosts``: the servers that answer; ``now``: seconds of any clock that goes forwards.
        Raises SnowError for one that cannot be read."""
        if self._path.exists():
            with Journal(self._path) as own:
                if own.is_running():
                    return of_journal(own, "")
        if self._fetched is None or now - self._fetched >= FETCH_S:
            self._fetched = now
            if self._found is None or not mirror.is_newest(list(hosts), site, self._found):
                self._found = mirror.find(list(hosts), site) or self._found
        if self._found is not None:
            with mirror.opened(self._path, self._found) as (journal, server):
                return of_journal(journal, server)
        if self._of_site or not self._path.exists():
            return None
        with Journal(self._path) as own:
            return of_journal(own, "")
