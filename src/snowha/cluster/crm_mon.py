"""What a running cluster says of itself: crm_mon(8), corosync-cfgtool(8), corosync-quorumtool(8).

Attributes and lines that are not known are ignored: every release adds some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lxml import etree

from snowha.cluster import cib
from snowha.errors import SiteError

_YES = ("true", "1", "yes")
_DOMAIN_AGENTS = (f"ocf:{':'.join(cib.DOMAIN_AGENT)}", "ocf:heartbeat:Xen")
"""Ours, and the one that a cluster has until ours takes over."""
_OTHER_AGENTS = ("ocf:heartbeat:VirtualDomain",)
"""Of resource-agents: it runs domains through libvirt. Its resources need not be called as their domains."""


@dataclass(frozen=True)
class Node:
    """A server as Pacemaker sees it."""

    name: str
    online: bool
    standby: bool
    maintenance: bool
    unclean: bool
    """Lost, and not fenced yet: nothing of it is recovered before that."""
    pending: bool
    """On its way into the cluster, or stuck there."""
    shutdown: bool
    """It was asked to leave."""
    id: str = ""
    """Corosync's node id."""

    @property
    def is_usable(self) -> bool:
        """Whether Pacemaker would start something on it."""
        return self.online and not (self.standby or self.maintenance or self.unclean or self.pending or self.shutdown)


@dataclass(frozen=True)
class Resource:
    """A primitive, wherever it stands (alone, in a group, in a clone)."""

    id: str
    agent: str
    """``ocf:snow-ha:domain``; pacemaker 1.1 wrote it with two colons in front."""
    role: str
    """``Started``, ``Stopped``, ``Starting``, ``Migrating``…: the task that is going on, where there is one."""
    servers: tuple[str, ...]
    managed: bool
    failed: bool
    orphaned: bool
    """Runs, and is not configured any more."""
    blocked: bool
    """Pacemaker does nothing with it any more: a stop failed and could not be made good by fencing, say."""
    target_role: str = ""
    """What an administrator wants it to be (meta attribute target-role); empty where nobody said."""
    task: str = ""
    """What Pacemaker is doing with it just now: ``Starting``, ``Migrating``…; empty if nothing."""

    @property
    def is_fencing(self) -> bool:
        return self.agent.startswith("stonith:")

    @property
    def is_domain(self) -> bool:
        return self.agent in _DOMAIN_AGENTS

    @property
    def is_own_domain(self) -> bool:
        """Run by our own agent: a configuration of ours has it, or had it."""
        return self.agent == _DOMAIN_AGENTS[0]

    @property
    def is_any_domain(self) -> bool:
        """Run by any agent that runs domains of Xen, whoever has configured it."""
        return self.is_domain or self.agent in _OTHER_AGENTS

    @property
    def is_off_on_purpose(self) -> bool:
        return self.target_role.lower() == "stopped" and not self.servers


@dataclass(frozen=True)
class Failure:
    """An action that failed and was not cleaned up or forgotten yet."""

    resource: str
    server: str
    task: str
    reason: str
    when: str


@dataclass(frozen=True)
class FenceEvent:
    """One attempt to fence a server. ``status``: ``success``, ``failed`` or ``pending``."""

    server: str
    action: str
    status: str
    by: str
    completed: str
    """Empty while it is pending. By the clock, and in the time zone, of the server that was asked."""
    reason: str = ""


@dataclass(frozen=True)
class ClusterState:
    """The cluster as the node asked sees it."""

    quorate: bool
    dc: str
    """Empty while there is none."""
    version: str
    nodes: tuple[Node, ...]
    resources: tuple[Resource, ...]
    failures: tuple[Failure, ...]
    fencing: tuple[FenceEvent, ...]
    """What is pending first, then the newest first (Pacemaker lib/fencing/st_client.c, stonith__sort_history)."""
    maintenance: bool
    """The whole cluster is left alone (property maintenance-mode)."""
    fencing_enabled: bool = True
    stops_everything: bool = False
    """Property stop-all-resources."""
    asked: str = ""
    """When the server that was asked answered, by its own clock."""

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def resource(self, name: str) -> Resource | None:
        return next((resource for resource in self.resources if resource.id == name), None)

    def is_online(self, name: str) -> bool:
        """A member that Pacemaker can talk to, not lost and not on its way in; it may be in standby."""
        node = self.node(name)
        return node is not None and node.online and not (node.unclean or node.pending)


