"""What a running site looks like: what is wrong, servers, links, quorum, fence devices, and where every domain runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from snowha.cluster import cib, placement
from snowha.cluster import crm_mon as parse
from snowha.errors import SnowError
from snowha.health import (
    catalogue,
    cluster_health,
    definition_copies,
    findings,
    history,
    image_space,
    lease_bypass,
    leases,
)
from snowha.health.findings import Finding
from snowha.health.history import ClusterEvent
from snowha.health.leases import ImageStatus
from snowha.hosts.files import read_file, read_folder
from snowha.hosts.host import Host
from snowha.hosts.one_round import words_of
from snowha.hosts.parallel import each
from snowha.live import cluster, connect, proof_records, view
from snowha.operations import disarm, resolve
from snowha.site import definition
from snowha.site.definition import Definition
from snowha.site.model import Domain, Paths, Site
from snowha.site.rules import Finding as SiteFinding
from snowha.xen import attachments, xl
from snowha.xen import leases as lease_program
from snowha.xen.attachments import Attachments
from snowha.xen.leases import Leases, Migration

_QUORUM, _LINKS = ("corosync-quorumtool", "-s"), ("corosync-cfgtool", "-s")


def questions(paths: Paths) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]:
    """All that a server is asked for a status: what it knows by itself, and what lies on the shared storage, which may hang."""
    own = (
        *(("xl", "info"), ("xl", "list"), _QUORUM, _LINKS, cluster.state_words(fencing=True), history.ARGV),
        *(words_of(_definition), words_of(proof_records.read), words_of(attachments.ask)),
    )
    configs = words_of(lambda host: read_folder(host, paths.domain_configs, ".cfg"))
    room = words_of(lambda host: image_space.look(host, paths.images))
    return own, (configs, lease_program.argv_of_all(paths.images), room)


def _definition(host: Host) -> bytes | None:
    return read_file(host, definition.PATH)


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
    """One domain: the servers whose hypervisor runs it, and those on which Pacemaker has it. What Pacemaker has is None where it
    is not known (``SiteStatus.pacemaker_unknown``)."""

    name: str
    servers: tuple[str, ...]
    pacemaker: tuple[str, ...] | None
    managed: bool | None
    """Pacemaker has it, and was not told to leave it alone."""
    state: str
    """``running``, ``off``, ``twice``, ``unknown`` (a server that could run it does not answer) or ``disagree``."""
    on_purpose: bool | None = False
    """It is off because somebody wants it to be."""


@dataclass(frozen=True)
class ImageStorage:
    """The file system of the images, in bytes: what is ``free``, and the ``holes`` that images may come to fill."""

    free: int
    holes: int


@dataclass(frozen=True)
class SiteStatus:
    name: str
    servers: tuple[ServerStatus, ...]
    domains: tuple[DomainStatus, ...]
    fencing: Mapping[str, str]
    """Fence device's target to ``ready``, ``failed`` or ``not running``."""
    floating_ip: str | None
    floating_ip_on: str | None
    """Empty: on no server. None: there is none, or it is not known where it is."""
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    images: tuple[ImageStatus, ...] = ()
    migrations: tuple[Migration, ...] = ()
    """Live migrations under way."""
    fenced_at: Mapping[str, str] = field(default_factory=dict)
    """Server to when its fencing was proven last (UTC, ISO 8601). Not there: never, as far as the servers that answer know."""
    losses: Mapping[str, str] = field(default_factory=dict)
    """Server to what its loss would be: ``survived``, ``no quorum`` for those that are left, ``no room`` on them for all of its
    domains, or ``unknown``."""

    storage: ImageStorage | None = None
    """None: no server that answers can say."""
    pacemaker_unknown: str = ""
    """Why nothing is known of what Pacemaker has; empty if it is known."""
    events: tuple[ClusterEvent, ...] = ()
    """What the servers' journals have of the last days (health/history.py), in order. Not for scripts."""

    @property
    def healthy(self) -> bool:
        """Nothing is red."""
        return not cluster_health.is_alarm(self.findings)


def as_data(status: SiteStatus) -> dict[str, object]:
    """The status for a script."""
    data = asdict(replace(status, events=()))
    del data["events"]
    return {**data, "healthy": status.healthy}


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
    bears_a_loss: bool | None = None
    """There is quorum when one server more is lost. None where it has none, or Corosync does not run."""
    room: int = 0
    """MiB that its hypervisor has for domains in all."""
    journal: str = ""
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    definition: str | None = None

    @property
    def answer(self) -> cluster_health.Answer:
        alive = frozenset(name for name, domain in self.domains.items() if domain.is_alive)
        under_xen = self.hypervisor is not None
        return cluster_health.Answer(self.trouble, self.remedy, under_xen, alive, self.quorate, self.links)


