"""Rules about a Corosync or Pacemaker that is there already: what snow-ha did not make is never overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snowha.checks.catalogue import HEALTH, OF_HEALTH, found
from snowha.checks.facts import Facts, ServerFacts
from snowha.cluster import cib_merge, corosync_conf
from snowha.errors import InputError, SiteError
from snowha.health import cluster_health, definition_copies, lease_bypass, leases
from snowha.live import cluster
from snowha.site.model import Domain, Site
from snowha.site.rules import Finding

_CONF = "/etc/corosync/corosync.conf"
_LOOPBACK = ("127.", "::1")


def rules(
    site: Site, facts: Facts, names: Iterable[str] | None = None, configs: Iterable[Domain] | None = None
) -> Iterator[Finding]:
    """Corosync's configuration on each server, then Pacemaker's, once: it is the same on all. Then whether all is well.

    ``names``: of all domains that the cluster has, where not every config could be read. ``configs``: all, if not the site's.
    """
    for server in facts.answering:
        yield from _corosync(site, server)
    seen: set[tuple[str, str]] = set()
    for server in facts.answering:
        for finding in _cib(server):
            if (finding.code, finding.message) not in seen:
                seen.add((finding.code, finding.message))
                yield finding
    yield from _health(site, facts, names, site.domains if configs is None else configs)
    for one in definition_copies.evaluate(
        {server.name: server.definition for server in facts.answering}, facts.definition
    ):
        yield found(one.code, one.where, one.message, remedy=one.remedy, severity=OF_HEALTH[one.severity])


def _health(site: Site, facts: Facts, names: Iterable[str] | None, configs: Iterable[Domain]) -> Iterator[Finding]:
    """What `snow ha status` says, once the domains were handed to Pacemaker. No stop: `snow ha apply` is what brings a server
    back that is out of the cluster."""
    if not any(cib_merge.MARK.encode() in server.cib for server in facts.answering):
        return
    answers = {server.name: server.answer for server in facts.servers}
    state = cluster.chosen(server.state for server in facts.answering)
    judged = (
        *cluster_health.evaluate(cluster_health.wanted(site, names), answers, state),
        *leases.evaluate(leases.images_of(site), facts.leases, facts.records),
        *lease_bypass.evaluate(
            site,
            configs,
            {server.name: server.attachments for server in facts.answering},
            {server.name: {one.domid: name for name, one in server.running.items()} for server in facts.answering},
            facts.leases,
        ),
    )
    for finding in judged:
        if finding.code in HEALTH:
            severity = OF_HEALTH[finding.severity]
            yield found(finding.code, finding.where, finding.message, remedy=finding.remedy, severity=severity)


def _corosync(site: Site, server: ServerFacts) -> Iterator[Finding]:
    text = server.corosync_conf
    if text is None or text == corosync_conf.compose(site):
        return
    where = f"{server.name}:{_CONF}"
    try:
        root = corosync_conf.parse(text, where=where)
    except InputError as error:
        yield found("corosync-foreign", where, f"it cannot be read: {error.message}")
        return
    if is_packaged(root):
        return
    if server.is_active("corosync.service"):
        yield found("corosync-running", where, "corosync runs with a configuration that differs from ha.toml")
    elif not is_ours(text):
        names = [node.name or ", ".join(node.addresses) for node in corosync_conf.facts(root).nodes]
        yield found(
            "corosync-foreign",
            where,
            f"snow-ha did not write it: it is for a cluster of {', '.join(names) or 'servers that are not named in it'}",
        )


def is_ours(text: str) -> bool:
    """Whether a corosync.conf was written by us, for whatever ha.toml there was."""
    return text.startswith("# Written by snow-ha ")


def is_packaged(root: corosync_conf.Section) -> bool:
    """Whether it is the example that Debian's package installs: a cluster of one node on the loopback address.

    Older ones have no nodelist, and say so of the interface. A file without either, or with a network of its own to multicast in,
    is somebody's.
    """
    nodes = corosync_conf.facts(root).nodes
    addresses = [address for node in nodes for address in node.addresses]
    interfaces = tuple(root.one("totem").named("interface"))
    networks = [interface.get("bindnetaddr") for interface in interfaces]
    members = [member.get("memberaddr") for interface in interfaces for member in interface.named("member")]
    named = [*addresses, *(one for one in (*networks, *members) if one)]
    return len(nodes) <= 1 and bool(named) and all(name.startswith(_LOOPBACK) for name in named)


def _cib(server: ServerFacts) -> Iterator[Finding]:
    if not server.cib:
        return
    try:
        for finding in cib_merge.foreign(server.cib):
            yield found(finding.code, f"{server.name}, {finding.where}", finding.message, remedy=finding.remedy)
    except SiteError as error:
        yield found("cib-unreadable", server.name, error.message)
