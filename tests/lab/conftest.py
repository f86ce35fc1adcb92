"""The lab for the tests: one site, brought up once, taken back to a snapshot in seconds before each test.

The tests use ``snow`` as its user does: in the site's network, reading what it prints and the code it ends with.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snowha.lab import first_boot, layout, lifecycle, machines, network
from snowha.lab.layout import PREPARED, SNOW01

CLUSTER = "cluster"
"""Snapshot of the finished cluster, made once a session by the first test that needs it."""


@dataclass(frozen=True)
class Ended:
    code: int
    output: str


class Administrator:
    """Somebody at a terminal in the site's network, with an ha.toml in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ha_toml = folder / "ha.toml"
        self.journal = folder / "journal.sqlite"

    def words(self, *words: str) -> list[str]:
        environment = ["env", f"SNOW_JOURNAL={self.journal}", "COLUMNS=160"]
        return network.inside(*environment, sys.executable, "-m", "snowha.cli.main", *words)

    def snow(self, *words: str, timeout: float = 3600) -> Ended:
        """Run ``snow`` and show what it prints when the test fails."""
        process = subprocess.run(
            self.words(*words),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        print(f"$ snow {' '.join(words)}   → {process.returncode}\n{process.stdout}")
        return Ended(process.returncode, process.stdout)

    def started(self, *words: str) -> subprocess.Popen[str]:
        """``snow``, running; what it prints is to be read from its ``stdout``."""
        return subprocess.Popen(
            self.words(*words),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def interrupted(self, seen: Callable[[str], bool], *words: str, signal_number: int = signal.SIGINT) -> Ended:
        """Run ``snow`` and send it a signal at the first line for which ``seen`` is true."""
        output = []
        with self.started(*words) as process:
            assert process.stdout is not None
            sent = False
            for line in process.stdout:
                output.append(line)
                print(line, end="")
                if not sent and seen(line):
                    process.send_signal(signal_number)
                    sent = True
            code = process.wait(timeout=60)
        assert sent, "the line to interrupt at never came"
        return Ended(code, "".join(output))

    def init(self) -> None:
        config = str(layout.paths().ssh_config)
        ended = self.snow("ha", "init", "snow01", "snow02", "--ssh-config", config, "--force")
        assert ended.code == 0, ended.output

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.snow("ha", "status", "--json").output)
        return found


def on(host: str, *words: str, check: bool = True, timeout: float = 300) -> str:
    """What a command prints on one of the lab's machines."""
    return first_boot.ssh(host, list(words), check=check, timeout=timeout).stdout


def shell(host: str, script: str, *, check: bool = True, timeout: float = 300) -> str:
    """What a line of shell prints on one of the lab's machines."""
    return on(host, "sh", "-c", shlex.quote(script), check=check, timeout=timeout)


KEPT = os.environ.get("SNOW_LAB_CLUSTER", "")
"""The folder of a `make demo` that ended well, build/demo: its lab is used as it is, and left up. For working on one test."""


@pytest.fixture(scope="session")
def lab() -> Iterator[None]:
    """A site that is up, with its first snapshot."""
    if KEPT:
        if CLUSTER not in machines.snapshots(SNOW01, layout.paths()):
            lifecycle.save(CLUSTER)
        yield
        return
    release = os.environ.get("SNOW_LAB_RELEASE", "trixie")
    lifecycle.down(print)  # with whatever snapshots an earlier session left
    lifecycle.up(release, print)
    yield
    lifecycle.down(print)


@pytest.fixture(scope="module")
def initial_folder(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `snow ha init` wrote for the single server as it was before anything."""
    folder = tmp_path_factory.mktemp("initial")
    lifecycle.restore(PREPARED)
    Administrator(folder).init()
    return folder


@pytest.fixture
def single(initial_folder: Path, tmp_path: Path) -> Administrator:
    """An administrator with an ha.toml of its own, for a test that changes no server, or takes back what it changed."""
    shutil.copytree(initial_folder, tmp_path, dirs_exist_ok=True)
    return Administrator(tmp_path)


@pytest.fixture
def fresh(single: Administrator) -> Administrator:
    """The same for a test that changes the servers: they are as they were before anything."""
    lifecycle.restore(PREPARED)
    return single


@pytest.fixture(scope="session")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    if KEPT:
        shutil.copytree(KEPT, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture
def cluster(lab: None, cluster_folder: Path) -> Administrator:
    """The finished cluster. Made by the migration's own test, which runs first."""
    if CLUSTER not in machines.snapshots(SNOW01, layout.paths()):
        pytest.fail("the migration did not end well, see its test")
    lifecycle.restore(CLUSTER)
    return Administrator(cluster_folder)


def wait_until(condition: Callable[[], object], *, timeout: float, what: str) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"timed out after {timeout:.0f} s: {what}")
        time.sleep(1)
