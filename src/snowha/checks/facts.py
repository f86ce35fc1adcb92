"""What the servers of a site answered, as data. Everything that the rules judge stands here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from snowha.cluster import crm_mon as cluster
from snowha.health.cluster_health import Answer
from snowha.health.image_space import ImageSpace
from snowha.live.autostart import Autostart
from snowha.site.definition import Definition
from snowha.xen import xl
from snowha.xen.attachments import Attachments
from snowha.xen.leases import Lease, Leases

Locks = Literal["work", "broken", "unknown"]


@dataclass(frozen=True)
class Mounted:
    """One line of /proc/self/mounts."""

    source: str
    target: str
    fstype: str
    options: frozenset[str]

    @property
    def is_nfs(self) -> bool:
        return self.fstype in ("nfs", "nfs4")

    @property
    def version(self) -> tuple[int, int]:
        """Of NFS; (0, 0) for what is none."""
        match = next((found for word in self.options if (found := re.fullmatch(r"vers=(\d)(?:\.(\d))?", word))), None)
        return (int(match[1]), int(match[2] or 0)) if match and self.is_nfs else (0, 0)


@dataclass(frozen=True)
class PathFact:
    """A file or volume, links followed. ``size`` in bytes."""

    kind: Literal["block", "file", "other"]
    size: int
    inode: int
    allocated: int = 0
    """Bytes that a file takes; less than its size if it has holes."""
    sector: int = 512
    """Bytes of a device's logical block."""
    table: str = ""
    """The partition table of a device, as blkid(8) calls it. Asked for only where sectors are not of 512 bytes."""
    device: int = 0
    """Of the file system that it is on: only with it is the inode its own."""


@dataclass(frozen=True)
class InterfaceFact:
    """The network device that has an address."""

    device: str
    mtu: int
    prefixlen: int = 0
    """Of the address; 0 where it was not told."""
    mac: str = ""
    """In lower case; empty where it was not told."""


@dataclass(frozen=True)
class Unit:
    """A systemd unit: ``active`` and ``enabled`` as systemctl(1) says (``active``, ``enabled``, ``disabled``, …)."""

    active: str
    enabled: str


@dataclass(frozen=True)
class Permissions:
    """Who may write a file or folder: its mode, as of stat(2), and whose it is."""

    mode: int
    owner: str
    group: str
    path: str
    has_acl: bool = False
    """It has an access list (acl(5)): then the group's bits are the most that anybody named there may."""

    @property
    def is_open(self) -> bool:
        """Whether others than root may write it."""
        by_group = bool(self.mode & 0o020) and (self.group != "root" or self.has_acl)
        return self.owner != "root" or bool(self.mode & 0o002) or by_group

    @property
    def is_sticky(self) -> bool:
        """Of a folder: what is root's in it stays root's."""
        return self.owner == "root" and bool(self.mode & 0o1000)


@dataclass(frozen=True)
class ServerFacts:
    """One server. ``trouble``: why it could not be asked; all the rest is empty then."""

    name: str
    trouble: str = ""
    remedy: str = ""
    release: str = ""
    """Debian's code name, empty for another system."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Version by package, of those that are installed."""
    units: Mapping[str, Unit] = field(default_factory=dict)
    under_xen: bool = False
    xen: xl.Hypervisor | None = None
    dom0_mib: int = 0
    running: Mapping[str, xl.Running] = field(default_factory=dict)
    migrating: frozenset[str] = frozenset()
    """Domains that it is sending to another server just now (and the other words of those commands)."""
    memory_mib: int = 0
    """What the kernel has: all of the machine's memory where there is no Xen."""
    kernel_cpus: int = 0
    """The same of its CPUs."""
    uuid: str = ""
    """From the machine's DMI tables."""
    mounts: tuple[Mounted, ...] = ()
    nfs_client: str = ""
    """What its NFS client of version 4.1 and later calls itself: its unique id, if it has one, a slash, and the host name."""
    writable: frozenset[str] = frozenset()
    """/sNow, where root can write in it."""
    addresses: Mapping[str, InterfaceFact] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """The first IPv4 address that a name resolves to there; empty if none."""
    tools: frozenset[str] = frozenset()
    paths: Mapping[str, PathFact] = field(default_factory=dict)
    kernels: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the domains' kernels and ramdisks."""
    booted: frozenset[str] = frozenset()
    """Of the domains' kernels and ramdisks, those that it is booted from itself, or would be."""
    virtual: Mapping[str, int] = field(default_factory=dict)
    """Bytes that a domain sees of a file whose header says that it is qcow2 or VHD."""
    folders: tuple[str, ...] = ()
    """Where the images and the domains' configs belong, links followed; none where it could not be told."""
    space: int | None = None
    """Bytes free where the images belong; None where it could not be told."""
    attachments: Attachments = field(default_factory=Attachments)
    """What has attached, or would at boot, the disks of its domains."""
    room: ImageSpace | None = None
    """For the holes of the images; None where they have no folder yet."""
    xendomains: str | None = None
    autostart: Autostart = field(default_factory=Autostart)
    """What xendomains would start."""
    corosync_conf: str | None = None
    definition: str | None = field(default=None, repr=False)
    """The ha.toml that it keeps."""
    cib: bytes = field(default=b"", repr=False)
    state: cluster.ClusterState | None = None
    """The cluster as it sees it; None where Pacemaker does not run."""
    quorate: bool | None = None
    links: tuple[cluster.Link, ...] = ()
    """Corosync's, with what has become of them."""
    snow_conf: str | None = field(default=None, repr=False)
    conf_error: str = ""
    """What bash says of its syntax."""
    """Asked of the first server that answers only; holds passwords."""
    snow_env: str = ""
    """The variables that sNow! 2.0 sets at each login."""
    lan_address: str = ""
    """Of its BMC, asked in-band; empty where it could not be asked."""
    saved: Mapping[str, str] = field(default_factory=dict)
    """Domains whose memory lies in a file (``xl save``), with that file."""
    undone: tuple[tuple[str, int], ...] = ()
    """Images that `snow ha undo` moved aside, with their size in bytes."""
    permissions: tuple[Permissions, ...] = ()
    """Of the folders of configs and images, those above them, the configs and snow.conf."""
    upgrades: str = ""
    """What apt does by itself, and needrestart: their settings as they stand."""
    clock: tuple[float, float] | None = None
    """Between which two seconds its clock is ahead of ours."""

    @property
    def answers(self) -> bool:
        return not self.trouble

    @property
    def answer(self) -> Answer:
        """The same as whoever judges the cluster wants it."""
        alive = frozenset(name for name, domain in self.running.items() if domain.is_alive)
        return Answer(self.trouble, self.remedy, self.xen is not None, alive, self.quorate, self.links)

    def is_active(self, unit: str) -> bool:
        return unit in self.units and self.units[unit].active == "active"

    def mount_of(self, path: str) -> Mounted | None:
        """The file system that ``path`` is on."""
        covering = [
            mount
            for mount in self.mounts
            if mount.target == "/" or path == mount.target or path.startswith(f"{mount.target}/")
        ]
        longest = max((len(mount.target) for mount in covering), default=0)
        return next((mount for mount in reversed(covering) if len(mount.target) == longest), None)


