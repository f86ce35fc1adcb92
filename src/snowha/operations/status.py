"""What a running site looks like: what is wrong, servers, links, quorum, fence devices, and where every domain runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime

from snowha.cluster import cib
from snowha.cluster import live as parse
from snowha.errors import SnowError
from snowha.hosts.api import Host
from snowha.hosts.many import each
from snowha.operations import disarm, findings, health, image_room, leases, live, resolve, stock_scripts
from snowha.operations.findings import Finding
from snowha.operations.leases import ImageStatus
from snowha.site.model import Domain, Site
from snowha.site.rules import Finding as SiteFinding
from snowha.xen import attachments, xl
from snowha.xen.attachments import Attachments
from snowha.xen.leases import Leases, Migration


@dataclass(frozen=True)
class LinkStatus:
    number: int
    connected: bool


@dataclass(frozen=True)
class ServerStatus:
    """One server as it says itself; ``cluster`` is what Pacemaker says of it (see ``health.word``), or ``no cluster``."""

    name: str
    reachable: bool
    cluster: str
    xen: str | None = None
    free_memory_mib: int | None = None
    quorate: bool | None = None
    links: tuple[LinkStatus, ...] = ()
    trouble: str = ""
    total_memory_mib: int | None = None


@dataclass(frozen=True)
class DomainStatus:
    """One domain: the servers whose hypervisor runs it, and the one that Pacemaker believes in."""

    name: str
    servers: tuple[str, ...]
    pacemaker: tuple[str, ...]
    managed: bool
    """Pacemaker has it, and was not told to leave it alone."""
    state: str
    """``running``, ``off``, ``twice``, ``unknown`` (a server that could run it does not answer) or ``disagree``."""
    on_purpose: bool = False
    """It is off because somebody wants it to be."""


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
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    images: tuple[ImageStatus, ...] = ()
    migrations: tuple[Migration, ...] = ()
    """Live migrations under way."""

    @property
    def healthy(self) -> bool:
        """Nothing is red."""
        return not health.is_alarm(self.findings)


def as_data(status: SiteStatus) -> dict[str, object]:
    """The status for a script."""
    return {**asdict(status), "healthy": status.healthy}


@dataclass(frozen=True)
class _Seen:
    trouble: str = ""
    remedy: str = ""
    hypervisor: xl.Hypervisor | None = None
    domains: Mapping[str, xl.Running] = field(default_factory=dict)
    quorate: bool | None = None
    links: tuple[parse.Link, ...] = ()
    state: parse.ClusterState | None = None
    leases: Leases | None = None
    attachments: Attachments = field(default_factory=Attachments)

    @property
    def answer(self) -> health.Answer:
        alive = frozenset(name for name, domain in self.domains.items() if domain.is_alive)
        under_xen = self.hypervisor is not None
        return health.Answer(self.trouble, self.remedy, under_xen, alive, self.quorate, self.links)


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
            links=parse.parse_links(links) if links else (),
            state=live.state_from(host, fencing=True),
            leases=leases.ask(host),
            attachments=attachments.ask(host) if hypervisor else Attachments(),
        )
    except SnowError as error:
        return _Seen(trouble=error.message.splitlines()[0], remedy=error.remedy)


def status_of(
    site: Site,
    hosts: live.Hosts,
    *,
    domains: Iterable[str] | None = None,
    known: Iterable[SiteFinding] = (),
    configs: Iterable[Domain] | None = None,
) -> SiteStatus:
    """Ask every server at once. A server that does not answer is said to be so, never taken for one without domains.

    ``domains``: their names, where not every config could be read. ``known``: what was found wrong before. ``configs``: all
    that there are, if the site does not have all.
    """
    seen = each(list(hosts.values()), _look)
    state = live.chosen(one.state for one in seen.values())
    wanted = health.wanted(site, domains)
    answers = {name: one.answer for name, one in seen.items()}
    known_to_some = not all(answer.trouble for answer in answers.values())
    images = leases.images_of(site)
    attached = {name: one.leases for name, one in seen.items()}
    records = leases.records(hosts, attached, images)
    room = next(
        (image_room.shortage(hosts[name], site.paths.images) for name, one in answers.items() if not one.trouble), None
    )
    left = resolve.judge(
        site,
        hosts,
        copies=tuple(copy for name, one in seen.items() for copy in resolve.copies_of(name, one.domains)),
        silent=tuple(name for name, one in seen.items() if one.trouble),
        answers=attached,
        records=records,
    )
    judged = (
        *map(findings.of_site, known),
        *health.judge(wanted, answers, state),
        *leases.judge(images, attached, records),
        *([findings.found("holes", site.paths.images, f"{site.paths.images}: {room}")] if room else []),
        *stock_scripts.judge(
            site,
            site.domains if configs is None else configs,
            {name: one.attachments for name, one in seen.items()},
            {name: {row.domid: row.name for row in one.domains.values()} for name, one in seen.items()},
            attached,
        ),
        *resolve.findings(left),
    )
    return SiteStatus(
        name=site.name,
        servers=tuple(_server(name, one, state) for name, one in seen.items()),
        domains=tuple(_domain(name, answers, state) for name in wanted.domains),
        fencing={server: _fencing(server, state) if known_to_some else "unknown" for server in wanted.fenced},
        floating_ip=site.floating_ip.address if site.floating_ip else None,
        floating_ip_on=next(iter(live.servers_of(state, cib.FLOATING_IP)), None) if state else None,
        findings=tuple(
            sorted(
                disarm.explained(judged, _disarmed_since(hosts, seen, state)),
                key=lambda finding: findings.SEVERITIES.index(finding.severity),
            )
        ),
        images=leases.status(images, attached, records),
        migrations=tuple(one for answer in attached.values() if answer for one in answer.migrations),
    )


def _disarmed_since(hosts: live.Hosts, seen: Mapping[str, _Seen], state: parse.ClusterState | None) -> datetime | None:
    """Asked only of a cluster that leaves everything alone, of a server that has just answered."""
    if state is None or not state.maintenance:
        return None
    for name in (name for name, one in seen.items() if one.state is not None):
        with suppress(SnowError):
            return disarm.since(hosts[name])
    return None


def _server(name: str, seen: _Seen, state: parse.ClusterState | None) -> ServerStatus:
    return ServerStatus(
        name=name,
        reachable=not seen.trouble,
        cluster=health.word(state.node(name)) if state else "unknown" if seen.trouble else "no cluster",
        xen=seen.hypervisor.version if seen.hypervisor else None,
        free_memory_mib=seen.hypervisor.free_memory if seen.hypervisor else None,
        total_memory_mib=seen.hypervisor.total_memory if seen.hypervisor else None,
        quorate=seen.quorate,
        links=tuple(LinkStatus(link.number, link.connected) for link in seen.links),
        trouble=seen.trouble,
    )


def _domain(name: str, answers: Mapping[str, health.Answer], state: parse.ClusterState | None) -> DomainStatus:
    where = tuple(server for server, answer in answers.items() if name in answer.running)
    resource = state.resource(name) if state else None
    believed = resource.servers if resource else ()
    on_purpose = not where and resource is not None and resource.is_off_on_purpose
    if len(where) > 1:
        word = "twice"
    elif where and state and set(believed) != set(where):
        word = "disagree"
    elif where:
        word = "running"
    else:
        word = "unknown" if any(answer.trouble for answer in answers.values()) and not on_purpose else "off"
    return DomainStatus(name, where, believed, resource is not None and resource.managed, word, on_purpose)


def _fencing(server: str, state: parse.ClusterState | None) -> str:
    device = state.resource(cib.fence_id(server)) if state else None
    if device is None:
        return "not running"
    if device.failed:
        return "failed"
    return "ready" if device.servers else "not running"
