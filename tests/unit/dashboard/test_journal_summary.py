"""What the journal says to whoever looks on: real journals, and copies of them on servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from snowha.dashboard import timeline
from snowha.dashboard.journal_summary import FETCH_S, JournalSummaryReader, of_journal
from snowha.plan import mirror
from snowha.plan.journal import PROGRESS, STEPS, Journal


@contextmanager
def running(path: Path) -> Iterator[Journal]:
    """A journal in which a run has copied one image and copies another."""
    with Journal(path) as journal, journal.exclusive():
        run = journal.begin()
        journal.fact(run, "", STEPS, 3)
        journal.note(run, "images.deploy01", "started", detail="its disk is a volume")
        journal.fact(run, "images.deploy01", "away_s", 9.5)
        journal.note(run, "images.deploy01", "done", seconds=60.0)
        journal.note(run, "images.proxy01", "started", detail="its disk is a volume")
        journal.progress(run, "images.proxy01", 5, 10, "B")
        journal.progress(run, "images.proxy01", 6, 10, "B")
        yield journal


class Copies:
    """In place of the servers: which copy they have, and how often they are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: mirror.Copy | None = None
        self.asked = 0
        monkeypatch.setattr(mirror, "find", self._find)

    def _find(self, *_: object) -> mirror.Copy | None:
        self.asked += 1
        return self.found

    def take(self, journal: Journal) -> None:
        self.found = mirror.Copy("snow02", journal.copy(), journal.identity, journal.last_change(), journal.position())


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    return Copies(monkeypatch)


def test_a_run_of_this_machine_is_shown_as_it_goes_on(tmp_path: Path, copies: Copies) -> None:
    """Whoever has started it would see it only once it has ended."""
    path = tmp_path / "journal.sqlite"
    with running(path):
        seen = JournalSummaryReader(path, of_site=False).read([], "hpc", 0.0)
        assert seen is not None and copies.asked == 0
        assert (seen.server, seen.is_running, seen.steps) == ("", True, 3)
        assert seen.progress == {"images.proxy01": (6, 10, "B")}
        assert [entry.what for entry in seen.entries] == ["started", "done", "started"]
        assert [(one.step, one.value) for one in seen.away] == [("images.deploy01", 9.5)]


def test_a_run_of_which_no_end_is_noted_is_not_said_to_go_on(tmp_path: Path, copies: Copies) -> None:
    """It was killed: somebody would wait for it."""
    with running(tmp_path / "journal.sqlite") as journal:
        copies.take(journal)
    seen = JournalSummaryReader(tmp_path / "none.sqlite", of_site=False).read([], "hpc", 0.0)
    assert seen is not None and (seen.server, seen.is_running, seen.steps) == ("snow02", False, 3)
    with Journal(tmp_path / "journal.sqlite") as left:
        assert not of_journal(left, "").is_running
        left.begin()  # of the earlier one it is known then that it was lost
        assert of_journal(left, "").entries == ()


def test_how_far_a_step_is_counts_as_noted(tmp_path: Path) -> None:
    """A copy of hours, killed a minute ago, would be said to have noted nothing for hours."""
    with running(tmp_path / "journal.sqlite") as journal:
        later = "2999-01-01T00:00:00.000Z"
        with closing(sqlite3.connect(journal.path)) as database, database:
            database.execute("UPDATE fact SET at = ? WHERE key = ?", (later, PROGRESS))
        shown = timeline.run(of_journal(journal, ""))
        assert isinstance(shown, dict) and shown["noted"] == datetime.fromisoformat(later).timestamp()


def test_another_sites_journal_is_not_shown(tmp_path: Path, copies: Copies) -> None:
    """This machine has the journal of one site, and --site names another."""
    path = tmp_path / "journal.sqlite"
    with running(path) as journal:
        run = journal.begin()
        journal.end(run, "done")
    assert JournalSummaryReader(path, of_site=True).read([], "hpc", 0.0) is None
    seen = JournalSummaryReader(path, of_site=False).read([], "hpc", 0.0)
    assert seen is not None and seen.entries == ()
    with running(tmp_path / "other.sqlite") as other:
        copies.take(other)
    seen = JournalSummaryReader(path, of_site=False).read([], "hpc", 0.0)
    assert seen is not None and seen.server == "snow02"


def test_the_servers_are_asked_for_it_once_a_minute(tmp_path: Path, copies: Copies) -> None:
    """A journal of some megabytes would come from every server every five seconds."""
    reader = JournalSummaryReader(tmp_path / "none.sqlite", of_site=False)
    for at in (0.0, 1.0, FETCH_S - 1, FETCH_S, FETCH_S + 1):
        assert reader.read([], "hpc", at) is None
    assert copies.asked == 2
