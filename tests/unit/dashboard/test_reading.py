"""From ha.toml to the page: a finished cluster in memory, whose servers answer as they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from view_site import NAMES, Server, Site

from snowha.cli.options import journal_path
from snowha.dashboard.journal_summary import JournalSummaryReader
from snowha.dashboard.reading import SiteReader
from snowha.dashboard.watcher import READING, Watcher
from snowha.errors import InputError
from snowha.hosts.host import Completed
from snowha.hosts.read_only import is_read_only
from snowha.plan.journal import Journal


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.fixture
def reader(site: Site) -> SiteReader:
    return SiteReader(Path("ha.toml"), JournalSummaryReader(journal_path(), of_site=False))


def test_the_page_shows_what_status_shows(site: Site, reader: SiteReader) -> None:
    """Two answers to one question, and the wrong one on the wall."""
    seen: Any = reader()
    assert seen["verdict"] == {"text": "all is well", "level": "good"}
    assert {name for name in seen if name.startswith("domain/")} == {f"domain/{name}" for name in NAMES}
    site.lose("snow02")
    seen = reader()
    assert seen["verdict"]["level"] == "red"
    assert seen["verdict"]["text"] == site.snow("status").output.splitlines()[0]
    assert seen["domain/proxy01"]["state"] == "unknown"


def test_the_servers_are_only_asked(reader: SiteReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read-only: also where the journal of the servers is looked for."""
    asked: list[tuple[str, ...]] = []
    run = Server.run

    def noted(self: Server, argv: Sequence[str], **options: Any) -> Completed:
        asked.append(tuple(argv))
        assert is_read_only(argv, options.get("input", "")), argv
        return run(self, argv, **options)

    monkeypatch.setattr(Server, "run", noted)
    reader()
    assert asked


def test_a_journal_that_cannot_be_read_does_not_hide_the_site(site: Site, reader: SiteReader) -> None:
    journal_path().parent.mkdir()
    journal_path().write_text("no journal")
    seen: Any = reader()
    assert seen["verdict"]["level"] == "good" and "the journal cannot be used" in seen["journal"]["trouble"]
    journal_path().unlink()
    with Journal(journal_path()) as journal:
        journal.begin()
    assert reader()["journal"] == {"trouble": ""}


def test_what_goes_wrong_is_told_with_what_was_read_before(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a bug nobody would see more than a page that stands still."""
    states: list[Any] = [{"a": 1}, InputError("it is gone", remedy="put it back"), RuntimeError("a bug"), {"a": 2}]
    watcher = Watcher(lambda: _next(states), 1.0)
    published = []
    for _ in range(4):
        watcher._publish(watcher._read_once())
        published.append(dict(watcher.parts))
    readings: list[Any] = [one[READING] for one in published]
    assert [one["a"] for one in published] == [1, 1, 1, 2]
    assert [one["trouble"] for one in readings][:2] == ["", "it is gone\n  → put it back"]
    assert "snow-ha has a bug: RuntimeError('a bug')" in readings[2]["trouble"] and readings[3]["trouble"] == ""
    assert readings[0]["at"] == readings[1]["at"] == readings[2]["at"]
    assert readings[1]["trouble_since"] == readings[2]["trouble_since"] and readings[3]["trouble_since"] is None
    assert "Traceback" in capsys.readouterr().err


def _next(states: list[Any]) -> Any:
    state = states.pop(0)
    if isinstance(state, Exception):
        raise state
    return state
