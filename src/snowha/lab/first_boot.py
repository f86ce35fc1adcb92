"""From built disks to a booted site that is kept as a snapshot: the slow way up, taken once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.hosts.wait import wait_for
from snowha.lab import layout, machines, network, rootfs
from snowha.lab.layout import DOMAINS, MACHINES, NFS01, PREPARED, SERVERS, LabPaths

Say = Callable[[str], None]


def boot(source: Path, prepared: Path, paths: LabPaths, say: Say) -> None:
    for raw in source.glob("*.raw"):
        overlay = paths.site / f"{raw.stem}.qcow2"
        LocalHost().run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(raw), str(overlay)])
    network.up(rootfs.hosts_file())
    start_all(paths, None)
    for machine in (NFS01, *SERVERS):
        wait_for(
            lambda machine=machine: ssh(machine.name, ["true"], check=False, paths=paths).ok or None,  # type: ignore[misc]
            timeout=600,
            what=f"{machine.name} to boot and answer on ssh",
            report=say,
        )
    with ThreadPoolExecutor() as pool:
        say("the servers write their own GRUB configuration")
        list(pool.map(lambda server: ssh(server.name, ["update-grub"], paths=paths, timeout=300), SERVERS))
    wait_answering(paths, say)
    say("saving the booted site")
    machines.save(PREPARED, paths)
    for machine in MACHINES:
        machines.stop(machine, paths)
    work = prepared.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for disk in paths.site.glob("*.qcow2"):
        LocalHost().run(["cp", "--sparse=always", str(disk), str(work / disk.name)], timeout=120)
    work.rename(prepared)
    start_all(paths, PREPARED)


def wait_answering(paths: LabPaths, say: Say) -> None:
    for plan in DOMAINS:
        wait_for(
            lambda plan=plan: answers(plan.address),  # type: ignore[misc]
            timeout=600,
            what=f"domain {plan.name} to answer",
            report=say,
        )


def answers(address: str) -> bool | None:
    """Whether the lab's service answers there, asked from inside the namespace."""
    words = network.inside(sys.executable, "-m", "snowha.lab.domain_probe", "--ask", address)
    return True if LocalHost().run(words, check=False, timeout=20).ok else None


def start_all(paths: LabPaths, snapshot: str | None) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda machine: machines.start(machine, paths, snapshot=snapshot), MACHINES))


def ssh_words(name: str, words: list[str], *, paths: LabPaths) -> list[str]:
    """The words that run ``words`` on one of the lab's machines."""
    return network.inside("ssh", "-F", str(paths.ssh_config), name, *words)


def ssh(
    name: str, words: list[str], *, check: bool = True, timeout: float = 60, paths: LabPaths | None = None
) -> Completed:
    """Run a fixed command of the lab's on one of its machines."""
    return LocalHost().run(ssh_words(name, words, paths=paths or layout.paths()), check=check, timeout=timeout)
