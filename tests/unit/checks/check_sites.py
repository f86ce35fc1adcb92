"""A healthy site and what its servers answer: each test breaks one thing of it."""

from __future__ import annotations

from dataclasses import replace

import broken_clusters
import broken_leases

from snowha.checks import evaluate
from snowha.checks.facts import (
    BmcFact,
    Facts,
    InterfaceFact,
    LoginFact,
    Mounted,
    PathFact,
    PingResult,
    ServerFacts,
    Unit,
)
from snowha.cluster import cib_merge, corosync_conf
from snowha.cluster.crm_mon import ClusterState
from snowha.site.model import Disk, Domain, FenceDevice, FloatingIp, Mount, Paths, Server, Site, Vif
from snowha.xen import server_program
from snowha.xen.xl import Hypervisor, Running

UUIDS = {"snow01": "6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4e01", "snow02": "6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4e02"}
CONF = "/sNow/etc/snow.conf"
VOLUMES = {"deploy01": 1 << 30, "slurm01": 1 << 29}


def _domain(name: str, number: int) -> Domain:
    target = f"/dev/snow_vg/{name}-disk"
    return Domain(
        name=name,
        config=f"/sNow/etc/domains/{name}.cfg",
        memory_mib=256,
        vcpus=1,
        type="pvh",
        kernel="/boot/vmlinuz",
        ramdisk="/boot/initrd.img",
        disks=(Disk(f"phy:{target},xvda2,w", target, "xvda2"),),
        vifs=(Vif("xsnow0", f"00:16:3e:08:00:{number:02x}", f"192.168.8.{number}"),),
        root_vdev="xvda2",
    )


SITE = Site(
    name="snow",
    paths=Paths(CONF, "/sNow/etc/domains", "/sNow/domains"),
    servers=tuple(
        Server(
            f"snow0{n}",
            f"192.168.8.{n}",
            (f"192.168.8.{n}", f"10.0.0.{n}"),
            FenceDevice("fence_ipmilan", f"10.0.0.10{n}", "admin", "ha.secrets/ipmi"),
        )
        for n in (1, 2)
    ),
    domains=(_domain("deploy01", 11), _domain("slurm01", 13)),
    mounts=(
        Mount("nfs01:/export/sNow", "/sNow", "nfs4", "vers=4.2,hard,_netdev"),
        Mount("nfs01:/export/home", "/home", "nfs4", "vers=4.2,hard,_netdev"),
    ),
    floating_ip=FloatingIp("192.168.8.254", 24, "xsnow0"),
    apart=(),
)


def mounts(options: str = "rw,relatime,vers=4.2,hard,proto=tcp,local_lock=none") -> tuple[Mounted, ...]:
    words = frozenset(options.split(","))
    return (
        Mounted("/dev/vda1", "/", "ext4", frozenset({"rw"})),
        Mounted("nfs01:/export/sNow", "/sNow", "nfs4", words),
        Mounted("nfs01:/export/home", "/home", "nfs4", words),
    )


def running(*names: str, state: str = "-b----") -> dict[str, Running]:
    return {name: Running(name, number, 256, 1, state) for number, name in enumerate(names, start=1)}


def server(number: int) -> ServerFacts:
    name = f"snow0{number}"
    paths = {
        "/sNow": PathFact("other", 0, 77),
        "/home": PathFact("other", 0, 78),
        "/boot/vmlinuz": PathFact("file", 8 << 20, 5),
        "/boot/initrd.img": PathFact("file", 30 << 20, 6),
    }
    if number == 1:
        volumes = enumerate(VOLUMES.items(), start=9)
        paths |= {f"/dev/snow_vg/{domain}-disk": PathFact("block", size, inode) for inode, (domain, size) in volumes}
    return ServerFacts(
        name=name,
        release="trixie",
        packages={"corosync": "3.1.9-2", "pacemaker": "3.0.0-5"},
        units={"corosync.service": Unit("inactive", "disabled"), "pacemaker.service": Unit("inactive", "disabled")},
        under_xen=True,
        xen=Hypervisor("4.20.5", frozenset({"pv", "pvh", "hap"}), 2560, 1000, 4),
        dom0_mib=1024,
        running=running("deploy01", "slurm01") if number == 1 else {},
        memory_mib=1024,
        uuid=UUIDS[name],
        mounts=mounts(),
        nfs_client=f"/{name}",
        writable=frozenset({"/sNow"}),
        addresses={
            f"192.168.8.{number}": InterfaceFact("xsnow0", 1500, 24),
            f"10.0.0.{number}": InterfaceFact("ens4", 1500, 24),
        },
        names={"snow01": "192.168.8.1", "snow02": "192.168.8.2", "nfs01": "192.168.8.9"},
        tools=frozenset({"fence_ipmilan", "ipmitool"}),
        paths=paths,
        folders=("/sNow/domains", "/sNow/etc/domains"),
        space=8 << 30,
        xendomains='XENDOMAINS_SAVE=""\n',
        snow_conf="IMG_DST='lvm=snow_vg'\n" if number == 1 else None,
        clock=(-0.2, 0.3),
    )


