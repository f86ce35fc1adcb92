"""A machine stands still while a domain is down for its copy, another one finishes the job, and the first one goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Administrator, Ended, on, wait_until
from test_2_migration import nothing_lost

from snowha.lab.layout import DOMAINS

DOMAIN = "proxy01"
SERVERS = ("snow01", "snow02")
COPYING = f"copying {DOMAIN}-disk"
"""What is said when the domain is off, and its copy begins."""


class Machine(Administrator):
    """Somebody at a machine of his own: with a journal and with connections that are no one else's."""

    def __init__(self, folder: Path, runtime: str) -> None:
        super().__init__(folder)
        self.runtime = runtime

    def words(self, *words: str) -> list[str]:
        found = super().words(*words)
        place = found.index("env") + 1
        return [*found[:place], f"XDG_RUNTIME_DIR={self.runtime}", *found[place:]]

    def send(self, process: subprocess.Popen[str], number: signal.Signals) -> None:
        """A signal to a run and to all that speaks for it: its ssh, and the shared connections, which are no children of it."""
        speaking = subprocess.run(["pgrep", "-f", self.runtime], stdout=subprocess.PIPE, text=True, check=False).stdout
        for pid in {process.pid, *_descendants(process.pid), *map(int, speaking.split())}:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """None of a process that has ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in map(int, children) for found in (*_descendants(child), child)]


@pytest.fixture
def machines(fresh: Administrator, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two, on a site as it was before anything."""
    found = []
    with tempfile.TemporaryDirectory(prefix="snow-") as runtime:
        for name in ("first", "second"):
            shutil.copytree(fresh.folder, folder := tmp_path / name, ignore=shutil.ignore_patterns("first", "second"))
            (own := Path(runtime, name)).mkdir(mode=0o700)
            found.append(Machine(folder, str(own)))
        yield found[0], found[1]


@contextmanager
def frozen(machine: Machine, *words: str) -> Iterator[Callable[[], tuple[str, Ended]]]:
    """``snow`` that stands still from the moment on in which the domain is down. What is yielded lets it go on: when that was,
    what it printed from then on, and what it ended with."""
    with machine.started(*words) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="")
                if COPYING in line:
                    break
            machine.send(process, signal.SIGSTOP)

            def go_on() -> tuple[str, Ended]:
                since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                machine.send(process, signal.SIGCONT)
                output = process.stdout.read() if process.stdout else ""
                print(output)
                return since, Ended(process.wait(300), output)

            yield go_on
        finally:
            machine.send(process, signal.SIGKILL)


def end_its_lock(second: Machine, *words: str) -> None:
    """As the run that is refused says: on every server."""
    refused = second.snow(*words)
    assert refused.code == 4 and "another run holds the site lock" in refused.output, refused.output
    command = re.search(r"on every server: (pkill -f \S+)", refused.output.replace("\n", " "))
    assert command is not None
    for server in SERVERS:
        on(server, *shlex.split(command[1]))


def running() -> dict[str, list[str]]:
    """Name and UUID of every domain, by server: a domain that was started anew has another UUID."""
    return {server: sorted(on(server, "sh", "-c", "'xl vm-list || true'").splitlines()[1:]) for server in SERVERS}


def places(domain: str) -> list[str]:
    return [server for server, rows in running().items() if any(row.split()[-1] == domain for row in rows)]


def nothing_more(machine: Machine, since: str, ended: Ended) -> None:
    """It says once why it does nothing more, and its log has nothing after it went on."""
    assert ended.code == 4, ended.output
    assert ended.output.count("this run lost the lock on") == 1 and "snow ha status" in ended.output
    for word in ("starting", "Traceback", "may be off", "no copy of the journal", "snapshots could not be removed"):
        assert word not in ended.output, word
    log = json.loads(machine.snow("ha", "log", "--json").output)
    assert [command for command in log[-1]["commands"] if command["at"] >= since] == []


@pytest.mark.timeout(3600)
def test_the_first_run_does_nothing_more_after_a_second_one_moved_the_domain(machines: tuple[Machine, Machine]) -> None:
    """It would put the domain's old config back and start it from its volumes, beside its images."""
    first, second = machines
    words = ("ha", "apply", "--yes", "--domain", DOMAIN)
    with frozen(first, *words) as go_on:
        assert places(DOMAIN) == []
        end_its_lock(second, *words)
        ended = second.snow(*words)
        assert ended.code == 0, ended.output
        before = running()
        config = on("nfs01", "cat", f"/export/sNow/etc/domains/{DOMAIN}.cfg")
        assert places(DOMAIN) == ["snow01"] and "block-snow" in config
        nothing_more(first, *go_on())
    assert running() == before
    assert on("nfs01", "cat", f"/export/sNow/etc/domains/{DOMAIN}.cfg") == config


@pytest.mark.timeout(7200)
def test_the_first_run_starts_no_domain_a_second_time(machines: tuple[Machine, Machine]) -> None:
    """The whole migration is finished, and the domain runs on the other server: started again on the first one it would run
    twice, on one image."""
    first, second = machines
    words = ("ha", "apply", "--yes")
    with frozen(first, *words) as go_on:
        end_its_lock(second, *words)
        ended = second.snow(*words, timeout=7200)
        assert ended.code == 0, ended.output
        on("snow01", "crm_resource", "--move", f"--resource={DOMAIN}", "--node=snow02", "--lifetime=PT30M")
        wait_until(lambda: places(DOMAIN) == ["snow02"], timeout=600, what=f"{DOMAIN} runs on snow02")
        on("snow01", "crm_resource", "--wait", timeout=600)
        on("snow01", "crm_resource", "--clear", f"--resource={DOMAIN}")
        before = running()
        nothing_more(first, *go_on())
    assert running() == before
    assert all(len(places(plan.name)) == 1 for plan in DOMAINS)
    assert second.status()["healthy"]
    nothing_lost(stale_checks=0)


@pytest.mark.timeout(3600)
def test_a_run_whose_lock_was_ended_leaves_the_domain_to_whoever_ended_it(machines: tuple[Machine, Machine]) -> None:
    """Nobody took the lock meanwhile: an administrator works on the servers by hand, and the next run brings the domain back."""
    first, second = machines
    words = ("ha", "apply", "--yes", "--domain", DOMAIN)
    with frozen(first, *words) as go_on:
        end_its_lock(second, *words)
        nothing_more(first, *go_on())
        assert places(DOMAIN) == []
    ended = second.snow(*words)
    assert ended.code == 0, ended.output
    assert places(DOMAIN) == ["snow01"]
