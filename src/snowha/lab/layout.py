"""What the lab's site looks like: machines, addresses, domains, and where its files are kept.

The addresses are the guide's. They live in a network namespace of their own, so they can clash with nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NETNS = "snowlab"
MANAGER = "manager"
"""The machine that the lab runs on, as the site's hosts know it: the administrator's workstation."""

IPMI_USER = "admin"
IPMI_PASSWORD = 'Adm;n$#"7 x'
"""Full of characters that break careless scripts: real ones are. At most 20 bytes (IPMI 2.0)."""

PREPARED = "prepared"
"""Name of the snapshot that a new site starts from."""

QUICK_SSH = "KexAlgorithms curve25519-sha256\n"
"""For ssh_config(5): a login costs an emulated machine seconds, most of them for a key exchange that nobody here listens to."""

QUICK_KERNEL = (
    "mitigations=off norandmaps psi=0 cgroup_disable=memory init_on_alloc=0 hardened_usercopy=off "
    "randomize_kstack_offset=off lsm=capability nowatchdog"
)
"""For the kernels of machines and domains: what guards against neighbours and counts what each process uses takes a part of every
call of an emulated kernel, and here there is nobody to guard against. Not ``audit=0``: each login would then ask for the kernel's
audit, and modprobe would look for it three times."""

Role = Literal["single", "stock", "storage"]


@dataclass(frozen=True)
class NetworkPlan:
    """One bridge in the namespace."""

    name: str
    prefix: str

    @property
    def bridge(self) -> str:
        return f"br-{self.name}"

    def address(self, number: int) -> str:
        return f"{self.prefix}{number}"


SNOW = NetworkPlan("snow", "192.168.8.")
MGMT = NetworkPlan("mgmt", "10.0.0.")
NETWORKS = (SNOW, MGMT)
MANAGER_NUMBER = 250
FLOATING_IP = SNOW.address(254)


@dataclass(frozen=True)
class Machine:
    """One emulated computer. ``memory`` in MiB."""

    name: str
    role: Role
    number: int
    memory: int
    bmc_number: int | None = None

    @property
    def address(self) -> str:
        return SNOW.address(self.number)

    @property
    def management_address(self) -> str:
        return MGMT.address(self.number)

    @property
    def bmc_address(self) -> str | None:
        return None if self.bmc_number is None else MGMT.address(self.bmc_number)

    def mac(self, network: NetworkPlan) -> str:
        return f"52:54:00:08:{NETWORKS.index(network):02x}:{self.number:02x}"

    def tap(self, network: NetworkPlan) -> str:
        return f"{self.name}-{network.name}"


SNOW01 = Machine("snow01", "single", 1, 2560, bmc_number=101)
SNOW02 = Machine("snow02", "stock", 2, 2560, bmc_number=102)
NFS01 = Machine("nfs01", "storage", 9, 768)
MACHINES = (SNOW01, SNOW02, NFS01)
SERVERS = (SNOW01, SNOW02)


@dataclass(frozen=True)
class DomainPlan:
    """One domain of the site. Sizes in MiB."""

    name: str
    roles: str
    number: int
    memory: int
    disk: int
    swap: int
    live: int
    garbage: int
    full: bool = False
    """A whole Debian with systemd; otherwise busybox and the lab's service."""
    checks_stale_reads: bool = False

    @property
    def address(self) -> str:
        return SNOW.address(self.number)

    @property
    def mac(self) -> str:
        return f"00:16:3e:08:00:{self.number:02x}"


DOMAINS = (
    DomainPlan("deploy01", "deploy", 11, 128, disk=1536, swap=128, live=60, garbage=200, full=True),
    DomainPlan("proxy01", "proxy", 12, 80, disk=768, swap=64, live=200, garbage=150),
    DomainPlan(
        "slurm01", "slurmctld-master", 13, 80, disk=768, swap=64, live=200, garbage=150, checks_stale_reads=True
    ),
    DomainPlan("slurm02", "slurmctld-slave", 14, 80, disk=768, swap=64, live=200, garbage=150),
)
SERVICE_PORT = 7000
"""Of the service in each domain."""


def machine(name: str) -> Machine:
    """The machine of that name; KeyError if the lab has none."""
    for candidate in MACHINES:
        if candidate.name == name:
            return candidate
    raise KeyError(name)


@dataclass(frozen=True)
class LabPaths:
    """Files of the lab on the machine it runs on."""

    cache: Path
    """Built images, by what they were made from. Deleting it costs only time."""
    site: Path
    """The one site that can be up: disks, sockets, keys, logs."""

    def disk(self, name: str, letter: str = "a") -> Path:
        return self.site / f"{name}-{letter}.qcow2"

    def qmp(self, name: str) -> Path:
        return self.site / f"{name}.qmp"

    def console(self, name: str) -> Path:
        return self.site / f"{name}.console"

    def console_log(self, name: str) -> Path:
        return self.site / f"{name}.console.log"

    def pid(self, name: str) -> Path:
        return self.site / f"{name}.pid"

    def fault(self, name: str) -> Path:
        """What the BMC of a server does wrong (``bmc_faults``)."""
        return self.site / f"bmc-{name}.fault"

    @property
    def ssh_config(self) -> Path:
        return self.site / "ssh_config"

    @property
    def key(self) -> Path:
        return self.site / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.site / "known_hosts"

    @property
    def facts(self) -> Path:
        return self.site / "site.json"

    @property
    def client_log(self) -> Path:
        return self.site / "client.jsonl"

    @property
    def sightings_log(self) -> Path:
        return self.site / "sightings.jsonl"


def paths() -> LabPaths:
    """Where the lab lives: ``$XDG_CACHE_HOME/snow-ha``, by default below the user's home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snow-ha"
    return LabPaths(cache=base / "built", site=base / "site")
