"""The service itself, compiled and killed: if it acknowledges what it then forgets, the demo proves nothing."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import machine
import pytest

from snowha.lab.domain_probe import Caller, ask
from snowha.lab.guests import compile_service
from snowha.lab.records import compare, read_records

pytestmark = pytest.mark.needs("gcc")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("service") / "lab-service"
    compile_service(target)
    return target


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A service on 127.0.0.1 with its records in a folder of the test's."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.records = folder / "records"
        self.stale = folder / "stale"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, stale: bool = False) -> None:
        argv = [str(self.binary), "--records", str(self.records), "--port", str(self.port)]
        self.process = subprocess.Popen([*argv, "--stale", str(self.stale), "--stale-pause", "10"] if stale else argv)
        wait_for(self.answers)

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.status())
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(10)

    def append(self, nonce: str = "") -> tuple[int, str]:
        nonce = nonce or secrets.token_hex(8)
        answer = ask("127.0.0.1", f"append {nonce}", port=self.port).split()
        assert answer[0] == "ok"
        return int(answer[1]), nonce

    def status(self) -> dict[str, object]:
        said: dict[str, object] = json.loads(ask("127.0.0.1", "status", port=self.port))
        return said


def wait_for(condition: Callable[[], bool], limit: float = 20.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def running(service: Path, tmp_path: Path) -> Iterator[Running]:
    one = Running(service, tmp_path)
    one.records.write_bytes(bytes(64 * 1024))
    yield one
    if one.process and one.process.poll() is None:
        one.stop(signal.SIGKILL)


def test_what_was_acknowledged_survives_being_killed_between_appends(running: Running) -> None:
    acknowledged: dict[int, str] = {}
    boots = set()
    for _ in range(5):
        running.start()
        boots.add(running.status()["boot"])
        acknowledged.update(running.append() for _ in range(7))
        running.stop(signal.SIGKILL)
    found = read_records(running.records.read_bytes())
    assert list(acknowledged) == list(range(1, 36))
    assert compare(acknowledged, found.records) == []
    assert found.problems == ()
    assert len(boots) == 5


def test_what_was_acknowledged_survives_being_killed_during_appends(running: Running) -> None:
    """Nobody may be told a number that is not on the disk, however the service ends."""
    acknowledged: list[tuple[int, str]] = []

    def ask_until_it_is_gone(_: int) -> None:
        with suppress(OSError, AssertionError):
            while True:
                acknowledged.append(running.append())

    with ThreadPoolExecutor(2) as pool:
        for turn in range(1, 4):
            running.start()
            asking = pool.map(ask_until_it_is_gone, range(2))
            goal = len(acknowledged) + 10 * turn
            wait_for(lambda goal=goal: len(acknowledged) >= goal)  # type: ignore[misc]
            running.stop(signal.SIGKILL)
            list(asking)
    found = read_records(running.records.read_bytes())
    assert len(dict(acknowledged)) == len(acknowledged)
    assert compare(dict(acknowledged), found.records) == []
    assert found.problems == ()


def test_a_torn_last_record_is_written_over_not_counted(running: Running) -> None:
    running.start()
    for _ in range(3):
        running.append()
    running.stop(signal.SIGKILL)
    with running.records.open("r+b") as file:
        file.seek(2 * 64 + 20)
        file.write(bytes(10))
    running.start()
    assert running.status()["number"] == 2
    assert running.append()[0] == 3
    assert read_records(running.records.read_bytes()).problems == ()


def test_a_full_file_is_said_and_nothing_is_overwritten(running: Running) -> None:
    running.records.write_bytes(bytes(64 * 2))
    running.start()
    first = [running.append(), running.append()]
    assert ask("127.0.0.1", f"append {'0' * 16}", port=running.port) == "error full"
    assert compare(dict(first), read_records(running.records.read_bytes()).records) == []


def test_a_missing_file_is_made_in_full_before_the_first_answer(running: Running) -> None:
    """A record must not wait for the file system's journal to be found from outside: its block is there before."""
    running.records.unlink()
    running.start()
    info = running.records.stat()
    assert info.st_size == 4 << 20
    assert info.st_blocks * 512 >= info.st_size
    assert running.append()[0] == 1


def test_nothing_a_client_sends_ends_the_service(running: Running) -> None:
    running.start()
    for line in (
        b"",
        b"\n",
        b"append\n",
        b"append ../../x\n",
        b"append " + b"A" * 16 + b"\n",
        b"x" * 5000,
        b"\0" * 200,
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection, suppress(OSError):
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(100).startswith(b"ok")
    assert running.append()[0] == 1


def test_a_client_may_ask_again_over_the_same_connection(running: Running) -> None:
    running.start()
    caller = Caller("127.0.0.1", port=running.port)
    assert [caller.ask(f"append {number:016x}").split()[1] for number in range(3)] == ["1", "2", "3"]
    assert json.loads(caller.ask("status"))["number"] == 3


def test_a_client_that_says_nothing_does_not_hold_up_the_others(running: Running) -> None:
    running.start()
    with socket.create_connection(("127.0.0.1", running.port)), socket.create_connection(("127.0.0.1", running.port)):
        assert running.append()[0] == 1


def test_it_ends_cleanly_when_asked_and_starts_again_on_the_same_port(running: Running) -> None:
    running.start()
    running.append()
    assert running.stop() == 0
    running.start()
    assert running.append()[0] == 2


def test_its_status_says_who_it_is_and_where_it_stands(running: Running) -> None:
    running.start()
    running.append()
    said = running.status()
    assert said["name"] == socket.gethostname()
    assert said["number"] == 1
    assert said["stale"] is None
    assert isinstance(said["uptime_s"], float)


def supports_direct_io(folder: Path) -> bool:
    probe = folder / "probe"
    return (
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={probe}", "bs=4096", "count=1", "oflag=direct"],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


def test_a_write_that_is_gone_when_read_back_is_counted_as_stale(running: Running, tmp_path: Path) -> None:
    """The one number that shows that a live migration loses completed writes must not stay 0 when it happens."""
    if not supports_direct_io(tmp_path):
        machine.unable("its file system has no O_DIRECT")

    def counts() -> dict[str, int]:
        said = running.status()["stale"]
        assert isinstance(said, dict)
        return said

    running.start(stale=True)
    wait_for(lambda: counts()["writes"] >= 3)
    with running.stale.open("r+b") as file:
        file.seek((64 << 10) + 5000)
        file.write(b"what stood here before")
    wait_for(lambda: counts()["reads"] >= 3)
    assert counts()["stale"] == 1
    assert counts()["errors"] == 0
