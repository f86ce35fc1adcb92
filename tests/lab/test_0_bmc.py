"""The BMC, asked by the real ipmitool: what fencing stands on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snowha.checks import bmc, bmc_query
from snowha.errors import InputError
from snowha.hosts.local import LocalHost
from snowha.lab import bmc_faults
from snowha.lab.bmc import PowerQueue, read_password, run
from snowha.lab.bmc_faults import Fault
from snowha.site.model import FenceDevice, Server

PASSWORD = 'Adm;n$#"7 x'
ADDRESS = "127.0.0.77"
ADDRESS_TO_LOSE = "10.0.0.77"
PORT = 6230
SLOW_S = 3.0
SERVE = """
import sys
from pathlib import Path
from snowha.lab.bmc import run
from test_0_bmc import FilePower
address, secret, power = sys.argv[1:]
ready = lambda: print("ready", file=sys.stderr, flush=True)
run(address, username="admin", secret=Path(secret), power=FilePower(Path(power)), ready=ready)
"""
GUID = uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")


@dataclass
class FilePower:
    """A machine whose power is a file, so that the test and the BMC's process see the same one."""

    state: Path
    history: Path = field(init=False)

    def __post_init__(self) -> None:
        self.history = self.state.with_suffix(".log")

    def is_on(self) -> bool:
        return self.state.exists()

    def on(self) -> None:
        self._note("on")
        self.state.touch()

    def off(self) -> None:
        self._note("off")
        self.state.unlink(missing_ok=True)

    def reset(self) -> None:
        self._note("reset")

    def soft(self) -> None:
        self._note("soft")
        time.sleep(1.6)  # longer than ipmitool waits before it repeats its request
        self.state.unlink(missing_ok=True)

    def _note(self, what: str) -> None:
        with self.history.open("a") as file:
            file.write(f"{what}\n")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "ipmi"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def power(tmp_path: Path, secret: Path) -> Iterator[FilePower]:
    if not shutil.which("ipmitool"):
        pytest.skip("needs ipmitool")
    control = FilePower(tmp_path / "power")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    options = {
        "username": "admin",
        "secret": secret,
        "power": control,
        "port": PORT,
        "guid": GUID,
        "fault": fault_of(control),
        "slow_s": SLOW_S,
        "ready": ready.set,
    }
    process = context.Process(target=run, args=(ADDRESS,), kwargs=options, daemon=True)
    process.start()
    assert ready.wait(20)
    yield control
    process.kill()
    process.join()


def fault_of(power: FilePower) -> Path:
    return power.state.with_suffix(".fault")


def ipmitool(secret: Path, *words: str, timeout_s: int = 1) -> str:
    """What ipmitool says; ``timeout_s``: for its first try, each of the three after it waits a second longer."""
    argv = ["ipmitool", "-I", "lanplus", "-N", str(timeout_s), "-H", ADDRESS, "-p", str(PORT), "-U", "admin"]
    done = subprocess.run([*argv, "-f", str(secret), *words], capture_output=True, text=True, timeout=120, check=False)
    return (done.stdout + done.stderr).strip()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_is_switched_off_and_on_and_its_state_is_read_back(power: FilePower, secret: Path) -> None:
    assert ipmitool(secret, "power", "status") == "Chassis Power is off"
    ipmitool(secret, "power", "on")
    assert ipmitool(secret, "power", "status") == "Chassis Power is on"
    ipmitool(secret, "power", "reset")
    ipmitool(secret, "power", "cycle")
    wait_for(lambda: power.history.read_text().split() == ["on", "reset", "off", "on"])
    ipmitool(secret, "power", "off")
    assert ipmitool(secret, "power", "status") == "Chassis Power is off"
    assert power.history.read_text().split() == ["on", "reset", "off", "on", "off"]
    assert str(GUID) in ipmitool(secret, "mc", "guid", "smbios").lower()


def test_a_check_learns_whose_bmc_it_is(power: FilePower, secret: Path, tmp_path: Path) -> None:
    """`snow ha check` would believe a BMC that is another machine's. Asked by ipmitool's own guess of the byte order."""
    tool = tmp_path / "bin/ipmitool"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shutil.which("ipmitool")} -p {PORT} "$@"\n')
    tool.chmod(0o755)
    host = LocalHost(environment={"PATH": f"{tool.parent}:/usr/bin:/bin"})
    server = Server("snow01", "192.168.8.1", (), FenceDevice("fence_ipmilan", ADDRESS, "admin", str(secret)))
    seen = bmc_query.ask([host], server, PASSWORD)
    assert seen.power == "off"
    assert bmc.same_machine(seen.guid, str(GUID))
    assert bmc_query.ask([host], server, "wrong").power == "refused"