def _query_server(host: Host, images: str) -> _Seen:
    try:
        hypervisor = xl.hypervisor(host)
        listed = host.run(["xl", "list"], timeout=60).stdout if hypervisor else ""
        domains = xl.parse_list(listed)
        quorum = host.run(_QUORUM, check=False).stdout
        votes = parse.parse_quorum(quorum) if "Quorum information" in quorum else None
        kept = _definition(host)
        links = host.run(_LINKS, check=False).stdout if votes else ""
        return _Seen(
            hypervisor=hypervisor,
            domains=domains,
            quorate=votes.quorate if votes and links else None,
            bears_a_loss=votes.bears_a_loss if votes and votes.quorate else None,
            links=parse.parse_links(links) if links else (),
            state=cluster.state_from(host, fencing=True),
            leases=leases.ask(host, images),
            attachments=attachments.ask(host) if hypervisor else Attachments(),
            room=hypervisor.total_memory - xl.parse_dom0(listed) if hypervisor else 0,
            journal=host.run(history.ARGV, check=False).stdout,
            proofs=proof_records.read(host),
            definition=None if kept is None else kept.decode(errors="replace"),
        )
    except SnowError as error:
        return _Seen(trouble=error.message.splitlines()[0], remedy=error.remedy)


def look(given: connect.HaToml) -> SiteStatus:
    """The site of ``given`` as ``snow ha status`` shows it: each server is asked everything at once. Raises InputError."""
    site = view.observe(given, questions=questions)
    return status_of(
        site.context.site,
        site.context.hosts,
        domains=site.domains,
        known=site.findings,
        configs=site.configs,
        given=site.context.definition,
    )


def status_of(
    site: Site,
    hosts: cluster.Hosts,
    *,
    domains: Iterable[str] | None = None,
    known: Iterable[SiteFinding] = (),
    configs: Iterable[Domain] | None = None,
    given: Definition | None = None,
) -> SiteStatus:
    """Ask every server at once. A server that does not answer is said to be so, never taken for one without domains.

    ``domains``: their names, where not every config could be read. ``known``: what was found wrong before. ``configs``: all
    that there are, if the site does not have all. ``given``: the ha.toml that says so.
    """
    seen = each(list(hosts.values()), lambda host: _query_server(host, site.paths.images))
    state = cluster.chosen(one.state for one in seen.values())
    wanted = cluster_health.wanted(site, domains)
    answers = {name: one.answer for name, one in seen.items()}
    unasked = _pacemaker_unknown(answers, state)
    known_to_some = not all(answer.trouble for answer in answers.values())
    images = leases.images_of(site)
    attached = {name: one.leases for name, one in seen.items()}
    records = leases.records(hosts, attached, images)
    of_leases = tuple(leases.evaluate(images, attached, records))
    if cluster_health.is_alarm(of_leases):
        # what a migration changed between the answers of two servers looks like a broken one
        attached = each(list(hosts.values()), lambda host: leases.ask(host) if not seen[host.name].trouble else None)
        records = leases.records(hosts, attached, images)
        of_leases = tuple(leases.evaluate(images, attached, records))
    answering = (hosts[name] for name, one in answers.items() if not one.trouble)
    space = next((image_space.look(host, site.paths.images) for host in answering), None)
    shortage = image_space.short(space.images, space.free) if space else None
    left = resolve.evaluate(
        site,
        hosts,
        copies=tuple(copy for name, one in seen.items() for copy in resolve.copies_of(name, one.domains)),
        silent=tuple(name for name, one in seen.items() if one.trouble),
        answers=attached,
        records=records,
    )
    losses, no_room = _losses(site, seen, state)
    judged = (
        *map(findings.of_site, (*known, *no_room)),
        *cluster_health.evaluate(wanted, answers, state),
        *of_leases,
        *([findings.found("holes", site.paths.images, f"{site.paths.images}: {shortage}")] if shortage else []),
        *lease_bypass.evaluate(
            site,
            site.domains if configs is None else configs,
            {name: one.attachments for name, one in seen.items()},
            {name: {row.domid: row.name for row in one.domains.values()} for name, one in seen.items()},
            attached,
        ),
        *resolve.findings(left),
        *definition_copies.evaluate(
            {n: one.definition for n, one in seen.items() if not one.trouble}, given or Definition()
        ),
    )
    explained = disarm.explained(judged, _disarmed_since(hosts, seen, state))
    journals = [one.journal for one in seen.values()]
    dated = history.dated(explained, history.read(journals))
    return SiteStatus(
        name=site.name,
        servers=tuple(_server(name, one, state) for name, one in seen.items()),
        domains=tuple(_domain(name, answers, state, is_known=not unasked) for name in wanted.domains),
        fencing={server: _fencing(server, state) if known_to_some else "unknown" for server in wanted.fenced},
        floating_ip=site.floating_ip.address if site.floating_ip else None,
        floating_ip_on=None if unasked or site.floating_ip is None else _floating_ip_on(state),
        findings=tuple(sorted(dated, key=lambda finding: catalogue.SEVERITIES.index(finding.severity))),
        images=leases.status(images, attached, records),
        migrations=tuple(one for answer in attached.values() if answer for one in answer.migrations),
        fenced_at=proof_records.fenced_at(one.proofs for one in seen.values()),
        losses=losses,
        pacemaker_unknown=unasked,
        storage=ImageStorage(space.free, space.holes) if space else None,
        events=history.events(journals),
    )


