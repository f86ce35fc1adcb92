"""The journal on the servers: real files on this machine in place of each server's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from snowha.errors import LostLockError, UnreachableError
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.plan import engine, events, mirror
from snowha.plan.journal import Journal
from snowha.plan.step import Reporter, Step


class Rooted:
    """A server whose files below /var/lib/snow-ha are in a folder of this machine. ``dead``: it does not answer;
    ``read``: characters that it has answered."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.dead = False
        self.read = 0
        (root / "var/lib").mkdir(parents=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        if self.dead:
            raise UnreachableError("no route to host", where=self.name)
        words = [f"{self.root}{word}" if word.startswith("/var/lib/snow-ha") else word for word in argv]
        done = LocalHost(self.name).run(words, input=input, timeout=timeout, check=check, on_line=on_line)
        self.read += len(done.stdout)
        return done

    @property
    def copy(self) -> Path:
        return Path(f"{self.root}{mirror.path_of('snow')}")


@pytest.fixture
def servers(tmp_path: Path) -> list[Rooted]:
    return [Rooted(name, tmp_path / name) for name in ("snow01", "snow02")]


def step(name: str, so: set[str], *, seen: Callable[[], None] = lambda: None) -> Step:
    def apply(reporter: Reporter) -> None:
        seen()
        so.add(name)

    return Step(name, name, "servers", lambda: None if name in so else "missing", apply)


def run(path: Path, servers: list[Rooted], steps: list[Step]) -> mirror.Mirror:
    with Journal(path) as journal:
        watching = mirror.Mirror(lambda event: None, journal, {one.name: one for one in servers}, "snow", steps)
        with watching:
            engine.run(steps, monitor=watching, journal=journal, confirm=lambda question: True)
        return watching


def test_another_machine_goes_on_with_the_journal_of_the_lost_one(tmp_path: Path, servers: list[Rooted]) -> None:
    """Proofs that are owed would be forgotten together with the machine."""
    run(tmp_path / "lost.sqlite", servers, [step("a", set())])
    new = tmp_path / "new/journal.sqlite"
    text = mirror.adopt(new, list(servers), "snow")
    assert text is not None and "continuing with the journal from snow0" in text
    assert new.stat().st_mode & 0o777 == 0o600
    with Journal(new) as journal, Journal(tmp_path / "lost.sqlite") as lost:
        assert journal.identity == lost.identity
        assert [entry.what for entry in journal.entries()] == ["started", "applied", "done"]


def test_every_server_has_it_after_every_step(tmp_path: Path, servers: list[Rooted]) -> None:
    so: set[str] = set()
    run(tmp_path / "j.sqlite", servers, [step("a", so), step("b", so)])
    for server in servers:
        with Journal(server.copy) as copy:
            assert [entry.step for entry in copy.entries() if entry.what == "done"] == ["a", "b"]
        assert server.copy.stat().st_mode & 0o777 == 0o600
        assert server.copy.parent.stat().st_mode & 0o777 == 0o700


def test_a_server_that_does_not_answer_is_no_reason_to_stop(tmp_path: Path, servers: list[Rooted]) -> None:
    servers[1].dead = True
    watching = run(tmp_path / "j.sqlite", servers, [step("a", set())])
    assert watching.refused == {"snow02": "no route to host"}
    assert servers[0].copy.exists()


def test_a_finished_site_gets_no_new_copy(tmp_path: Path, servers: list[Rooted]) -> None:
    """A run that has nothing to do changes nothing on the servers, nor does one that only looks."""
    run(tmp_path / "j.sqlite", servers, [step("a", {"a"})])
    assert not servers[0].copy.exists()


def test_a_server_that_a_step_may_reboot_is_written_to_afterwards(tmp_path: Path, servers: list[Rooted]) -> None:
    """It would be seen to go down in the middle of a write, and be named as one that refused its copy."""
    monitor: list[events.Event] = []
    reboot = replace(step("servers.xen.snow02", set()), server="snow02")
    other = step("other", set())
    for ended, has_it in ((other, [True, False]), (reboot, [True, True])):
        with (
            Journal(tmp_path / "j.sqlite") as journal,
            mirror.Mirror(monitor.append, journal, {s.name: s for s in servers}, "snow", [reboot, other]) as watching,
        ):
            watching(events.StepStarted(**events.names(reboot), reason=""))
            watching(events.StepStarted(**events.names(other), reason=""))
            watching(events.StepDone(**events.names(ended), seconds=1))
        assert [server.copy.exists() for server in servers] == has_it
    assert len(monitor) == 6


def test_a_machine_keeps_its_own_journal_unless_a_server_knows_more_of_the_same(
    tmp_path: Path, servers: list[Rooted]
) -> None:
    """What it knows would be replaced by an older state, or by somebody else's."""
    own, other = tmp_path / "own.sqlite", tmp_path / "other.sqlite"
    run(own, servers, [step("a", set())])
    assert mirror.adopt(own, list(servers), "snow") is None
    mirror.adopt(other, list(servers), "snow")
    run(other, servers, [step("b", set())])
    assert "continuing" in (mirror.adopt(own, list(servers), "snow") or "")
    with Journal(own) as journal:
        assert [entry.step for entry in journal.entries() if entry.what == "done"] == ["a", "b"]
    stranger = tmp_path / "stranger.sqlite"
    run(stranger, [], [step("c", set())])
    before = stranger.read_bytes()
    mirror.adopt(stranger, list(servers), "snow")
    assert stranger.read_bytes() == before


def test_a_run_without_an_end_is_told(tmp_path: Path, servers: list[Rooted]) -> None:
    """Two administrators would work on one site at once."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin()
        mirror.send(journal, list(servers), mirror.path_of("snow"), set())
    text = mirror.adopt(tmp_path / "new.sqlite", list(servers), "snow")
    assert text is not None and "if that run is still active there, end it first: " in text
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.end(1, "done")
        mirror.send(journal, list(servers), mirror.path_of("snow"), set())
    text = mirror.adopt(tmp_path / "third.sqlite", list(servers), "snow")
    assert text is not None and "end it first" not in text


def test_a_copy_that_is_damaged_is_not_taken(tmp_path: Path, servers: list[Rooted]) -> None:
    run(tmp_path / "j.sqlite", servers, [step("a", set())])
    for server in servers:
        server.copy.write_bytes(server.copy.read_bytes()[:5000])
    assert mirror.adopt(tmp_path / "new.sqlite", list(servers), "snow") is None
    assert not (tmp_path / "new.sqlite").exists()


def test_after_the_lock_was_lost_no_server_gets_a_copy(tmp_path: Path, servers: list[Rooted]) -> None:
    """The journal of the run that took over would be replaced by one that knows nothing of it; or each server be named as one
    that refused it."""

    def lose() -> None:
        raise LostLockError("this run lost the lock on snow01 to bob")

    watching = run(tmp_path / "journal.sqlite", servers, [step("a", set(), seen=lose)])
    assert watching.refused == {}
    assert not any(server.copy.exists() for server in servers)