def test_a_slow_shutdown_is_asked_for_once_and_never_forced(power: FilePower, secret: Path) -> None:
    power.state.touch()
    ipmitool(secret, "power", "soft")
    assert ipmitool(secret, "power", "status") == "Chassis Power is on"
    wait_for(lambda: not power.is_on())
    assert power.history.read_text().split() == ["soft"]
    assert "Fail" in ipmitool(secret, "power", "reset") or "not supported" in ipmitool(secret, "power", "reset")


def test_a_bmc_that_hangs_says_nothing_and_one_that_lies_says_always_the_same(power: FilePower, secret: Path) -> None:
    """Fencing would be tried on BMCs that are all well."""
    bmc_faults.write(fault_of(power), "hang")
    assert "Chassis Power" not in ipmitool(secret, "power", "status")
    lies: tuple[tuple[Fault, str], ...] = (("says-on", "on"), ("says-off", "off"))
    for fault, says in lies:
        bmc_faults.write(fault_of(power), fault)
        for command in ("on", "off"):
            ipmitool(secret, "power", command)
            assert ipmitool(secret, "power", "status") == f"Chassis Power is {says}"
            wait_for(lambda wanted=command: power.is_on() == (wanted == "on"))  # type: ignore[misc]
    bmc_faults.write(fault_of(power), "ok")
    assert ipmitool(secret, "power", "status") == "Chassis Power is off"


def test_a_slow_bmc_is_waited_for_by_those_who_wait_and_switches_once(power: FilePower, secret: Path) -> None:
    """Asked again meanwhile, it must not count that as another command."""
    bmc_faults.write(fault_of(power), "slow")
    ipmitool(secret, "power", "on", timeout_s=2)
    assert ipmitool(secret, "power", "status", timeout_s=2) == "Chassis Power is on"
    assert power.history.read_text().split() == ["on"]


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with ADDRESS_TO_LOSE."""
    name = f"bmc-{os.getpid()}"
    host = LocalHost()
    host.run(["ip", "netns", "add", name])
    try:
        host.run(["ip", "-n", name, "link", "add", "mgmt", "type", "bridge"])
        for words in (["link", "set", "lo", "up"], ["link", "set", "mgmt", "up"], _address("add")):
            host.run(["ip", "-n", name, *words])
        yield name
    finally:
        host.run(["ip", "netns", "delete", name])


def _address(change: str) -> list[str]:
    return ["address", change, f"{ADDRESS_TO_LOSE}/24", "dev", "mgmt"]


def test_a_bmc_without_its_address_answers_when_it_has_it_again(namespace: str, secret: Path, tmp_path: Path) -> None:
    """Its server could not be fenced for the rest of the lab's life, after the power of both had come back."""
    inside = ["ip", "netns", "exec", namespace]
    words = [sys.executable, "-c", SERVE, ADDRESS_TO_LOSE, str(secret), str(tmp_path / "power")]
    asked = ["ipmitool", "-I", "lanplus", "-H", ADDRESS_TO_LOSE, "-U", "admin", "-f", str(secret), "power", "status"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([*inside, *words], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "ready\n"
            LocalHost().run(["ip", "-n", namespace, *_address("del")])
            assert "it goes on when the address is back" in process.stderr.readline()
            LocalHost().run(["ip", "-n", namespace, *_address("add")])
            assert LocalHost().run([*inside, *asked], timeout=60).stdout.strip() == "Chassis Power is off"
        finally:
            process.kill()


def test_a_wrong_password_switches_nothing(power: FilePower, secret: Path) -> None:
    secret.write_text("wrong\n")
    assert "Chassis Power" not in ipmitool(secret, "power", "on")
    assert not power.is_on()


@pytest.mark.parametrize(("text", "mode"), [("secret\n", 0o644), ("", 0o600), ("x" * 21, 0o600)])
def test_an_unusable_password_file_is_said_before_anything_is_bound(secret: Path, text: str, mode: int) -> None:
    secret.write_text(text)
    secret.chmod(mode)
    with pytest.raises(InputError, match="ipmi"):
        read_password(secret)


def test_a_password_is_taken_as_ipmitool_takes_it(secret: Path) -> None:
    assert read_password(secret) == PASSWORD


def test_a_failed_power_command_is_said_and_the_next_one_still_carried_out() -> None:
    """A BMC that dies with one failure leaves a server that cannot be fenced any more."""
    done = threading.Event()
    queue = PowerQueue(patience=10)

    def fail() -> None:
        raise OSError("no such machine")

    assert not queue.do(fail)
    assert queue.do(done.set)
    assert done.is_set()
