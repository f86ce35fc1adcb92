"""Whose turn it is: two runs at once on a site would each undo what the other relies on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from snowha.errors import SiteError, UnreachableError
from snowha.hosts.api import Completed, Host
from snowha.hosts.local import LocalHost
from snowha.plan.turn import _give, taken

BEAT_S = 0.1


class Named(LocalHost):
    """This machine as one of several servers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._as = name

    @property
    def name(self) -> str:
        return self._as


class Lost(Named):
    """A server that is being rebooted."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        raise UnreachableError("there is no way to it", where=self.name)


def turn(hosts: dict[str, Host], path: str, *, patience_s: float = 0.1) -> AbstractContextManager[None]:
    return taken(hosts, lambda text: None, path=path, beat_s=BEAT_S, patience_s=patience_s)


def servers(*hosts: Host) -> dict[str, Host]:
    return {host.name: host for host in hosts}


def test_a_second_run_is_refused_and_told_whose_turn_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    whose = r"another run has its turn: .* on .*, pid \d+, since 20"
    with turn(servers(Named("snow01")), path):
        with pytest.raises(SiteError, match=whose) as refused, turn(servers(Named("snow01")), path):
            pytest.fail("two runs at once")
        assert f"pkill -f {path}" in refused.value.remedy
    with turn(servers(Named("snow01")), path):
        pass


def test_a_run_that_fails_gives_its_turn_back(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(ValueError, match="of the run's own"), turn(servers(Named("a")), path):
        raise ValueError("of the run's own")
    with turn(servers(Named("a")), path):
        pass


def test_a_run_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    """Else nobody could go on after a laptop was lost, without knowing what to remove where."""
    path = str(tmp_path / "lock")
    script = (
        "from snowha.hosts.local import LocalHost\nfrom snowha.plan.turn import taken\n"
        f"with taken({{'localhost': LocalHost()}}, print, path={path!r}, beat_s={BEAT_S}):\n"
        "    print('mine', flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        with pytest.raises(SiteError), turn(servers(Named("a")), path):
            pytest.fail("two runs at once")
        process.send_signal(signal.SIGKILL)
    with turn(servers(Named("a")), path, patience_s=30):
        pass


def test_a_server_that_is_down_does_not_keep_the_others_from_holding_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    both = servers(Named("snow01"), Lost("snow02"))
    with (
        turn(both, path),
        pytest.raises(SiteError),
        turn(servers(Named("snow01")), path),
    ):
        pytest.fail("two runs at once")
    with pytest.raises(UnreachableError), turn(servers(Lost("snow01")), path):
        pytest.fail("nobody was asked")


def held_now(path: str) -> bool:
    return subprocess.run(["flock", "--nonblock", path, "true"], check=False).returncode == 1


def test_a_server_that_was_restarted_meanwhile_is_held_again(tmp_path: Path) -> None:
    """Each server is fenced once in a migration: after the second one nothing would keep another run out."""
    path = str(tmp_path / "lock")
    with turn(servers(Named("snow01")), path):
        assert held_now(path)
        subprocess.run(["pkill", "-KILL", "-f", f"snow-ha {path}"], check=True)
        deadline = time.monotonic() + 20
        while not held_now(path):
            assert time.monotonic() < deadline, "it was not taken again"
            time.sleep(0.02)
    deadline = time.monotonic() + 20
    while held_now(path):
        assert time.monotonic() < deadline, "it was not given back"
        time.sleep(0.02)


def test_another_process_with_the_number_of_the_holder_is_left_alone() -> None:
    """A server that was fenced meanwhile counts from the beginning: the number may be Corosync's by now."""
    with subprocess.Popen(["sleep", "60"]) as other:
        _give(Named("snow01"), str(other.pid), "ada on laptop, pid 7, since 2026-01-31T12:00:00Z")
        alive = other.poll() is None
        other.kill()
    assert alive
