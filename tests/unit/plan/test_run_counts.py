"""The runs of a site in a few lines beside each copy of the journal: real files on this machine in place of each server's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from test_mirror import Rooted

from snowha.plan import mirror, run_counts
from snowha.plan.journal import Journal, Run
from snowha.plan.run_counts import RunCounts


class Counted(Rooted):
    """A server, with the file that is beside its copy."""

    @property
    def summary(self) -> Path:
        return Path(f"{self.root}{run_counts.path_beside(mirror.path_of('snow'))}")


@pytest.fixture
def servers(tmp_path: Path) -> list[Counted]:
    return [Counted(name, tmp_path / name) for name in ("snow01", "snow02")]


def send(journal: Journal, servers: Sequence[Rooted]) -> None:
    assert mirror.send(journal, list(servers), mirror.path_of("snow"), set()) == {}
    for server in servers:
        if isinstance(server, Counted):
            server.read = 0


def run(journal: Journal, outcome: str) -> None:
    number = journal.begin()
    journal.note(number, "images.deploy01", "done", seconds=1.0)
    if outcome:
        journal.end(number, outcome)


def newest(servers: Sequence[Rooted], own: Path) -> RunCounts:
    found = mirror.newest_counts(list(servers), "snow", own)
    assert found is not None
    return found


def last(found: RunCounts) -> Run:
    assert found.last is not None
    return found.last


def test_a_journal_of_years_is_not_read_each_minute(tmp_path: Path, servers: list[Counted]) -> None:
    """Each minute, from each server, tens of megabytes would be copied over the cluster's network to count a few runs."""
    with Journal(tmp_path / "j.sqlite") as journal:
        for outcome in ("done", "failed", "done", ""):
            run(journal, outcome)
        with closing(sqlite3.connect(journal.path)) as database, database:
            rows = ((1, f"step{number}", "done", "2027-01-15T07:00:00.000Z") for number in range(20_000))
            database.executemany("INSERT INTO event (run, step, what, at) VALUES (?, ?, ?, ?)", rows)
        send(journal, servers)
        runs = journal.runs()
    found = newest(servers, tmp_path / "none.sqlite")
    assert (dict(found.outcomes), found.last) == ({"done": 2, "failed": 1, "": 1}, runs[-1])
    assert all(0 < server.read < 4096 for server in servers)


def test_the_server_that_knows_most_counts(tmp_path: Path, servers: list[Counted]) -> None:
    """A server that was off during the last run would say that there was none."""
    with Journal(tmp_path / "j.sqlite") as journal:
        run(journal, "done")
        send(journal, servers)
        run(journal, "failed")
        send(journal, servers[1:])
    assert last(newest(servers, tmp_path / "none.sqlite")).outcome == "failed"
    servers[1].dead = True
    assert last(newest(servers, tmp_path / "none.sqlite")).outcome == "done"
    servers[0].dead = True
    assert mirror.newest_counts(list(servers), "snow", tmp_path / "none.sqlite") is None


def test_this_machines_journal_counts_if_it_is_a_later_state_of_theirs(tmp_path: Path, servers: list[Counted]) -> None:
    """The end of a run, which no server was told of, would not be known; or the runs of another site would be counted."""
    own = tmp_path / "own.sqlite"
    with Journal(own) as journal:
        run(journal, "")
        send(journal, servers)
        journal.end(1, "done")
    assert last(newest(servers, own)).outcome == "done"
    with Journal(tmp_path / "other.sqlite") as other:
        run(other, "failed")
        run(other, "failed")
    assert last(newest(servers, tmp_path / "other.sqlite")).outcome == ""


HEAD = b'{"identity": "a", "changed": "9", "outcomes": {"done": 1}, "position": '
RUN = b'{"id": 1, "who": "a", "origin": "b", "started": "%s", "ended": %s, "outcome": "done"}'


