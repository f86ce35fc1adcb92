"""The lab's verbs: a whole site brought up, saved, restored, broken and taken down."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from snowha.errors import InputError, SiteError
from snowha.hosts.local import LocalHost
from snowha.hosts.ssh import runtime_folder
from snowha.hosts.wait import wait_for
from snowha.lab import (
    bmc_faults,
    build,
    cleanup,
    domain_probe,
    first_boot,
    layout,
    machines,
    network,
    requirements,
    rootfs,
)
from snowha.lab.layout import DOMAINS, MACHINES, PREPARED, SERVERS, SNOW01, LabPaths, Machine, NetworkPlan
from snowha.site.names import show

Say = Callable[[str], None]

DISK_NEEDED = 16 << 30
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
DAEMONS = ("client", "sightings", *(f"bmc-{server.name}" for server in SERVERS))


@dataclass(frozen=True)
class Facts:
    """What a site that is up was made as."""

    release: str
    accelerator: str
    built: str


@contextmanager
def _only_one(paths: LabPaths) -> Iterator[None]:
    """One lab command at a time: two would start the same machines twice."""
    paths.site.parent.mkdir(parents=True, exist_ok=True)
    with (paths.site.parent / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise SiteError(
                f"another lab command is running ({file.read().strip()})", remedy="wait until it is done"
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()}: {' '.join(sys.argv[1:])}\n")
        file.flush()
        yield


def is_up(paths: LabPaths) -> bool:
    return paths.facts.exists() and network.exists()


def is_running() -> bool:
    """Something of a lab runs, of whatever cache folder it is: there is one namespace."""
    return bool(network.processes())


def facts(paths: LabPaths) -> Facts:
    """What the site that is up was made as; SiteError if none is."""
    if not is_up(paths):
        raise SiteError("the lab is not up", remedy="`snow lab up` brings it up")
    return Facts(**json.loads(paths.facts.read_text()))


def up(release: str, say: Say, *, paths: LabPaths | None = None) -> None:
    """Bring the site up: from the cache in seconds, or built and booted first."""
    paths = paths or layout.paths()
    if release not in rootfs.RELEASES:
        raise InputError(f"no release {release}", remedy=f"one of: {', '.join(rootfs.RELEASES)}")
    with _only_one(paths):
        if is_up(paths):
            made = facts(paths)
            if made.release != release:
                raise SiteError(f"a lab with {made.release} is up", remedy="`snow lab down` first")
            say(f"the lab is up already ({made.release})")
            return
        if is_running() and not paths.site.exists():
            raise SiteError(
                f"a lab is up that is not kept in {paths.site}",
                remedy="use it with its own HOME or XDG_CACHE_HOME, or end it: `snow lab down`",
            )
        _clear(paths)
        requirements.check()
        if machines.free_disk(paths.cache) < DISK_NEEDED:
            raise SiteError(
                f"less than {DISK_NEEDED >> 30} GiB free",
                where=str(paths.cache.parent),
                remedy="set XDG_CACHE_HOME to a larger disk",
            )
        source = build.built(paths.cache, release, say)
        prepared = _prepared(paths, source)
        paths.site.mkdir(parents=True)
        paths.site.chmod(0o700)
        _copy_keys(source, paths)
        if prepared.exists():
            for disk in prepared.glob("*.qcow2"):
                LocalHost().run(["cp", "--sparse=always", str(disk), str(paths.site / disk.name)], timeout=120)
            network.up(rootfs.hosts_file())
            first_boot.start_all(paths, PREPARED)
        else:
            first_boot.boot(source, prepared, paths, say)
        _write_facts(paths, Facts(release, machines.accelerator()[1], source.name))
        _start_daemons(paths)
        first_boot.wait_answering(paths, say)


def _prepared(paths: LabPaths, source: Path) -> Path:
    """Folder of the booted state of what was built; differs by how machines are started."""
    wiring = build.digest_of(Path(machines.__file__), Path(network.__file__), Path(first_boot.__file__))
    return paths.cache / f"{source.name}-{machines.accelerator()[1].split(',')[0]}-{wiring}"


def _copy_keys(source: Path, paths: LabPaths) -> None:
    for name in ("id_ed25519", "id_ed25519.pub"):
        shutil.copy(source / name, paths.site / name)
    paths.key.chmod(0o600)
    for path in (*source.glob("*.vmlinuz"), *source.glob("*.initrd")):
        shutil.copy(path, paths.site / path.name)
    lines = []
    for machine in MACHINES:
        public = (source / f"host-{machine.name}.pub").read_text().split()
        lines.append(f"{machine.name},{machine.address},{machine.management_address} {public[0]} {public[1]}")
    paths.known_hosts.write_text("\n".join(lines) + "\n")
    text = ""
    for machine in MACHINES:
        text += f"Host {machine.name}\n  HostName {machine.address}\n"
    text += (
        f"Host *\n  User root\n  IdentityFile {paths.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {paths.known_hosts}\n"
        "  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 20\n"
        + "".join(f"  {line}\n" for line in layout.QUICK_SSH.splitlines())
        + f"  ControlMaster auto\n  ControlPersist 300\n  ControlPath {paths.site}/ssh-%C\n"
        "  ServerAliveInterval 5\n  ServerAliveCountMax 2\n"
    )
    paths.ssh_config.write_text(text)


def _write_facts(paths: LabPaths, made: Facts) -> None:
    paths.facts.write_text(json.dumps(asdict(made)) + "\n")


def _spawn(name: str, words: list[str], paths: LabPaths) -> None:
    """Start one of the lab's own processes in the namespace, detached from the terminal."""
    with (paths.site / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            network.inside(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    (paths.site / f"{name}.pid").write_text(str(process.pid))


def _start_daemons(paths: LabPaths) -> None:
    secret = paths.site / "ipmi"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(layout.IPMI_PASSWORD)
    for server in SERVERS:
        _spawn(f"bmc-{server.name}", [sys.executable, "-m", "snowha.lab.power", server.name, str(secret)], paths)
    _start_watchers(paths)


def _start_watchers(paths: LabPaths) -> None:
    asked = [f"{plan.name}={plan.address}" for plan in DOMAINS]
    _spawn(
        "client",
        [sys.executable, "-m", domain_probe.__name__, "--log", str(paths.client_log), "--pause", "2.0", *asked],
        paths,
    )
    _spawn("sightings", [sys.executable, "-m", "snowha.lab.placement_log", str(paths.sightings_log)], paths)


def _stop_daemon(name: str, paths: LabPaths) -> None:
    file = paths.site / f"{name}.pid"
    if file.exists():
        number = int(file.read_text())
        if number in network.processes():
            machines.end_process(number, gently=True, timeout=5)
        file.unlink()


def down(say: Say, *, paths: LabPaths | None = None) -> None:
    """End everything the lab started and remove the site; the cache stays."""
    paths = paths or layout.paths()
    with _only_one(paths):
        was = paths.site.exists() or network.exists()
        _clear(paths)
        say("the lab is down" if was else "the lab was not up")


def _clear(paths: LabPaths) -> None:
    """Whatever an earlier lab left, killed at any instant."""
    for number in network.processes():
        machines.end_process(number)
    network.down()
    shutil.rmtree(paths.site, ignore_errors=True)
    if paths.cache.exists():
        for unfinished in paths.cache.glob("*.work"):
            cleanup.remove(unfinished)


def save(name: str, *, paths: LabPaths | None = None) -> None:
    """Snapshot of the whole site under ``name``."""
    paths = paths or layout.paths()
    if not _SNAPSHOT.fullmatch(name):
        raise InputError(f"a snapshot cannot be called {show(name)}", remedy="use letters, digits, - and _, at most 64")
    with _only_one(paths):
        facts(paths)
        machines.save(name, paths)


def restore(name: str, *, paths: LabPaths | None = None) -> None:
    """Bring the whole site back to snapshot ``name``; the client starts a new log, since its answers are undone too."""
    paths = paths or layout.paths()
    with _only_one(paths):
        facts(paths)
        machines.check_snapshot(name, paths)
        for daemon in ("client", "sightings"):
            _stop_daemon(daemon, paths)
        stamp = time.strftime("%Y%m%dT%H%M%S")
        for log in (paths.client_log, paths.sightings_log):
            if log.exists():
                log.rename(log.with_name(f"{log.stem}-until-{stamp}{log.suffix}"))
        for machine in MACHINES:
            for plugged in layout.NETWORKS:
                network.cable(machine, plugged, connected=True)
        for server in SERVERS:
            _set_fault(server, "ok", paths)
        machines.restore(name, paths)
        # connections of before are dead without knowing it
        for control in (*runtime_folder().iterdir(), *paths.site.glob("ssh-*")):
            control.unlink(missing_ok=True)
        for machine in MACHINES:
            wait_for(
                lambda machine=machine: first_boot.ssh(machine.name, ["true"], check=False, paths=paths).ok,  # type: ignore[misc]
                timeout=120,
                what=f"{machine.name} to answer after the restore",
            )
        _start_watchers(paths)


def power(name: str, action: str, *, paths: LabPaths | None = None) -> None:
    """What a finger on the power button does."""
    paths = paths or layout.paths()
    machine = known(name)
    facts(paths)
    if action in ("off", "reset"):
        machines.stop(machine, paths)
    if action in ("on", "reset"):
        machines.start(machine, paths)


def cable(name: str, network_name: str, connected: bool, *, paths: LabPaths | None = None) -> None:
    """Pull or plug one machine's cable to one network."""
    machine, to = known(name), _known_network(network_name)
    facts(paths or layout.paths())
    network.cable(machine, to, connected=connected)


def bmc(name: str, fault: bmc_faults.Fault, *, paths: LabPaths | None = None) -> None:
    """Have a server's BMC do something wrong, or be well again; one that is dead has its server without power, too."""
    paths = paths or layout.paths()
    machine = known(name)
    if machine not in SERVERS:
        raise InputError(f"{name} has no BMC", remedy=f"one of: {', '.join(server.name for server in SERVERS)}")
    facts(paths)
    _set_fault(machine, fault, paths)
    if fault == "dead":
        machines.stop(machine, paths)


def _set_fault(machine: Machine, fault: bmc_faults.Fault, paths: LabPaths) -> None:
    bmc_faults.write(paths.fault(machine.name), fault)
    bmc_faults.plug(machine, connected=fault != "dead")


def known(name: str) -> Machine:
    try:
        return layout.machine(name)
    except KeyError:
        raise InputError(
            f"the lab has no machine {show(name)}", remedy=f"one of: {', '.join(m.name for m in MACHINES)}"
        ) from None


def _known_network(name: str) -> NetworkPlan:
    for candidate in layout.NETWORKS:
        if candidate.name == name:
            return candidate
    raise InputError(
        f"the lab has no network {show(name)}", remedy=f"one of: {', '.join(n.name for n in layout.NETWORKS)}"
    )


def status(paths: LabPaths | None = None) -> dict[str, object]:
    """Machines with their power, daemons, snapshots, domains that answer."""
    paths = paths or layout.paths()
    made = facts(paths)
    running = network.processes()
    with ThreadPoolExecutor() as pool:
        answers = dict(
            zip(DOMAINS, pool.map(lambda plan: bool(first_boot.answers(plan.address)), DOMAINS), strict=True)
        )
    return {
        **asdict(made),
        "machines": {m.name: {"power": machines.is_on(m, paths), "address": m.address} for m in MACHINES},
        "processes": {
            name: (paths.site / f"{name}.pid").exists() and int((paths.site / f"{name}.pid").read_text()) in running
            for name in DAEMONS
        },
        "snapshots": machines.snapshots(SNOW01, paths),
        "domains": {plan.name: {"address": plan.address, "answers": answers[plan]} for plan in DOMAINS},
    }
