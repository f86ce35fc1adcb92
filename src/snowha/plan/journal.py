"""What was done when, by whom, and what came of it: sqlite on a local disk, readable by its owner alone.

The journal is not asked what the site is like: that is looked up. It keeps what cannot be looked up again.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from snowha.errors import InputError, MachineError, SiteError
from snowha.hosts import user_file
from snowha.plan.step import Fact
from snowha.plan.who import current_user, origin

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY, who TEXT NOT NULL, origin TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, outcome TEXT
);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, step TEXT NOT NULL, what TEXT NOT NULL,
    at TEXT NOT NULL, seconds REAL, detail TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS fact (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, step TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS command (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, step TEXT NOT NULL, host TEXT NOT NULL, text TEXT NOT NULL,
    at TEXT NOT NULL, seconds REAL NOT NULL, status INTEGER
);
CREATE TABLE IF NOT EXISTS question (server TEXT NOT NULL, argv TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS event_step ON event (step, id);
CREATE INDEX IF NOT EXISTS fact_step ON fact (step, key, id);
PRAGMA user_version = 2;
"""
# Version 2 (command, question, meta) only added tables: the same statements bring a journal of version 1 up to date.
_RUNS = "SELECT id, who, origin, started, COALESCE(ended, ''), COALESCE(outcome, '') FROM run"
LOST = "lost"
"""Outcome of a run that ended without a word: killed, or its machine lost."""
STEPS, PROGRESS = "steps", "progress"
"""Keys of facts: how many steps a run has (of the step ``""``), and how far a step is: done, total, unit."""


@dataclass(frozen=True)
class Run:
    """One run. Times are UTC, ISO 8601; ``ended`` and ``outcome`` are empty while it goes on."""

    id: int
    who: str
    origin: str
    started: str
    ended: str
    outcome: str


@dataclass(frozen=True)
class Entry:
    """One thing that happened to a step: ``skipped``, ``started``, ``applied``, ``proved``, ``done``, ``failed``,
    ``blocked`` or ``cancelled``."""

    run: int
    step: str
    what: str
    at: str
    seconds: float | None
    detail: str


@dataclass(frozen=True)
class Done:
    """A command that was carried out on a server. ``status`` None: it did not end by itself."""

    run: int
    step: str
    host: str
    text: str
    at: str
    seconds: float
    status: int | None


@dataclass(frozen=True)
class RecordedFact:
    """A fact that a step has told. ``at``: UTC, ISO 8601."""

    run: int
    step: str
    value: Fact
    at: str


