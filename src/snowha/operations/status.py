"""What a running site looks like: servers, links, quorum, fence devices, and where every domain runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snowha.cluster import live as parse
from snowha.errors import SnowError
from snowha.hosts.api import Host
from snowha.hosts.many import each
from snowha.operations import live
from snowha.site.model import Site
from snowha.xen import xl


@dataclass(frozen=True)
class LinkStatus:
    number: int
    connected: bool


@dataclass(frozen=True)
class ServerStatus:
    """One server as it says itself; ``cluster`` is what Pacemaker says of it."""

    name: str
    reachable: bool
    cluster: str
    xen: str | None = None
    free_memory_mib: int | None = None
    quorate: bool | None = None
    links: tuple[LinkStatus, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class DomainStatus:
    """One domain: the servers whose hypervisor runs it, and the one that Pacemaker believes in."""

    name: str
    servers: tuple[str, ...]
    pacemaker: tuple[str, ...]
    managed: bool
    state: str
    """``running``, ``off``, ``twice``, ``unknown`` (a server that could run it does not answer) or ``disagree``."""


@dataclass(frozen=True)
class SiteStatus:
    name: str
    servers: tuple[ServerStatus, ...]
    domains: tuple[DomainStatus, ...]
    fencing: Mapping[str, str]
    """Fence device's target to ``ready``, ``failed`` or ``not running``."""
    floating_ip: str | None
    floating_ip_on: str | None
    stale: tuple[str, ...] = field(default=())

    @property
    def healthy(self) -> bool:
        return (
            all(server.cluster == "online" and server.quorate for server in self.servers)
            and all(link.connected for server in self.servers for link in server.links)
            and all(domain.state == "running" and domain.managed for domain in self.domains)
            and all(state == "ready" for state in self.fencing.values())
            and (self.floating_ip is None or self.floating_ip_on is not None)
        )


@dataclass(frozen=True)
class _Seen:
    trouble: str = ""
    hypervisor: xl.Hypervisor | None = None
    domains: Mapping[str, xl.Running] = field(default_factory=dict)
    quorate: bool | None = None
    links: tuple[LinkStatus, ...] = ()
    state: parse.ClusterState | None = None


def _look(host: Host) -> _Seen:
    try:
        hypervisor = xl.hypervisor(host)
        domains = xl.running(host) if hypervisor else {}
        quorum = host.run(["corosync-quorumtool", "-s"], check=False).stdout
        links = host.run(["corosync-cfgtool", "-s"], check=False).stdout if "Quorum information" in quorum else ""
        return _Seen(
            hypervisor=hypervisor,
            domains=domains,
            quorate=parse.parse_quorum(quorum).quorate if links else None,
            links=tuple(LinkStatus(link.number, link.connected) for link in parse.parse_links(links)) if links else (),
            state=live.state_from(host),
        )
    except SnowError as error:
        return _Seen(trouble=error.message.splitlines()[0])


def look(site: Site, hosts: live.Hosts) -> SiteStatus:
    """Ask every server at once. A server that does not answer is said to be so, never taken for one without domains."""
    seen = each(list(hosts.values()), _look)
    state = next((one.state for one in seen.values() if one.state), None)
    servers = tuple(_server(name, one, state) for name, one in seen.items())
    blind = any(one.trouble for one in seen.values())
    domains = tuple(_domain(domain.name, seen, state, blind) for domain in site.domains)
    return SiteStatus(
        name=site.name,
        servers=servers,
        domains=domains,
        fencing={server.name: _fencing(server.name, state) for server in site.servers if server.fence},
        floating_ip=site.floating_ip.address if site.floating_ip else None,
        floating_ip_on=next(iter(live.servers_of(state, "xsnow-vip")), None) if state else None,
    )


def _server(name: str, seen: _Seen, state: parse.ClusterState | None) -> ServerStatus:
    if state is None:
        cluster = "no cluster"
    elif live.is_standby(state, name):
        cluster = "standby"
    else:
        cluster = "online" if state.is_online(name) else "offline"
    return ServerStatus(
        name=name,
        reachable=not seen.trouble,
        cluster=cluster,
        xen=seen.hypervisor.version if seen.hypervisor else None,
        free_memory_mib=seen.hypervisor.free_memory if seen.hypervisor else None,
        quorate=seen.quorate,
        links=seen.links,
        trouble=seen.trouble,
    )


def _domain(name: str, seen: Mapping[str, _Seen], state: parse.ClusterState | None, blind: bool) -> DomainStatus:
    where = tuple(server for server, one in seen.items() if name in one.domains and one.domains[name].is_alive)
    believed = live.servers_of(state, name) if state else ()
    if len(where) > 1:
        word = "twice"
    elif where and state and believed != where:
        word = "disagree"
    elif where:
        word = "running"
    else:
        word = "unknown" if blind else "off"
    return DomainStatus(name, where, believed, managed=bool(believed), state=word)


def _fencing(server: str, state: parse.ClusterState | None) -> str:
    if state is None:
        return "not running"
    for resource in state.resources:
        if resource.is_fencing and resource.id.endswith(f"-{server}"):
            if resource.failed:
                return "failed"
            return "ready" if resource.servers else "not running"
    return "not running"


def lines(status: SiteStatus) -> list[str]:
    """The status for a terminal."""
    rows: list[tuple[str, ...]] = [("SERVER", "CLUSTER", "QUORUM", "LINKS", "FENCING", "XEN", "FREE")]
    for server in status.servers:
        links = " ".join(f"{link.number}:{'up' if link.connected else 'DOWN'}" for link in server.links) or "-"
        quorum = {True: "yes", False: "NO", None: "-"}[server.quorate]
        free = f"{server.free_memory_mib} MiB" if server.free_memory_mib is not None else "-"
        fence = status.fencing.get(server.name, "none")
        rows.append((server.name, server.cluster, quorum, links, fence, server.xen or "-", free))
    text = _table(rows)
    text += [f"  {server.name}: {server.trouble}" for server in status.servers if server.trouble]
    domain_rows: list[tuple[str, ...]] = [("DOMAIN", "STATE", "SERVER", "PACEMAKER")]
    for domain in status.domains:
        domain_rows.append(
            (domain.name, domain.state, ", ".join(domain.servers) or "-", ", ".join(domain.pacemaker) or "not managed")
        )
    text += ["", *_table(domain_rows)]
    if status.floating_ip:
        text += ["", f"floating IP {status.floating_ip}: {status.floating_ip_on or 'on no server'}"]
    text += ["", "all is well" if status.healthy else "NOT well: see above"]
    return text


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
