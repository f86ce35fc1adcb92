"""A well cluster as crm_mon 3.0 printed it, and what makes each finding of it: attributes as in Pacemaker's own schema
(xml/api/crm_mon-2.42.rng, resources-2.41.rng, nodes-2.41.rng). Domains deploy01 and slurm01 run on snow01, the others on snow02.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from snowha.cluster.crm_mon import ClusterState, Link, parse_crm_mon

RECORDED = Path(__file__).parents[1] / "cluster" / "recorded"
Change = Callable[[etree._Element], None]

WHERE = {"snow01": ("deploy01", "slurm01"), "snow02": ("proxy01", "slurm02")}
"""What the hypervisors run."""


def cluster(*changes: Change, of: str = "crm_mon-3.0-standby") -> ClusterState:
    """The recorded cluster, its standby ended, with ``changes``."""
    root = etree.fromstring((RECORDED / f"{of}.xml").read_bytes())
    for change in (node("snow02", standby="false"), *changes):
        change(root)
    return parse_crm_mon(etree.tostring(root))


def _set(element: etree._Element | None, attributes: Mapping[str, str]) -> None:
    assert element is not None
    for key, value in attributes.items():
        element.set(key, value)


def node(name: str, **attributes: str) -> Change:
    return lambda root: _set(root.find(f"nodes/node[@name='{name}']"), attributes)


def resource(name: str, *on: str, **attributes: str) -> Change:
    """Attributes, and the servers that it is on if any are given; ``nowhere`` for none."""

    def change(root: etree._Element) -> None:
        found = root.find(f"resources/resource[@id='{name}']")
        assert found is not None
        _set(found, attributes)
        for child in list(found) if on else ():
            found.remove(child)
        for server in on:
            if server != "nowhere":
                etree.SubElement(found, "node", {"name": server, "id": server[-1], "cached": "true"})

    return change


def options(**attributes: str) -> Change:
    return lambda root: _set(
        root.find("summary/cluster_options"), {key.replace("_", "-"): value for key, value in attributes.items()}
    )


def without_quorum(root: etree._Element) -> None:
    _set(root.find("summary/current_dc"), {"with_quorum": "false"})


def removed(name: str) -> Change:
    def change(root: etree._Element) -> None:
        found = root.find(f"resources/resource[@id='{name}']")
        assert found is not None
        found.getparent().remove(found)  # type: ignore[union-attr]

    return change


def added(name: str, agent: str, *on: str, **attributes: str) -> Change:
    """A resource that somebody else has configured: as deploy01 but for these."""

    def change(root: etree._Element) -> None:
        like = root.find("resources/resource[@id='deploy01']")
        assert like is not None
        made = deepcopy(like)
        like.addnext(made)
        made.set("id", name)
        made.set("resource_agent", agent)
        resource(name, *(on or ("snow01",)), **attributes)(root)

    return change


def failed(name: str, server: str, task: str, reason: str) -> Change:
    def change(root: etree._Element) -> None:
        failures = root.find("failures")
        if failures is None:
            failures = etree.SubElement(root, "failures")
        words = {
            "op_key": f"{name}_{task}_0",
            "node": server,
            "task": task,
            "exitstatus": "error",
            "exitreason": reason,
        }
        etree.SubElement(failures, "failure", {**words, "last-rc-change": "2026-11-24 10:56:53Z"})

    return change


def fenced(server: str, *attempts: str) -> Change:
    """Attempts to fence a server, the newest first: ``pending``, or a status and a time of day in UTC (``failed 10:12:01``)."""

    def change(root: etree._Element) -> None:
        words = {"target": server, "action": "reboot", "delegate": "snow01", "origin": "snow01", "client": "x"}
        history = etree.SubElement(root, "fence_history", {"status": "0"})
        for attempt in attempts:
            status, _, at = attempt.partition(" ")
            more = {"completed": f"2026-11-24 {at}.123456Z"} if at else {"extended-status": "2"}
            why = {"exit-reason": "Fence agent did not complete in time"} if status == "failed" else {}
            etree.SubElement(history, "fence_event", {**words, "status": status, **more, **why})

    return change


def stopped(name: str, **attributes: str) -> Change:
    return resource(name, "nowhere", role="Stopped", active="false", nodes_running_on="0", **attributes)


def everything_unmanaged(root: etree._Element) -> None:
    """What Pacemaker says of each resource in maintenance-mode."""
    for found in root.iterfind("resources/resource"):
        _set(found, {"managed": "false", "maintenance": "true"})


@dataclass(frozen=True)
class Case:
    """What is broken. ``state``: None where Pacemaker runs nowhere. The rest: what a server says that is not so when all is
    well."""

    state: ClusterState | None
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    bare: frozenset[str] = frozenset()
    """Servers that do not run under Xen."""


def links(number: str, second: str = "connected") -> tuple[Link, ...]:
    """Of the server with that number: what the two links to the other one are."""
    other = 2 if number == "1" else 1
    return (
        Link(0, f"192.168.8.{number}", ((other, "connected"),)),
        Link(1, f"10.0.0.{number}", ((other, second),)),
    )


CASES: dict[str, Case] = {
    "no-cluster": Case(None),
    "server-unclean": Case(cluster(node("snow02", online="false", unclean="true"))),
    "server-out": Case(cluster(node("snow02", online="false"), resource("fence-snow01", "nowhere"))),
    "server-pending": Case(cluster(node("snow02", pending="true"))),
    "server-standby": Case(cluster(node("snow02", standby="true"))),
    "server-maintenance": Case(cluster(node("snow01", maintenance="true"), resource("deploy01", managed="false"))),
    "not-under-xen": Case(cluster(), bare=frozenset({"snow02"})),
    "link-lost": Case(cluster(), links={"snow01": links("1", "disconnected"), "snow02": links("2", "disconnected")}),
    "maintenance-mode": Case(cluster(options(maintenance_mode="true"), everything_unmanaged)),
    "all-stopped": Case(cluster(options(stop_all_resources="true"))),
    "no-quorum": Case(cluster(without_quorum)),
    "fencing-disabled": Case(cluster(options(stonith_enabled="false"))),
    "fence-device": Case(cluster(stopped("fence-snow01"))),
    "fencing-failed": Case(cluster(fenced("snow02", "failed 10:12:01"))),
    "not-managed": Case(cluster(removed("slurm01"))),
    "domain-unlisted": Case(cluster(added("web01", "ocf:snow-ha:domain", "snow02"))),
    "resource-unmanaged": Case(cluster(resource("deploy01", managed="false"))),
    "resource-blocked": Case(cluster(resource("deploy01", blocked="true", failed="true"))),
    "resource-failed": Case(
        cluster(resource("deploy01", failed="true"), failed("deploy01", "snow01", "start", "no room"))
    ),
    "resource-stopped": Case(cluster(stopped("xsnow-vip"))),
    "resource-twice": Case(cluster(resource("xsnow-vip", "snow01", "snow02", nodes_running_on="2"))),
    "resource-orphaned": Case(cluster(resource("slurm01", orphaned="true"))),
    "failed-action": Case(cluster(failed("deploy01", "snow01", "monitor", "gone"))),
    "domain-differs": Case(cluster(), running={"snow01": ("deploy01",)}),
    "domain-moving": Case(
        cluster(resource("deploy01", pending="Migrating")),
        running={"snow01": ("slurm01",), "snow02": ("deploy01", "proxy01", "slurm02")},
    ),
    "off-on-purpose": Case(cluster(stopped("deploy01", target_role="Stopped")), running={"snow01": ("slurm01",)}),
}
"""By the code of the finding that it makes."""