@dataclass(frozen=True)
class Link:
    """One knet link as the server asked sees it. ``peers``: node id → ``connected`` or ``disconnected``."""

    number: int
    address: str
    peers: tuple[tuple[int, str], ...]

    @property
    def connected(self) -> bool:
        """To every other server; false when no other is listed."""
        return bool(self.peers) and all(status == "connected" for _, status in self.peers)


@dataclass(frozen=True)
class Member:
    nodeid: int
    votes: int
    name: str


@dataclass(frozen=True)
class Quorum:
    quorate: bool
    expected_votes: int
    total_votes: int
    flags: frozenset[str]
    """``2Node``, ``Quorate``, ``WaitForAll``, ``Qdevice``…"""
    members: tuple[Member, ...]
    needed: int = 0
    """Votes that it takes; 0 where it is not said."""

    @property
    def bears_a_loss(self) -> bool:
        """Whether there is still quorum when one server more is lost. With the two flags votequorum(5) counts otherwise."""
        if not self.needed or self.flags & {"LastManStanding", "AutoTieBreaker"}:
            return self.quorate
        return self.total_votes - 1 >= self.needed


def parse_crm_mon(text: str | bytes) -> ClusterState:
    """``crm_mon -1 --inactive --output-as=xml`` of Pacemaker 2.1 or 3.0. Raises SiteError if it is not that."""
    try:
        root = etree.fromstring(text if isinstance(text, bytes) else text.encode())
    except etree.XMLSyntaxError as error:
        raise SiteError(
            f"crm_mon did not answer in XML: {error}", remedy="is Pacemaker running there? systemctl status pacemaker"
        ) from error
    if root.find("summary") is None:
        # Pacemaker 2.1.5 can say code="0" and have seen nothing: what counts is whether there is an answer.
        said = "; ".join(error.text or "" for error in root.findall("status/errors/error"))
        raise SiteError(
            f"crm_mon cannot see the cluster: {said or 'no reason given'}",
            remedy="is Pacemaker running there? systemctl status pacemaker",
        )
    dc = root.find("summary/current_dc")
    options = root.find("summary/cluster_options")
    return ClusterState(
        quorate=_true(dc, "with_quorum"),
        dc=_text(dc, "name"),
        version=_text(dc, "version"),
        nodes=tuple(_node(node) for node in root.findall("nodes/node")),
        resources=tuple(_resources(root)),
        failures=tuple(_failure(failure) for failure in root.findall("failures/failure")),
        fencing=tuple(_fence_event(event) for event in root.findall("fence_history/fence_event")),
        maintenance=_true(options, "maintenance-mode"),
        # the newer name first (xml/api/crm_mon-2.42.rng); on is what Pacemaker takes if neither is set
        fencing_enabled=(_text(options, "fencing-enabled") or _text(options, "stonith-enabled") or "true") in _YES,
        stops_everything=_true(options, "stop-all-resources"),
        asked=_text(root.find("summary/last_update"), "time"),
    )


def parse_links(text: str) -> tuple[Link, ...]:
    """``corosync-cfgtool -s`` of corosync 3.1 with knet (tools/corosync-cfgtool.c). Empty if it says of no link.

    A cluster of one server shows one link only, however many there are (corosync-cfgtool(8)).
    """
    links: list[Link] = []
    for line in text.splitlines():
        if match := re.match(r"\s*(?:LINK|RING) ID (\d+)\b", line):
            links.append(Link(int(match[1]), "", ()))
        elif links and (match := re.match(r"\s*(?:addr|id)\s*=\s*(\S+)", line)):
            links[-1] = Link(links[-1].number, match[1], links[-1].peers)
        elif links and (match := re.match(r"\s*nodeid:?\s*(\d+):\s*(\S.*?)\s*$", line)) and match[2] != "localhost":
            last = links[-1]
            links[-1] = Link(last.number, last.address, (*last.peers, (int(match[1]), match[2])))
    return tuple(links)