def _floating_ip_on(state: parse.ClusterState | None) -> str:
    """The server that has the floating IP, empty if none has it."""
    return next(iter(cluster.servers_of(state, cib.FLOATING_IP)), "") if state else ""


def _pacemaker_unknown(answers: Mapping[str, cluster_health.Answer], state: parse.ClusterState | None) -> str:
    """Why it is not known what Pacemaker has. It is known if one server told it, or each that it does not run."""
    silent = {name: answer.trouble for name, answer in answers.items() if answer.trouble}
    return "" if state else "; ".join(f"{name}: {trouble}" for name, trouble in silent.items())


def _disarmed_since(
    hosts: cluster.Hosts, seen: Mapping[str, _Seen], state: parse.ClusterState | None
) -> datetime | None:
    """Asked only of a cluster that leaves everything alone, of a server that has just answered."""
    if state is None or not state.maintenance:
        return None
    for name in (name for name, one in seen.items() if one.state is not None):
        with suppress(SnowError):
            return disarm.since(hosts[name])
    return None


def _losses(
    site: Site, seen: Mapping[str, _Seen], state: parse.ClusterState | None
) -> tuple[dict[str, str], tuple[SiteFinding, ...]]:
    """For each server what its loss would be, and a finding for each that the others could not bear. Of a server that nothing may
    run on, or that does not answer, it is not known; nor of the last one, of which there is nothing to say that is not said."""
    domains = {domain.name: domain for domain in site.domains}
    rooms = {
        name: one.room - _left_alone(one.domains, domains)
        for name, one in seen.items()
        if one.room and state and (node := state.node(name)) is not None and node.is_usable
    }
    if len(rooms) < 2:
        return dict.fromkeys(seen, "unknown"), ()
    where = {
        name: server
        for server in rooms
        for name, one in seen[server].domains.items()
        if name in domains and one.is_alive
    }
    found = placement.fits_after_loss(site.domains, where, rooms)
    unbearable = {finding.where for finding in found}
    votes = [one.bears_a_loss for one in seen.values() if one.bears_a_loss is not None]
    if votes and not any(votes):
        return {name: "no quorum" if name in rooms else "unknown" for name in seen}, found
    word = {True: "no room", False: "survived"}
    return {name: word[name in unbearable] if name in rooms else "unknown" for name in seen}, found


def _left_alone(running: Mapping[str, xl.Running], domains: Mapping[str, Domain]) -> int:
    """MiB that are not there for the site's ``domains`` by their configs. Others keep what they have, and so does one of them
    that waits for a smaller size, until its next start. Half of one that migrates is one of them."""
    total = 0
    for name, one in running.items():
        if name in domains:
            total += max(0, one.memory_mib - domains[name].memory_mib)
        elif name.removesuffix(xl.INCOMING).removesuffix(xl.AWAY) not in domains:
            total += one.memory_mib
    return total


def _server(name: str, seen: _Seen, state: parse.ClusterState | None) -> ServerStatus:
    return ServerStatus(
        name=name,
        reachable=not seen.trouble,
        cluster=cluster_health.word(state.node(name)) if state else "unknown" if seen.trouble else "no cluster",
        xen=seen.hypervisor.version if seen.hypervisor else None,
        free_memory_mib=seen.hypervisor.free_memory if seen.hypervisor else None,
        total_memory_mib=seen.hypervisor.total_memory if seen.hypervisor else None,
        quorate=seen.quorate,
        links=tuple(LinkStatus(link.number, link.connected) for link in seen.links),
        trouble=seen.trouble,
    )


def _domain(
    name: str, answers: Mapping[str, cluster_health.Answer], state: parse.ClusterState | None, *, is_known: bool
) -> DomainStatus:
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
    if not is_known:
        return DomainStatus(name, where, None, None, word, None)
    return DomainStatus(name, where, believed, resource is not None and resource.managed, word, on_purpose)


def _fencing(server: str, state: parse.ClusterState | None) -> str:
    device = state.resource(cib.fence_id(server)) if state else None
    if device is None:
        return "not running"
    if device.failed:
        return "failed"
    return "ready" if device.servers else "not running"