@dataclass(frozen=True)
class PingResult:
    """One server's view of another's address on a link. ``small`` and ``large``: pings answered, None if not tried."""

    by: str
    address: str
    device: str
    mtu: int
    small: bool | None
    large: bool | None


@dataclass(frozen=True)
class LoginFact:
    """Whether root logs in from one server to another without being asked anything."""

    by: str
    to: str
    ok: bool
    said: str


@dataclass(frozen=True)
class BmcFact:
    """What a BMC said. ``power``: ``on``, ``off``, ``refused`` or ``unasked`` (nothing there to ask it with)."""

    power: Literal["on", "off", "refused", "unasked"]
    said: str = ""
    guid: str = ""
    """The GUID of its machine as it was printed, empty if it told none."""


@dataclass(frozen=True)
class Facts:
    """The whole site, as it was gathered once."""

    servers: tuple[ServerFacts, ...]
    pings: tuple[PingResult, ...] = ()
    logins: tuple[LoginFact, ...] = ()
    bmcs: Mapping[str, BmcFact] = field(default_factory=dict)
    locks: Locks = "unknown"
    locks_said: str = ""
    leases: Mapping[str, Leases | None] = field(default_factory=dict)
    """By server; None where there are none yet."""
    records: tuple[Lease, ...] = ()
    """Of the leases, as one server reads them."""
    floating: Mapping[str, str] = field(default_factory=dict)
    """By server: who answers there for the floating IP (live/address_use.py), empty if nobody does."""
    definition: Definition = field(default_factory=Definition, repr=False)
    """The ha.toml that the site was checked with."""

    @property
    def first(self) -> ServerFacts:
        """The server on which is looked up what there is once: the first one. In a cluster every server has it, so it is the
        first one that answers."""
        return self.answering[0] if self.has_cluster else self.servers[0]

    def server(self, name: str) -> ServerFacts:
        return next(server for server in self.servers if server.name == name)

    @property
    def answering(self) -> tuple[ServerFacts, ...]:
        return tuple(server for server in self.servers if server.answers)

    @property
    def has_cluster(self) -> bool:
        """Whether Pacemaker runs anywhere."""
        return any(server.is_active("pacemaker.service") for server in self.servers)


def half_migrated(servers: Iterable[ServerFacts]) -> frozenset[tuple[str, str]]:
    """(server, name) of what a migration leaves when it breaks, where nobody is migrating that domain."""
    servers = list(servers)
    moving = {name for server in servers for name in server.migrating}
    return frozenset(
        (server.name, name)
        for server in servers
        for name in server.running
        if name.endswith((xl.INCOMING, xl.AWAY)) and name.removesuffix(xl.INCOMING).removesuffix(xl.AWAY) not in moving
    )


def in_two_places(servers: Iterable[ServerFacts]) -> frozenset[tuple[str, str]]:
    """(server, name) of domains that are alive on more than one server."""
    alive = [(server.name, name) for server in servers for name, domain in server.running.items() if domain.is_alive]
    counts = Counter(name for _, name in alive)
    return frozenset((server, name) for server, name in alive if counts[name] > 1)