def prepare(path: Path) -> None:
    """Make the folder of a journal at ``path``. Raises InputError if none can be written there: to be known before anything is
    done."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            user_file.check_regular(path)  # its mode is set, and that of a device is everybody's
        writable = os.access(path.parent, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except InputError as error:
        raise _unusable(path, error.message) from error
    if not writable:
        raise _unusable(path, "it cannot be written")


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(
        f"the journal cannot be used: {reason}",
        where=str(path),
        remedy="correct it or move it away, or use another file: SNOW_JOURNAL=FILE",
    )


class Journal:
    """Safe to use from many threads. Raises InputError if the file cannot be used, MachineError if it cannot be written later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._run = 0
        prepare(path)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)  # sqlite gives its own files beside it the same mode
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version < _VERSION:
                self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, getattr(error, "strerror", "") or str(error)) from error
        if version > _VERSION:
            raise InputError("the journal is from a newer snow-ha", where=str(path), remedy="upgrade snow-ha here")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only run on this journal, until the end of ``with`` or of the process, however it ends.

        Raises SiteError, which names the owner, if another run is active.
        """
        path = self.path.with_name(self.path.name + ".lock")
        number = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _busy(os.pread(number, 4096, 0)) from None
            owner = {"pid": os.getpid(), "user": current_user(), "host": socket.gethostname(), "since": _now()}
            os.ftruncate(number, 0)
            os.pwrite(number, json.dumps(owner).encode() + b"\n", 0)
            yield
        finally:
            os.close(number)

    def begin(self) -> int:
        """Note a new run; whatever run has no end by now was lost. To be called by the one who is ``exclusive``."""
        self._write("UPDATE run SET outcome = ? WHERE ended IS NULL AND outcome IS NULL", LOST)
        self._write("INSERT OR IGNORE INTO meta (key, value) VALUES ('id', ?)", uuid.uuid4().hex)
        self._run = self._write(
            "INSERT INTO run (who, origin, started) VALUES (?, ?, ?)", current_user(), origin(), _now()
        )
        return self._run

    def end(self, run: int, outcome: str) -> None:
        self._write("UPDATE run SET ended = ?, outcome = ? WHERE id = ?", _now(), outcome, run)

    def note(self, run: int, step: str, what: str, *, seconds: float | None = None, detail: str = "") -> None:
        self._write(
            "INSERT INTO event (run, step, what, at, seconds, detail) VALUES (?, ?, ?, ?, ?, ?)",
            *(run, step, what, _now(), seconds, detail),
        )

    def fact(self, run: int, step: str, key: str, value: Fact) -> None:
        text = json.dumps(value, ensure_ascii=False)
        self._write("INSERT INTO fact (run, step, key, value, at) VALUES (?, ?, ?, ?, ?)", run, step, key, text, _now())

    def progress(self, run: int, step: str, done: float, total: float, unit: str) -> None:
        """Note how far a step is, in place of how far it was: one row for each step, however long it takes."""
        text = json.dumps([done, total, unit], ensure_ascii=False)
        with self._lock, self._told():
            row = self._db.execute(
                "UPDATE fact SET value = ?, at = ? WHERE run = ? AND step = ? AND key = ?",
                (text, _now(), run, step, PROGRESS),
            )
            if not row.rowcount:
                self._db.execute(
                    "INSERT INTO fact (run, step, key, value, at) VALUES (?, ?, ?, ?, ?)",
                    (run, step, PROGRESS, text, _now()),
                )

    def command(self, step: str, host: str, text: str, *, at: float, seconds: float, status: int | None) -> None:
        """Note a command that may have changed something on ``host``, in the run that goes on. ``at``: since 1970."""
        self._write(
            "INSERT INTO command (run, step, host, text, at, seconds, status) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self._run, step, host, text, _stamp(datetime.fromtimestamp(at, UTC)), seconds, status),
        )

    def commands(self, run: int | None = None) -> tuple[Done, ...]:
        """What was carried out on the servers, in one run or in all, in order."""
        rows = self._read(
            "SELECT run, step, host, text, at, seconds, status FROM command WHERE ?1 IS NULL OR run = ?1 ORDER BY id",
            run,
        )
        return tuple(Done(*row) for row in rows)

    def questions(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """What the steps of the last whole run asked, by server."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for server, argv in self._read("SELECT server, argv FROM question ORDER BY rowid"):
            found.setdefault(server, []).append(tuple(json.loads(argv)))
        return {server: tuple(asked) for server, asked in found.items()}

    def keep_questions(self, questions: Mapping[str, Iterable[tuple[str, ...]]]) -> None:
        """Keep these in place of those of earlier runs."""
        rows = [(server, json.dumps(argv)) for server, asked in questions.items() for argv in asked]
        with self._lock, self._told(), self._db:
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM question")
            self._db.executemany("INSERT INTO question (server, argv) VALUES (?, ?)", rows)

    @property
    def identity(self) -> str:
        """What tells this journal, and its copies, from any other; empty before the first run."""
        rows = self._read("SELECT value FROM meta WHERE key = 'id'")
        return str(rows[0][0]) if rows else ""

    def last_change(self) -> str:
        """When anything was noted last, ISO 8601; empty if nothing ever was."""
        rows = self._read(
            "SELECT MAX(at) FROM (SELECT MAX(at) AS at FROM event UNION ALL SELECT MAX(started) FROM run "
            "UNION ALL SELECT MAX(ended) FROM run UNION ALL SELECT MAX(at) FROM command)"
        )
        return str(rows[0][0] or "")

    def position(self) -> tuple[int, int, int]:
        """How far it has got: of two states of one journal the later one has the larger. No clock has a part in it."""
        rows = self._read(
            "SELECT (SELECT MAX(id) FROM run), (SELECT MAX(id) FROM event), (SELECT MAX(id) FROM command)"
        )
        runs, events, commands = (
            number or 0 for number in rows[0]
        )  # no row is ever removed: the last one's id is how many
        return runs, events, commands

    def seconds(self, step: str) -> tuple[float, ...]:
        """How long a step took each time that it was done here."""
        rows = self._read("SELECT seconds FROM event WHERE step = ? AND what = 'done' ORDER BY id", step)
        return tuple(float(row[0]) for row in rows if row[0] is not None)

    def copy(self) -> bytes:
        """All of it as a file of its own, at one instant, whatever is being written meanwhile."""
        with tempfile.TemporaryDirectory(prefix="snow-ha-") as folder:
            beside = Path(folder) / "journal.sqlite"
            with closing(sqlite3.connect(beside)) as target:
                with self._lock:
                    self._db.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # a copy is one file
            return beside.read_bytes()

    def last_facts(self, step: str) -> dict[str, Fact]:
        """The latest value of every fact that a step ever told, by key."""
        rows = self._read("SELECT key, value FROM fact WHERE step = ? AND key <> ? ORDER BY id", step, PROGRESS)
        return {key: json.loads(value) for key, value in rows}

    def facts(self, key: str, run: int | None = None) -> tuple[RecordedFact, ...]:
        """The facts of one key that the steps of a run, or of all runs, have told, in order."""
        rows = self._read(
            "SELECT run, step, value, at FROM fact WHERE key = ?1 AND (?2 IS NULL OR run = ?2) ORDER BY id", key, run
        )
        return tuple(RecordedFact(number, step, json.loads(value), at) for number, step, value, at in rows)

    def is_running(self) -> bool:
        """Whether a process of this machine carries out a run on this journal. Nothing is locked for that: a run that begins at
        this moment must not be refused. Linux: proc_locks(5)."""
        try:
            inode = str(self.path.with_name(self.path.name + ".lock").stat().st_ino)
            held = Path("/proc/locks").read_text(encoding="ascii")
        except OSError:
            return False
        return any(
            words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode
            for words in map(str.split, held.splitlines())
            if len(words) >= 8
        )

    def needs_proof(self, step: str) -> bool:
        """Whether a step was begun and its proof has not succeeded since. Begun, not applied: the run may have been
        killed after the last change and before it was noted."""
        rows = self._read(
            "SELECT what FROM event WHERE step = ? AND what IN ('started', 'proved') ORDER BY id DESC LIMIT 1", step
        )
        return bool(rows) and rows[0][0] == "started"

    def unfinished(self) -> tuple[str, ...]:
        """Steps of the last run of which no end is known: it was lost in the middle of them, or is not over."""
        rows = self._read("SELECT MAX(id) FROM run")
        last = {entry.step: entry.what for entry in self.entries(int(rows[0][0]))} if rows[0][0] else {}
        return tuple(step for step, what in last.items() if what in ("started", "applied"))

    def runs(self) -> tuple[Run, ...]:
        """All runs, the oldest first."""
        return tuple(Run(*row) for row in self._read(f"{_RUNS} ORDER BY id"))

    def last_run(self) -> Run | None:
        """The one that began last; None if there was none."""
        rows = self._read(f"{_RUNS} ORDER BY id DESC LIMIT 1")
        return Run(*rows[0]) if rows else None

    def outcomes(self) -> dict[str, int]:
        """Number of runs by their outcome, which is empty while one goes on."""
        return dict(self._read("SELECT COALESCE(outcome, ''), COUNT(*) FROM run GROUP BY 1"))

    def entries(self, run: int | None = None, what: str | None = None) -> tuple[Entry, ...]:
        """What happened to steps, in one run or in all, in order; all of it, or of one kind."""
        rows = self._read(
            "SELECT run, step, what, at, seconds, detail FROM event "
            "WHERE (?1 IS NULL OR run = ?1) AND (?2 IS NULL OR what = ?2) ORDER BY id",
            *(run, what),
        )
        return tuple(Entry(*row) for row in rows)

    def _write(self, statement: str, *values: object) -> int:
        with self._lock, self._told():
            return self._db.execute(statement, values).lastrowid or 0

    def _read(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._told():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk refuses is nobody's bug. The names of sqlite's own mistakes stay what they are."""
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
                raise
            raise MachineError(
                f"the journal cannot be used: {error}",
                where=str(self.path),
                remedy="free some space or correct the cause, then run this again",
            ) from error


def _busy(note: bytes) -> SiteError:
    try:
        owner = json.loads(note)
        text = f"another run is active: {owner['user']} on {owner['host']}, pid {owner['pid']}, since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        text = "another run is active"
    return SiteError(text, remedy="wait until it has ended, or end it there with Ctrl-C")


def _now() -> str:
    return _stamp(datetime.now(UTC))


def _stamp(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
