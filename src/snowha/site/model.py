"""Site, servers, domains and disks as frozen dataclasses. All packages above use these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from snowha.site.names import plain_address

DomainType = Literal["pv", "pvh", "hvm"]
_SCRIPTS = "/etc/xen/scripts"
_XEN_VIF_SCRIPTS = ("vif-bridge", "vif-nat", "vif-openvswitch", "vif-route")


@dataclass(frozen=True)
class Disk:
    """One entry of a domain's ``disk`` list (xl-disk-configuration(5))."""

    spec: str
    """The entry exactly as it stands in the config."""
    target: str
    """Absolute path of the volume or image behind the disk, without doubled slashes."""
    vdev: str
    """The device in the domain, e.g. ``xvda2``."""
    access: Literal["r", "w"] = "w"
    format: str = "raw"
    backend: str = ""
    """``phy``, ``file``, ``tap``, ``qdisk``: as named in the spec, empty when it names none."""
    script: str | None = None
    """Hotplug script in /etc/xen/scripts, when the spec names one."""
    options: tuple[str, ...] = ()
    """Other words of the spec as they stand, e.g. ``cdrom``, ``direct-io-safe``, ``discard``."""
    backend_domain: str = ""
    """The domain that serves the disk (``backend=``), empty for the server itself."""
    specification: str = ""
    """``xen`` or ``virtio``, empty when the spec names none."""

    @property
    def is_cdrom(self) -> bool:
        return "cdrom" in self.options

    @property
    def is_moved(self) -> bool:
        """Whether there is something behind it that becomes an image. A CD drive stays as it is, with a disc or without."""
        return bool(self.target) and not self.is_cdrom

    @property
    def name(self) -> str:
        """``deploy01-disk`` of ``/dev/snow_vg/deploy01-disk``."""
        return PurePosixPath(self.target).name


@dataclass(frozen=True)
class Vif:
    """One network card of a domain (xl-network-configuration(5))."""

    bridge: str
    """As its hotplug script gets it; empty if the config names none, and xl.conf counts."""
    mac: str = ""
    ip: str = ""
    """As it stands: several addresses are separated by blanks, and each may carry a prefix length."""
    script: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """Its other words with their values (``rate``, ``model``, ``backend``)."""

    @property
    def own_script(self) -> str:
        """Path of its hotplug script where it is none of Xen's; empty where it is."""
        if not self.script or self.script.removeprefix(f"{_SCRIPTS}/") in _XEN_VIF_SCRIPTS:
            return ""
        return self.script if self.script.startswith("/") else f"{_SCRIPTS}/{self.script}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The domain's own addresses, without prefix lengths, each in one spelling. ``dhcp`` and 0.0.0.0 are how a vif says that
        its guest asks DHCP: xl hands the words to the hotplug script as they stand."""
        words = (plain_address(word.partition("/")[0]) for word in self.ip.split())
        return tuple(dict.fromkeys(word for word in words if word.lower() not in ("dhcp", "0.0.0.0", "::")))


@dataclass(frozen=True)
class Domain:
    """A Xen guest, as its config says."""

    name: str
    config: str
    """Absolute path of the config on the servers."""
    memory_mib: int
    vcpus: int
    type: DomainType
    kernel: str
    ramdisk: str
    disks: tuple[Disk, ...]
    vifs: tuple[Vif, ...]
    root_vdev: str
    """Device of the root file system (from ``root=``), e.g. ``xvda2``; empty when the config names none."""
    bootloader: str = ""
    """What takes kernel and ramdisk out of the domain's own disk (``pygrub``); empty when the server has them."""
    hardware: tuple[str, ...] = ()
    """Settings that take something from its server (``pci``, ``pool``): it cannot be live-migrated, nor become PVH."""
    firmware: tuple[str, ...] = ()
    """Files of its server with which it boots beside kernel and ramdisk (``firmware``, ``bios_path_override``, …)."""
    cpus: tuple[str, ...] = ()
    """The CPUs that all its vCPUs are bound to, or each of them (``cpus``); none where they are free."""
    nomigrate: bool = False
    """Whether the config forbids that it is live-migrated or saved (``nomigrate``)."""
    on_poweroff: str = "destroy"
    """What xl does when it has shut down."""
    uuid: str = ""
    """What its config gives it (``uuid``), in small letters; empty where each start makes another one."""
    needs_qemu: bool = False
    """Whether QEMU serves something of it (all of an HVM domain, a frame buffer, a CD drive), beside the server's kernel."""
    maxmem_mib: int | None = None
    """Its ``maxmem``; None if its config names none that xl reads, and ``memory_mib`` counts."""
    max_vcpus: int | None = None
    """Its ``maxvcpus``, in the same way."""
    needs_uefi: bool = False
    """Whether hvmloader boots it with OVMF, a file of the server that its config does not name."""

    @property
    def server_files(self) -> tuple[str, ...]:
        """What each server must have to start it."""
        return tuple(path for path in (self.kernel, self.ramdisk, *self.firmware) if path)

    @property
    def never_live(self) -> str:
        """Why it is not live-migrated, whatever the servers can; empty if nothing is against it."""
        if self.hardware:
            return f"it has something of its server ({', '.join(self.hardware)})"
        return "its config says nomigrate" if self.nomigrate else ""

    @property
    def vifnames(self) -> tuple[str, ...]:
        """Names that its network cards have on the server, where the config says them."""
        return tuple(value for vif in self.vifs for word, value in vif.options if word == "vifname" and value)

    @property
    def moved_disks(self) -> tuple[Disk, ...]:
        """The disks that become images."""
        return tuple(disk for disk in self.disks if disk.is_moved)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of all its network cards, each once: cards that are bonded in the domain have one."""
        return tuple(dict.fromkeys(address for vif in self.vifs for address in vif.addresses))


@dataclass(frozen=True)
class Network:
    """One ``NET_X=( bridge gateway first_ip 'a.b.c.' netmask suffix )`` of snow.conf."""

    key: str
    bridge: str
    gateway: str
    first_ip: str
    prefix: str
    netmask: str
    suffix: str


IPMI_AGENTS = frozenset(
    {"fence_ipmilan", "fence_ipmilanplus", "fence_idrac", "fence_ilo3", "fence_ilo4", "fence_ilo5", "fence_imm"}
)
"""One program under several names (fence_ipmilan(8)); it runs ipmitool."""


@dataclass(frozen=True)
class FenceDevice:
    """How one server's power is cut. The secret stays in its file (mode 0600), here is only the path."""

    agent: str
    address: str
    username: str
    secret: str
    cipher: int | None = None
    """IPMI's cipher suite, where the BMC does not take the one that ipmitool asks for."""
    privilege: str = ""
    """``operator`` where the user has no more; empty for ``administrator``."""
    port: int | None = None
    """UDP, 623 unless the BMC has another."""
    lanplus: bool = True
    """IPMI 2.0; False for old BMCs that speak 1.5 only."""
    options: tuple[str, ...] = ()
    """More parameters of the agent: ``plug=3``, or ``ssl_insecure`` alone for a switch."""

    @property
    def parameters(self) -> dict[str, str]:
        """Those of ``options`` by name; a value is empty for a switch."""
        return {name: value for name, _, value in (option.partition("=") for option in self.options)}

    @property
    def is_ipmi(self) -> bool:
        return self.agent in IPMI_AGENTS