def healthy() -> Facts:
    """The single server and a new one that is ready, before the cluster is made."""
    pings = tuple(
        PingResult(f"snow0{by}", f"{network}{to}", "ens4", 1500, True, True)
        for by, to in ((1, 2), (2, 1))
        for network in ("192.168.8.", "10.0.0.")
    )
    logins = (LoginFact("snow01", "snow02", True, ""), LoginFact("snow02", "snow01", True, ""))
    bmcs = {name: BmcFact("on", "Chassis Power is on", guid) for name, guid in UUIDS.items()}
    return Facts((server(1), server(2)), pings, logins, bmcs, "work")


def change(facts: Facts, name: str, **changes: object) -> Facts:
    """``facts`` with something of one server changed."""
    servers = tuple(replace(one, **changes) if one.name == name else one for one in facts.servers)  # type: ignore[arg-type]
    return replace(facts, servers=servers)


CIB = f"""<cib><configuration><crm_config/><nodes/><resources><primitive id="deploy01" class="ocf" provider="heartbeat"
type="Xen" description="{cib_merge.MARK}"/></resources><constraints/></configuration></cib>""".encode()
"""As much as tells that Pacemaker has our domains."""


def _of_this_site(state: ClusterState | None) -> ClusterState | None:
    """The recorded cluster has two domains more."""
    more = {"proxy01", "slurm02"}
    return state and replace(state, resources=tuple(one for one in state.resources if one.id not in more))


def clustered(facts: Facts, case: broken_clusters.Case | None = None) -> Facts:
    """The same with Corosync and Pacemaker running, configured by us; with what is broken in ``case``."""
    case = case or broken_clusters.Case(broken_clusters.cluster())
    up = {"corosync.service": Unit("active", "disabled"), "pacemaker.service": Unit("active", "disabled")}
    for one in facts.servers:
        facts = change(
            facts,
            one.name,
            units=up,
            corosync_conf=corosync_conf.compose(SITE),
            cib=CIB,
            state=_of_this_site(case.state),
            quorate=True,
            links=case.links.get(one.name, broken_clusters.links(one.name[-1])),
            running=running(*case.running[one.name]) if one.name in case.running else one.running,
            xen=None if one.name in case.bare else one.xen,
        )
    return facts


def leased(case: broken_leases.Case) -> tuple[Site, Facts]:
    """The site in the end: its domains run from images, with what is said of their leases in ``case``."""
    domains = []
    facts = change(clustered(healthy()), "snow01", snow_conf="IMG_DST='dir=/sNow/domains'\n")
    for inode, domain in enumerate(SITE.domains, start=90):
        image = f"/sNow/domains/{domain.name}/{domain.name}-disk"
        domains.append(replace(domain, disks=tuple(server_program.with_script(disk, image) for disk in domain.disks)))
        size = VOLUMES[domain.name]
        for one in facts.servers:
            facts = change(facts, one.name, paths={**one.paths, image: PathFact("file", size, inode, size)})
    return replace(SITE, domains=tuple(domains)), replace(facts, leases=case.answers, records=case.records)


def messages(code: str, site: Site, facts: Facts) -> list[str]:
    """Of the findings with ``code``."""
    return [f"{one.where}: {one.message}" for one in evaluate.evaluate(site, facts) if one.code == code]
