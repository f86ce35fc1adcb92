"""The journal on a real file, and events as JSON."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from snowha.errors import InputError, SiteError
from snowha.plan import events
from snowha.plan.journal import LOST, Journal, prepare


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """Other users of the machine could read what is done to the site."""
    old = os.umask(0)
    try:
        with Journal(tmp_path / "state" / "journal.db") as journal:
            journal.begin()
            with journal.exclusive():
                modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_it_is_there_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say what was done, by whom, and how long it took."""
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 1234 10.0.0.1 22")
    with Journal(tmp_path / "journal.db") as journal:
        first = journal.begin()
        journal.note(first, "images.deploy01", "done", seconds=12.5, detail="copied")
        journal.fact(first, "images.deploy01", "bytes", 5)
        journal.fact(first, "images.deploy01", "bytes", 7)
        journal.fact(first, "images.proxy01", "bytes", 1)
        journal.end(first, "done")
    with Journal(tmp_path / "journal.db") as journal:
        (entry,) = journal.entries(first)
        assert (entry.step, entry.what, entry.seconds, entry.detail) == ("images.deploy01", "done", 12.5, "copied")
        assert journal.last_facts("images.deploy01") == {"bytes": 7}
        (run,) = journal.runs()
        assert (run.who, run.outcome) == ("ada", "done")
        assert run.origin.endswith(" from 10.0.0.9")
        assert run.started <= run.ended


def test_a_killed_run_holds_no_lock_and_counts_as_lost(tmp_path: Path) -> None:
    """After a kill -9 or a power cut somebody would have to clear the lock by hand."""
    code = (
        "import os, sys; from pathlib import Path; from snowha.plan.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "with journal.exclusive():\n journal.begin(); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "journal.db"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with Journal(path) as journal:
        with pytest.raises(SiteError, match=f"pid {process.pid}, since 20"), journal.exclusive():
            pass
        process.kill()
        process.communicate()
        with journal.exclusive():
            journal.begin()
        assert [run.outcome for run in journal.runs()] == [LOST, ""]


def test_many_threads_may_write(tmp_path: Path) -> None:
    """Facts of domains copied side by side would be lost."""
    with Journal(tmp_path / "journal.db") as journal:
        run = journal.begin()
        threads = [threading.Thread(target=journal.fact, args=(run, "s", str(n), n)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.last_facts("s") == {str(n): n for n in range(20)}


def test_a_file_that_is_no_journal_is_said(tmp_path: Path) -> None:
    """A damaged file would be a traceback, or be overwritten."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(InputError, match=r"journal\.db: the journal cannot be used"):
        Journal(path)
    assert path.read_bytes().startswith(b"something")


@pytest.mark.parametrize(("make", "said"), [(os.mkfifo, "it is a FIFO"), (os.mkdir, "it is a folder")])
def test_a_journal_that_is_no_file_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path, int], None], said: str
) -> None:
    """SNOW_JOURNAL=/dev/null would take /dev/null from everybody but root."""
    path = tmp_path / "journal.db"
    make(path, 0o700)
    for use in (prepare, Journal):
        with pytest.raises(InputError, match=f"the journal cannot be used: {said}"):
            use(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_events_as_json_lines() -> None:
    """Scripts and the report could not follow a run."""
    event = events.StepDone(step="a", title="Make \na", section="servers", seconds=1.23456, at=0.5)
    assert json.loads(events.to_json(event)) == {
        "event": "step-done",
        "at": "1970-01-01T00:00:00.500Z",
        "step": "a",
        "title": "Make \na",
        "section": "servers",
        "seconds": 1.235,
    }
    assert "\n" not in events.to_json(event)


def test_errors_as_json() -> None:
    """A script would have to cut the remedy out of a text, and a bug would lose its traceback."""
    refused = SiteError("full", where="/sNow", remedy="make room")
    event = events.StepFailed(step="a", title="a", section="images", error=refused, seconds=0)
    error = {"kind": "SiteError", "message": "full", "where": "/sNow", "remedy": "make room"}
    assert json.loads(events.to_json(event))["error"] == error
    try:
        raise KeyError("x")
    except KeyError as bug:
        event = events.StepFailed(step="a", title="a", section="images", error=bug, seconds=0)
    assert "Traceback" in json.loads(events.to_json(event))["error"]["traceback"]


def test_what_a_lost_run_was_in_the_middle_of_is_known(tmp_path: Path) -> None:
    """A server that it had switched off would stay off."""
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.unfinished() == ()
        first = journal.begin()
        journal.note(first, "images.deploy01", "started")
        second = journal.begin()
        for step, words in {
            "a": ["started", "done"],
            "b": ["started"],
            "c": ["skipped"],
            "d": ["started", "applied"],
        }.items():
            for word in words:
                journal.note(second, step, word)
        assert journal.unfinished() == ("b", "d")
