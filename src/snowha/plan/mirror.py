"""The journal on every server: whoever lost the machine that he worked from goes on from another one.

After each step a copy goes to every server that is not just being rebooted. Only what cannot be looked up again matters
in it: which proofs are owed, how long things took, what was done. A server that does not take it is no reason to stop.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from snowha.errors import LostLockError, SnowError
from snowha.hosts import user_file
from snowha.hosts.files import make_dir, read_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.read_only import read_only_script
from snowha.plan import events, run_counts
from snowha.plan.journal import Journal
from snowha.plan.run_counts import RunCounts
from snowha.plan.step import Step

FOLDER = "/var/lib/snow-ha/journal"

# -nt (dash, bash): false where there is no copy; where there are no counts nothing is printed
_COUNTS = read_only_script('[ "$2" -nt "$1" ] || cat -- "$1"')


def path_of(site: str) -> str:
    """Where the servers keep the journal of the cluster called ``site``."""
    return f"{FOLDER}/{site}.sqlite"


class Mirror:
    """A Monitor in front of another one: it passes every event on, and sends the journal after each step that ended.

    Sending is done by a thread of its own, the newest state only. Leaving ``with`` waits for the last one. Nothing is sent
    any more once a step found that the lock of the site is lost.
    """

    def __init__(
        self,
        monitor: events.Monitor,
        journal: Journal,
        hosts: Mapping[str, Host],
        site: str,
        steps: Iterable[Step],
    ) -> None:
        self._monitor = monitor
        self._journal = journal
        self._hosts = dict(hosts)
        self._path = path_of(site)
        self._servers = {step.id: step.server for step in steps if step.server}
        self._busy: dict[str, str] = {}
        """The server that a step may be rebooting, by the step: nothing is written to it meanwhile."""
        self._queue: SimpleQueue[bool] = SimpleQueue()
        self._begun = self._over = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._prepared: set[str] = set()
        self.refused: dict[str, str] = {}
        """Servers that did not take the last copy, with the reason."""

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._begun and not self._over:
            self._queue.put(True)
        self._queue.put(False)
        self._thread.join(120)

    def __call__(self, event: events.Event, /) -> None:
        if isinstance(event, events.StepStarted):
            self._begun = True
            if event.step in self._servers:
                self._busy[event.step] = self._servers[event.step]
        elif isinstance(event, events.StepDone | events.StepFailed | events.StepLeft):
            self._busy.pop(event.step, None)
            self._over |= isinstance(event, events.StepFailed) and isinstance(event.error, LostLockError)
            if self._begun and not self._over:
                self._queue.put(True)
        self._monitor(event)

    def _work(self) -> None:
        going_on = True
        while going_on:
            going_on = self._queue.get()
            wanted = going_on
            while True:  # only the newest state is of interest
                try:
                    going_on = self._queue.get_nowait() and going_on
                except Empty:
                    break
            if wanted and not self._over:
                self._send()

    def _send(self) -> None:
        busy = set(self._busy.values())
        free = [host for name, host in self._hosts.items() if name not in busy]
        refused = send(self._journal, free, self._path, self._prepared)
        self.refused = {} if self._over else refused


def send(journal: Journal, hosts: list[Host], path: str, prepared: set[str]) -> dict[str, str]:
    """Give each of ``hosts`` a copy of ``journal``, and its counts. The servers that did not take them, with the reason.

    ``prepared``: servers that have the folder for it; those that get it now are added.
    """
    data = journal.copy()
    counts = run_counts.text(run_counts.of(journal))

    def one(host: Host) -> str:
        try:
            if host.name not in prepared:
                make_dir(host, "/var/lib/snow-ha", mode=0o700)
                make_dir(host, FOLDER, mode=0o700)
                prepared.add(host.name)
            write_file(host, path, data, mode=0o600, keep=False, timeout=60)
            write_file(host, run_counts.path_beside(path), counts, mode=0o600, keep=False)
        except SnowError as error:
            return error.message.splitlines()[0]
        return ""

    return {name: reason for name, reason in each(hosts, one).items() if reason}


@dataclass(frozen=True)
class Copy:
    """A journal found on a server."""

    server: str
    data: bytes
    identity: str
    changed: str
    position: tuple[int, int, int]
    open_run: str = ""
    """Who began its last run, from where and when, if no end of it is known: it was lost, or goes on somewhere."""
    counts: RunCounts | None = None


def find(hosts: list[Host], site: str) -> Copy | None:
    """The newest copy that a server has; None if none has one that can be read."""

    def one(host: Host) -> Copy | None:
        try:
            data = read_file(host, path_of(site))
        except SnowError:
            return None
        return _opened(host.name, data) if data else None

    copies = [copy for copy in each(hosts, one).values() if copy]
    return max(copies, key=lambda copy: (copy.changed, copy.position), default=None)


def _opened(server: str, data: bytes) -> Copy | None:
    with tempfile.TemporaryDirectory(prefix="snow-ha-") as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(data)
        try:
            with closing(sqlite3.connect(path)) as database:
                if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                    return None
            with Journal(path) as journal:
                counts = run_counts.of(journal)
                last = counts.last if counts.last and not counts.last.ended else None
                open_run = f"{last.who} on {last.origin}, since {last.started}" if last else ""
                return Copy(server, data, counts.identity, counts.changed, counts.position, open_run, counts)
        except (sqlite3.Error, SnowError):
            return None


def _counts(host: Host, site: str) -> RunCounts | None:
    """None if there are none that can be read, or the copy beside them is newer: then they were not written with it."""
    words = ["sh", "-c", _COUNTS, "sh", run_counts.path_beside(path_of(site)), path_of(site)]
    done = host.run(words, check=False)
    return run_counts.parse(done.stdout) if done.ok else None


def is_newest(hosts: list[Host], site: str, known: Copy) -> bool:
    """Whether ``known`` is the newest state of the journal that ``hosts`` have, by their counts. False if one has none that can
    be read, or no host answers: then only the copies say it."""

    def one(host: Host) -> RunCounts | str | None:
        try:
            return _counts(host, site) or "unreadable"
        except SnowError:
            return None

    answers = [answer for answer in each(hosts, one).values() if answer is not None]
    found = [answer for answer in answers if isinstance(answer, RunCounts)]
    newest = max(found, key=lambda counts: (counts.changed, counts.position), default=None)
    if newest is None or len(found) < len(answers):
        return False
    # that of another machine takes the place of it on every server, whatever its clock says
    return (newest.identity, newest.changed, newest.position) == (known.identity, known.changed, known.position)


def newest_counts(hosts: list[Host], site: str, own: Path) -> RunCounts | None:
    """By the newest journal that one of ``hosts`` has, or by that of this machine at ``own`` if it is a later state of the same.
    None if no host has one. Raises InputError or MachineError if ``own`` cannot be read.

    A host without counts that can be read, as an earlier version left it, is asked for its whole journal.
    """

    def one(host: Host) -> RunCounts | None:
        try:
            known = _counts(host, site)
        except SnowError:
            return None
        copy = None if known else find([host], site)
        return copy.counts if copy else known

    known = [counts for counts in each(hosts, one).values() if counts]
    found = max(known, key=lambda counts: (counts.changed, counts.position), default=None)
    if found is not None and own.exists():
        with Journal(own) as journal:
            if journal.identity == found.identity and journal.position() >= found.position:
                return run_counts.of(journal)
    return found


@contextmanager
def opened(path: Path, found: Copy) -> Iterator[tuple[Journal, str]]:
    """``found``, with the server that it is from; or the journal of this machine at ``path``, and no server, if that is a later
    state of it."""
    if path.exists():
        with Journal(path) as own:
            if own.identity == found.identity and own.position() >= found.position:
                yield own, ""
                return
    with tempfile.TemporaryDirectory(prefix="snow-ha-") as folder:
        copy = Path(folder) / "journal.sqlite"
        copy.write_bytes(found.data)
        with Journal(copy) as journal:
            yield journal, found.server


def adopt(path: Path, hosts: list[Host], site: str) -> str | None:
    """Take over the newest copy that a server has, if there is nothing at ``path`` or what is there is an older state of
    the same journal. What was done, for the user; None if nothing.

    To be called before the journal at ``path`` is opened.
    """
    own: Copy | None = None
    if path.exists() and path.stat().st_size:
        with Journal(path) as journal:
            own = Copy("", b"", journal.identity, journal.last_change(), journal.position())
    found = find(hosts, site)
    if found is None:
        return None
    still = f"; if that run is still active there, end it first: {found.open_run}" if found.open_run else ""
    if own is not None and own.position[0]:
        if found.identity != own.identity:
            if found.changed <= own.changed:
                return None
            return f"{found.server} has the journal of another machine, newer than this one: it is left alone{still}"
        if found.position <= own.position:
            return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = user_file.beside(path, found.data, mode=0o600)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    user_file.put(beside, path)
    known = f"{found.position[0]} runs, the last noted at {found.changed}"
    return f"continuing with the journal from {found.server}: {known}{still}"