WARM_FROM_MIB = 4096
"""Chosen, not measured: at 100 MB/s a copy of this size takes some 40 s, about what a domain's own shutdown and start take."""


@dataclass(frozen=True)
class Server:
    """A sNow! server (dom0). Pacemaker and Corosync call it a node."""

    name: str
    address: str
    """Where ssh goes."""
    links: tuple[str, ...]
    """One address per Corosync link, in the order of the links."""
    fence: FenceDevice | None = None


@dataclass(frozen=True)
class Mount:
    """A shared file system that every server must have."""

    source: str
    target: str
    fstype: str
    options: str


@dataclass(frozen=True)
class Ssh:
    """How to reach the servers; empty means what OpenSSH's own configuration says."""

    user: str = "root"
    config: str = ""


@dataclass(frozen=True)
class Alerts:
    """Who is told of a failure, a fence, or a lost server; nobody where both are empty."""

    mail: str = ""
    """Address of a mail."""
    command: str = ""
    """Path, on the servers, of a command of the site's."""

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.mail, self.command)))


@dataclass(frozen=True)
class Paths:
    """Where the site keeps its things, on the servers."""

    snow_conf: str
    domain_configs: str
    images: str


@dataclass(frozen=True)
class FloatingIp:
    address: str
    prefixlen: int
    nic: str


@dataclass(frozen=True)
class Site:
    """Servers, domains, networks and storage together."""

    name: str
    """Name of the cluster."""
    paths: Paths
    servers: tuple[Server, ...]
    domains: tuple[Domain, ...]
    mounts: tuple[Mount, ...]
    floating_ip: FloatingIp | None
    apart: tuple[tuple[str, ...], ...]
    """Groups of domains that must not share a server."""
    ssh: Ssh = Ssh()
    token_ms: int = 6000
    warm_from_mib: int = WARM_FROM_MIB
    """Domains with more than this on logical volumes are copied while they run."""
    alerts: Alerts = Alerts()
    exporter: bool = False
    """Every server runs prometheus-hacluster-exporter."""

    def server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)

    def domain(self, name: str) -> Domain:
        return next(domain for domain in self.domains if domain.name == name)