@pytest.mark.parametrize(
    "text",
    [
        *(None, b"", b"{", b"[]", b'{"identity": 5}', b"\xff\xfe", b"[" * 100_000),
        HEAD + b'[1e999, 1, 1], "last": null}',
        HEAD + b'[9, 9, 9], "last": ' + RUN % (b"yesterday", b'""') + b"}",
        HEAD + b'[9, 9, 9], "last": ' + RUN % (b"2027-01-15T07:00:00.000Z", b"5") + b"}",
    ],
)
def test_a_server_without_a_summary_is_asked_for_its_journal(
    tmp_path: Path, servers: list[Counted], text: bytes | None
) -> None:
    """After an upgrade of snow-ha, or with a file that a crash has emptied, the runs would be gone until the next one."""
    with Journal(tmp_path / "j.sqlite") as journal:
        run(journal, "done")
        send(journal, servers)
    for server in servers:
        if text is None:
            server.summary.unlink()
        else:
            server.summary.write_bytes(text)
    found = newest(servers, tmp_path / "none.sqlite")
    assert (dict(found.outcomes), last(found).outcome) == ({"done": 1}, "done")


def test_a_site_without_a_run_has_none(tmp_path: Path, servers: list[Counted]) -> None:
    assert mirror.newest_counts(list(servers), "snow", tmp_path / "none.sqlite") is None
    with Journal(tmp_path / "j.sqlite") as journal:
        send(journal, servers)
    found = newest(servers, tmp_path / "none.sqlite")
    assert (dict(found.outcomes), found.last) == ({}, None)


def test_a_copy_that_is_known_is_not_read_again(tmp_path: Path, servers: list[Counted]) -> None:
    """Who has the dashboard open all day would copy the whole journal from every server each minute."""
    with Journal(tmp_path / "j.sqlite") as journal:
        run(journal, "done")
        send(journal, servers)
        known = mirror.find([*servers], "snow")
        assert known is not None and mirror.is_newest([*servers], "snow", known)
        servers[0].dead = True
        assert mirror.is_newest([*servers], "snow", known), "the other one has said it"
        run(journal, "failed")
        send(journal, servers[1:])
        assert not mirror.is_newest([*servers], "snow", known)
    newer = mirror.find([*servers], "snow")
    assert newer is not None and mirror.is_newest([*servers], "snow", newer)
    servers[1].summary.unlink()
    assert not mirror.is_newest([*servers], "snow", newer), "an earlier version may have written the copy"
    servers[1].dead = True
    assert not mirror.is_newest([*servers], "snow", newer) and not mirror.is_newest([], "snow", newer)


def test_counts_that_are_older_than_the_copy_beside_them_count_for_nothing(
    tmp_path: Path, servers: list[Counted]
) -> None:
    """The connection broke between the two, or an earlier version of snow-ha made the last run, which writes the copy alone: the
    run that failed was shown as one that goes on, and no alarm was raised."""
    with Journal(tmp_path / "j.sqlite") as journal:
        run(journal, "")
        send(journal, servers)
        known = mirror.find([*servers], "snow")
        journal.end(1, "failed")
        for server in servers:
            kept = server.summary.read_bytes(), server.summary.stat()
            send(journal, [server])
            server.summary.write_bytes(kept[0])
            os.utime(server.summary, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    assert last(newest(servers, tmp_path / "none.sqlite")).outcome == "failed"
    assert known is not None and not mirror.is_newest([*servers], "snow", known)
    for server in servers:
        os.utime(server.summary)
        server.copy.unlink()
    assert last(newest(servers, tmp_path / "none.sqlite")).outcome == "", "they are all that there is"


def test_a_journal_of_another_machine_whose_clock_is_slow_is_seen(tmp_path: Path, servers: list[Counted]) -> None:
    """Its run took the place of the copy that the dashboard has, and seemed older: the dashboard showed the earlier one."""
    with Journal(tmp_path / "j.sqlite") as journal:
        run(journal, "done")
        send(journal, servers)
        known = mirror.find([*servers], "snow")
    assert known is not None
    with Journal(tmp_path / "other.sqlite") as other:
        run(other, "failed")
        with closing(sqlite3.connect(other.path)) as database, database:
            database.execute("UPDATE event SET at = '2020-01-15T07:00:00.000Z'")
            database.execute("UPDATE run SET started = '2020-01-15T07:00:00.000Z', ended = '2020-01-15T07:00:01.000Z'")
        send(other, servers)
    assert not mirror.is_newest([*servers], "snow", known)
    found = mirror.find([*servers], "snow")
    assert found is not None and mirror.is_newest([*servers], "snow", found)
