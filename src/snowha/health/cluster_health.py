"""Whether a running site is well: one judgement for ``snow ha status``, ``snow ha check``, and what waits for a cluster.

Pure: from what Pacemaker says (``cluster/crm_mon.py``) and what every server answered to findings, the cause before what
follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from snowha.cluster import cib
from snowha.cluster.crm_mon import ClusterState, Link, Node, Resource
from snowha.health import fence_attempts, held_back
from snowha.health.catalogue import KINDS, SEVERITIES
from snowha.health.findings import CLUSTER, Finding, found
from snowha.site.model import Site
from snowha.site.names import agreed, listed


@dataclass(frozen=True)
class Wanted:
    """What the cluster must have: names of servers that have a fence device, domains, and whether there is a floating IP."""

    servers: tuple[str, ...]
    fenced: tuple[str, ...]
    domains: tuple[str, ...]
    floating_ip: bool


def wanted(site: Site, domains: Iterable[str] | None = None) -> Wanted:
    """Of a site. ``domains``: the names, where not every config could be read; else those of the site."""
    return Wanted(
        servers=tuple(server.name for server in site.servers),
        fenced=tuple(server.name for server in site.servers if server.fence),
        domains=tuple(domain.name for domain in site.domains) if domains is None else tuple(domains),
        floating_ip=site.floating_ip is not None,
    )


@dataclass(frozen=True)
class Answer:
    """What one server said of itself. ``trouble``: why it could not be asked; all the rest is empty then."""

    trouble: str = ""
    remedy: str = ""
    under_xen: bool = False
    running: frozenset[str] = frozenset()
    """Domains that its hypervisor has, alive."""
    quorate: bool | None = None
    """None where Corosync does not run."""
    links: tuple[Link, ...] = ()


def evaluate(wanted: Wanted, answers: Mapping[str, Answer], state: ClusterState | None) -> tuple[Finding, ...]:
    """Everything that is wrong, the worst first. ``state``: as a server with quorum sees the cluster, None without Pacemaker."""
    findings = [
        *(
            found("unreachable", name, f"{name}: {a.trouble}", remedy=a.remedy)
            for name, a in answers.items()
            if a.trouble
        ),
        *(of_cluster(state, but=wanted.domains) if state else _no_cluster(wanted, answers)),
        *_quorum(answers, state),
        *(_links(answers, state) if state else ()),
        *(_servers(wanted, answers, state) if state else ()),
        *(_missing(wanted, state) if state else ()),
        *(_unlisted(wanted, state) if state else ()),
        *(finding for name in wanted.domains for finding in _domain(name, answers, state)),
    ]
    if state is not None:
        findings = [held_back.explained(finding, state) for finding in findings]
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def is_alarm(findings: Iterable[Finding]) -> bool:
    """Whether somebody must act."""
    return any(finding.severity == "red" for finding in findings)


def unsettled(state: ClusterState) -> Finding | None:
    """What keeps Pacemaker from having everything running: what only a person can end before what may end by itself."""
    findings = [finding for finding in of_cluster(state) if finding.severity == "red"]
    for settling in ("refuse", "wait"):
        for finding in findings:
            if KINDS[finding.code].settling == settling:
                return finding
    return None


def held(state: ClusterState, resources: Collection[str], *, anywhere: bool = False) -> Finding | None:
    """Why Pacemaker would not move ``resources``, however long somebody waits for it; None if it would.

    ``anywhere``: any server will do for them, so one in maintenance holds only what is there.
    """
    places = {server for one in state.resources if one.id in resources for server in one.servers}
    for finding in of_cluster(state):
        about_another = state.resource(finding.where) is not None and finding.where not in resources
        if anywhere and state.node(finding.where) is not None and finding.where not in places:
            continue
        if KINDS[finding.code].settling == "refuse" and not about_another:
            return finding
    return None


def word(node: Node | None) -> str:
    """What a server is for Pacemaker, for a table: what counts most."""
    if node is None or not (node.online or node.unclean):
        return "offline"
    marks = ("unclean", "pending", "shutdown", "maintenance", "standby")
    return next((mark for mark in marks if getattr(node, mark)), "online")


# what Pacemaker says


def of_cluster(state: ClusterState, *, but: Collection[str] = ()) -> Iterator[Finding]:
    """What is wrong as Pacemaker sees it. ``but``: domains of which the hypervisors are asked whether and where they run."""
    if state.maintenance:
        message = "Pacemaker is in maintenance-mode: nothing is recovered"
        yield found("maintenance-mode", CLUSTER, message)
    if state.stops_everything:
        yield found("all-stopped", CLUSTER, "Pacemaker was told to stop everything (stop-all-resources)")
    if not state.fencing_enabled:
        yield found("fencing-disabled", CLUSTER, "fencing is switched off (stonith-enabled)")
    if not state.quorate:
        yield found("no-quorum", CLUSTER, "there is no quorum: Pacemaker starts nothing")
    for node in state.nodes:
        yield from _node(node, state)
    for resource in state.resources:
        yield from _device(resource, state) if resource.is_fencing else _resource(resource, state, but)
    yield from _failures(state)


def _node(node: Node, state: ClusterState) -> Iterator[Finding]:
    name = node.name
    attempts = fence_attempts.of(state, name)
    if node.unclean:
        remedy = fence_attempts.CONFIRM.format(server=name) if attempts.failed else ""
        yield found("server-unclean", name, f"{name} is lost and not fenced yet{attempts}", remedy=remedy)
        return
    if attempts.failed:
        yield found("fencing-failed", name, f"{name} could not be fenced{attempts}")
    match word(node):
        case "offline":
            yield found("server-out", name, f"{name} is out of the cluster")
        case "pending":
            yield found("server-pending", name, f"{name} is joining the cluster")
        case "shutdown":
            yield found("server-out", name, f"{name} is leaving the cluster")
        case "maintenance":
            yield found("server-maintenance", name, f"{name} is in maintenance: what runs there is not recovered")
        case "standby":
            yield found("server-standby", name, f"{name} is in standby: nothing runs there")


def _device(device: Resource, state: ClusterState) -> Iterator[Finding]:
    """A fence device. No server fences itself: if all others are lost or in standby, its device has nowhere to run."""
    may_run = any(node.online and not node.standby for node in state.nodes if device.id != cib.fence_id(node.name))
    if device.target_role.lower() == "stopped":
        remedy = f"crm_resource --resource={device.id} --meta --delete-parameter=target-role"
        yield found("fence-device", device.id, f"{device.id} was stopped on purpose", remedy=remedy)
    elif device.failed or device.blocked:
        yield found("fence-device", device.id, f"{device.id} has failed{_reason(device.id, state)}")
    elif not device.servers and may_run:
        yield found("fence-device", device.id, f"{device.id} runs on no server")
    if not device.managed and not _left_alone(device, state):
        yield found("resource-unmanaged", device.id, f"{device.id} is not managed by Pacemaker")


def _resource(resource: Resource, state: ClusterState, but: Collection[str]) -> Iterator[Finding]:
    name, where = resource.id, listed(resource.servers) or "no server"
    if resource.orphaned:
        yield found("resource-orphaned", name, f"{name} runs on {where}, but is no longer configured")
        return
    if resource.blocked:
        yield found(
            "resource-blocked", name, f"{name} is blocked: Pacemaker cannot start or stop it{_reason(name, state)}"
        )
    elif resource.failed:
        yield found("resource-failed", name, f"{name} has failed{_reason(name, state)}")
    if not resource.managed and not _left_alone(resource, state):
        yield found("resource-unmanaged", name, f"{name} is not managed by Pacemaker: it is not recovered")
    if name in but:
        return
    if len(resource.servers) > 1:
        yield found("resource-twice", name, f"{name} runs on {where}")
    elif resource.is_off_on_purpose and resource.is_domain:
        yield _off_on_purpose(name)
    elif not resource.servers and not (resource.failed or resource.blocked):
        yield _stopped(resource)


def _stopped(resource: Resource) -> Finding:
    name = resource.id
    if resource.is_off_on_purpose:
        remedy = f"crm_resource --resource={name} --meta --delete-parameter=target-role"
        return found("resource-stopped", name, f"{name} runs on no server: it was stopped on purpose", remedy=remedy)
    doing = f": it is {resource.task.lower()}" if resource.task else ""
    return found("resource-stopped", name, f"{name} runs on no server{doing}")


def _off_on_purpose(name: str) -> Finding:
    return found("off-on-purpose", name, f"{name} is off on purpose")


def _left_alone(resource: Resource, state: ClusterState) -> bool:
    """Whether it is not managed because nothing is, or nothing on its server: that is said once, and not of each."""
    kept = {node.name for node in state.nodes if node.maintenance}
    return state.maintenance or (bool(resource.servers) and set(resource.servers) <= kept)


def _reason(resource: str, state: ClusterState) -> str:
    said = [f"{one.task} on {one.server}: {one.reason}" for one in state.failures if one.resource == resource]
    return f" ({'; '.join(said)})" if said else ""


def _failures(state: ClusterState) -> Iterator[Finding]:
    """Of what runs again: of the others it is said with what is wrong now."""
    down = {resource.id for resource in state.resources if resource.failed or resource.blocked}
    for one in state.failures:
        if one.resource not in down:
            message = f"{one.task} of {one.resource} has failed on {one.server} ({one.when}): {one.reason}"
            yield found("failed-action", one.resource, message)


# what every server says


def _no_cluster(wanted: Wanted, answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """Of servers none of which answers it is not known."""
    if answers and all(answer.trouble for answer in answers.values()):
        return
    yield found("no-cluster", ", ".join(wanted.servers), "Pacemaker runs on no server that answers")


def _quorum(answers: Mapping[str, Answer], state: ClusterState | None) -> Iterator[Finding]:
    """Of a server that has none while the others have."""
    for name, answer in answers.items():
        if answer.quorate is False and (state is None or state.quorate):
            yield found("no-quorum", name, f"{name} has no quorum: Pacemaker starts nothing there")


def _links(answers: Mapping[str, Answer], state: ClusterState) -> Iterator[Finding]:
    """Between servers that are there: of one that is lost, or out, the links are down for that reason."""
    names = {node.id: node.name for node in state.nodes if node.id}
    gone = {node.name for node in state.nodes if not node.online} | {name for name, a in answers.items() if a.trouble}
    down: dict[tuple[int, frozenset[str]], None] = {}
    for name, answer in answers.items():
        for link in answer.links:
            for peer, said in link.peers:
                other = names.get(str(peer), f"node {peer}")
                if said != "connected" and not {name, other} & gone:
                    down[link.number, frozenset((name, other))] = None
    for number, pair in down:
        where = sorted(pair)
        yield found("link-lost", ", ".join(where), f"link {number} is down between {listed(where)}")


def _servers(wanted: Wanted, answers: Mapping[str, Answer], state: ClusterState) -> Iterator[Finding]:
    for name in wanted.servers:
        node, answer = state.node(name), answers.get(name, Answer(trouble="not asked"))
        if node is None:
            yield found("server-out", name, f"{name} is not in the cluster")
        elif word(node) != "offline" and not answer.trouble and not answer.under_xen:
            yield found("not-under-xen", name, f"{name} does not run under Xen, or its hypervisor does not answer")


def _missing(wanted: Wanted, state: ClusterState) -> Iterator[Finding]:
    names = [*(cib.fence_id(server) for server in wanted.fenced), *([cib.FLOATING_IP] if wanted.floating_ip else [])]
    for name in (*names, *wanted.domains):
        if state.resource(name) is None:
            yield found("not-managed", name, f"Pacemaker does not have {name}")


def _unlisted(wanted: Wanted, state: ClusterState) -> Iterator[Finding]:
    """Of one that runs and is configured no more it is said otherwise."""
    for one in state.resources:
        if not one.is_any_domain or one.orphaned or one.id in wanted.domains:
            continue
        name = one.id
        message = (
            f"Pacemaker has the domain {name} on {listed(one.servers) or 'no server'}, and ha.toml does not name it"
        )
        if one.is_own_domain:
            yield found("domain-unlisted", name, message)
            continue
        remedy = (
            "to have it taken over, take it out of Pacemaker as `snow ha check --explain cib-foreign-resources` says; write into "
            "ha.toml: [[domain]] and its name; then: snow ha apply, which is refused until then"
        )
        yield found("domain-unlisted", name, f"{message} ({one.agent})", remedy=remedy)


def _domain(name: str, answers: Mapping[str, Answer], state: ClusterState | None) -> Iterator[Finding]:
    """Whether and where the hypervisors run it, against what Pacemaker believes."""
    where = tuple(server for server, answer in answers.items() if name in answer.running)
    resource = state.resource(name) if state else None
    believed = resource.servers if resource else ()
    silent = [server for server, answer in answers.items() if answer.trouble]
    has_it = f"Pacemaker has it on {listed(believed) or 'no server'}"
    if len(where) > 1:
        yield found("runs-twice", name, f"{name} runs on {listed(where)} at once")
    elif where:
        if resource is None or set(believed) == set(where):
            return
        if resource.task == "Migrating":
            yield found("domain-moving", name, f"{name} is being moved: it is on {where[0]}, and {has_it}")
        else:
            yield found("domain-differs", name, f"{name} runs on {where[0]}, and {has_it}")
    elif resource is not None and resource.is_off_on_purpose:
        yield _off_on_purpose(name)
    elif silent and not set(believed) - set(silent):
        doing = f", and Pacemaker says: {resource.task.lower()}" if resource and resource.task else ""
        message = f"it is unknown whether {name} runs: {agreed(silent, 'does', 'do')} not answer{doing}"
        yield found("domain-unknown", name, message)
    elif believed:
        yield found("domain-differs", name, f"{name} runs on no server, and {has_it}")
    elif resource is None:
        remedy = "snow ha apply" if state else KINDS["no-cluster"].remedy
        yield replace(found("resource-stopped", name, f"{name} runs on no server", remedy=remedy), next="")
    elif not (resource.failed or resource.blocked or resource.orphaned):
        yield _stopped(resource)