def parse_quorum(text: str) -> Quorum:
    """``corosync-quorumtool -s`` (tools/corosync-quorumtool.c). Raises SiteError if it is not that.

    The tool exits with 2 where there is no quorum, and says all of this all the same.
    """
    facts = dict(re.findall(r"^([A-Z][A-Za-z ]+?):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
    if "Quorate" not in facts:
        raise SiteError(
            "corosync-quorumtool did not report whether there is quorum",
            remedy="is Corosync running there? systemctl status corosync",
        )
    _, _, membership = text.partition("Membership information")
    # Nodeid, votes, what the quorum device says where there is one, name. The device itself is listed with node id 0.
    rows = re.findall(
        r"^\s*(\d+)\s+(\d+)\s+(?:(?:N?A,N?V,N?MW|NR)\s+)?(\S+)(?:\s+\(local\))?\s*$", membership, re.MULTILINE
    )
    return Quorum(
        quorate=facts["Quorate"] == "Yes",
        expected_votes=_int(facts.get("Expected votes")),
        total_votes=_int(facts.get("Total votes")),
        flags=frozenset(facts.get("Flags", "").split()),
        members=tuple(Member(int(nodeid), int(votes), name) for nodeid, votes, name in rows if int(nodeid)),
        needed=_int(facts.get("Quorum", "").partition(" ")[0]),
    )


def _node(node: etree._Element) -> Node:
    return Node(
        name=_text(node, "name"),
        online=_true(node, "online"),
        standby=_true(node, "standby") or _true(node, "standby_onfail"),
        maintenance=_true(node, "maintenance"),
        unclean=_true(node, "unclean"),
        pending=_true(node, "pending"),
        shutdown=_true(node, "shutdown"),
        id=_text(node, "id"),
    )


def _resources(root: etree._Element) -> Iterator[Resource]:
    """Each once: with --group-by-node a resource stands under every node that has it."""
    seen: dict[str, Resource] = {}
    for element in root.iterfind(".//resource"):
        resource = _resource(element)
        known = seen.get(resource.id)
        if known is not None:
            resource = replace(
                resource,
                servers=tuple(dict.fromkeys((*known.servers, *resource.servers))),
                managed=resource.managed and known.managed,
                failed=resource.failed or known.failed,
            )
        seen[resource.id] = resource
    yield from seen.values()


def _resource(element: etree._Element) -> Resource:
    return Resource(
        id=_text(element, "id"),
        agent=_text(element, "resource_agent").replace("::", ":"),
        # What Pacemaker is doing with it just now says more than the role it had before.
        role=_text(element, "pending") or _text(element, "role"),
        servers=tuple(_text(node, "name") for node in element.findall("node")),
        managed=_true(element, "managed"),
        failed=_true(element, "failed"),
        orphaned=_true(element, "orphaned") or _true(element, "removed"),  # its newer name (resources-2.41.rng)
        blocked=_true(element, "blocked"),
        target_role=_text(element, "target_role"),
        task=_text(element, "pending"),
    )


def _failure(failure: etree._Element) -> Failure:
    key = _text(failure, "op_key") or _text(failure, "id")
    task = _text(failure, "task")
    # RESOURCE_TASK_INTERVALms: the only place that names the resource.
    name = re.sub(rf"_{re.escape(task)}_\d+$", "", key) if task else key.rsplit("_", 2)[0]
    return Failure(
        resource=name,
        server=_text(failure, "node"),
        task=task,
        reason=_text(failure, "exitreason") or _text(failure, "exitstatus") or _text(failure, "status"),
        when=_text(failure, "last-rc-change"),
    )


def _fence_event(event: etree._Element) -> FenceEvent:
    return FenceEvent(
        server=_text(event, "target"),
        action=_text(event, "action"),
        status=_text(event, "status"),
        by=_text(event, "delegate"),
        completed=_text(event, "completed"),
        reason=_text(event, "exit-reason"),
    )


def _text(element: etree._Element | None, key: str) -> str:
    return element.get(key, "") if element is not None else ""


def _true(element: etree._Element | None, key: str) -> bool:
    return _text(element, key) in _YES


def _int(text: str | None) -> int:
    match = re.match(r"\d+", text or "")
    return int(match[0]) if match else 0
