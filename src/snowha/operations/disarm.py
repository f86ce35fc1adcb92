"""A cluster that leaves everything alone and fences nobody, for work on the network, and back.

While it is disarmed nothing is started anywhere: a server that the others do not see may go on running its domains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from snowha.cluster import cib_facts, cib_overrides
from snowha.cluster.crm_mon import ClusterState
from snowha.errors import SiteError
from snowha.health import cluster_health
from snowha.health.findings import CLUSTER, Finding, found
from snowha.hosts.host import Host
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import cluster
from snowha.plan.step import Reporter, Step

_CODES = ("maintenance-mode", "fencing-disabled")
_MEMBER = ("online", "standby", "maintenance")


def since(host: Host) -> datetime | None:
    """Since when the cluster is disarmed, as ``host`` knows; None if it is not."""
    return min(_sets(host).values(), default=None)


def explained(findings: Iterable[Finding], since: datetime | None, now: datetime | None = None) -> tuple[Finding, ...]:
    """Findings with what follows from being disarmed said once, with how long; as they are if ``since`` is None."""
    if since is None:
        return tuple(findings)
    lasts = _duration(((now or datetime.now(UTC)) - since).total_seconds())
    message = (
        f"the cluster has been disarmed since {since:%Y-%m-%d %H:%M} UTC ({lasts}): nothing is recovered or fenced"
    )
    rest = (finding for finding in findings if finding.code not in _CODES)
    return (found("maintenance-mode", CLUSTER, message, remedy="when the work is done: snow arm"), *rest)


def disarm(hosts: cluster.Hosts) -> Step:
    """The step that disarms the cluster."""
    return Step(
        id="cluster.disarm",
        title="Suspend recovery and fencing",
        section="cluster",
        check=partial(_not_disarmed, hosts),
        apply=partial(_disarm, hosts),
    )


def arm(hosts: cluster.Hosts, servers: Iterable[str], fenced: Collection[str] = ()) -> Step:
    """The step that ends it. ``servers``: those of the site, each of which must be in the cluster before; or is it one of
    ``fenced``, which must be out of it: Pacemaker fences them then, and starts what they ran elsewhere. ``hosts``: without
    these, which need not answer."""
    return Step(
        id="cluster.arm",
        title="Resume recovery and fencing",
        section="cluster",
        check=partial(_not_armed, hosts),
        apply=partial(_arm, hosts, tuple(servers), frozenset(fenced)),
    )


def obstacle(
    state: ClusterState,
    servers: Iterable[str],
    places: Mapping[str, tuple[str, ...]],
    fenced: Collection[str] = (),
) -> SiteError | None:
    """Why it must not be armed now: a server would be fenced that is none of ``fenced``, or a domain started a second time.

    ``places``: of every domain that any hypervisor runs; what those of ``fenced`` run ends. Pure.
    """
    for server in servers:
        word = cluster_health.word(state.node(server))
        if server in fenced and word in _MEMBER:
            return _stays(f"{server} is in the cluster ({word}): nothing would fence it", f"leave out --fence {server}")
        if server not in fenced and word not in _MEMBER:
            remedy = f"bring it back, or, if it is lost: snow arm --fence {server}, which cuts its power"
            return _stays(f"{server} is not in the cluster ({word}): it would be fenced", remedy)
    if not state.quorate:
        return _stays("there is no quorum: what runs would be stopped")
    stay = {name: [server for server in where if server not in fenced] for name, where in places.items()}
    for name, where in stay.items():
        if len(where) > 1:
            return _stays(f"{name} runs on {' and '.join(where)} at once")
    for resource in state.resources:
        where, has = stay.get(resource.id, []), [server for server in resource.servers if server not in fenced]
        if resource.is_domain and set(has) != set(where):
            said = " and ".join(has) or "no server"
            return _stays(f"{resource.id} runs on {' and '.join(where) or 'no server'}, but Pacemaker has it on {said}")
    return None


def _not_disarmed(hosts: cluster.Hosts) -> str | None:
    state = cluster.cluster_state(hosts)
    if state is None:
        return "Pacemaker does not run"
    return None if state.maintenance and not state.fencing_enabled else "recovery and fencing are active"


def _disarm(hosts: cluster.Hosts, reporter: Reporter) -> None:
    host = cluster.any_member(hosts)
    if not _sets(host):
        words = [
            "cibadmin",
            "--create",
            "--scope=crm_config",
            f"--xml-text={cib_overrides.disarming(datetime.now(UTC))}",
        ]
        host.run(words)
    _wait(lambda: _not_disarmed(hosts) is None, "the cluster to be disarmed", reporter)


def _not_armed(hosts: cluster.Hosts) -> str | None:
    state = cluster.cluster_state(hosts)
    if state is None:
        return "Pacemaker does not run"
    if state.maintenance or not state.fencing_enabled:
        return "Pacemaker leaves everything alone" if state.maintenance else "fencing is switched off"
    return None


def _stays(reason: str, remedy: str = "correct that first; see `snow ha status`") -> SiteError:
    return SiteError(f"the cluster stays disarmed: {reason}", remedy=remedy)


def _arm(hosts: cluster.Hosts, servers: tuple[str, ...], fenced: frozenset[str], reporter: Reporter) -> None:
    host = cluster.any_member(hosts)
    sets = _sets(host)
    if not sets:
        raise SiteError(
            "it was not `snow disarm` that set maintenance-mode or switched fencing off",
            remedy="see `snow ha status` for what to type",
        )
    reporter.say("letting Pacemaker check where everything runs")
    host.run(["crm_resource", "--refresh"], timeout=120)  # in maintenance-mode it looks, and does no more
    cluster.wait_until_idle(hosts, reporter)
    state = cluster.cluster_state(hosts)
    hindered = (
        obstacle(state, servers, cluster.domain_locations(hosts), fenced) if state else _stays("Pacemaker does not run")
    )
    if hindered:
        raise hindered
    for name in sets:
        host.run(["cibadmin", "--delete", "--scope=crm_config", f'--xml-text=<cluster_property_set id="{name}"/>'])
    _wait(lambda: _not_armed(hosts) is None, "recovery and fencing to be active", reporter)
    if fenced:
        _wait_until_fenced(hosts, fenced, reporter)
    cluster.wait_until_idle(hosts, reporter)


def _wait_until_fenced(hosts: cluster.Hosts, fenced: frozenset[str], reporter: Reporter) -> None:
    """Until Pacemaker holds none of ``fenced`` for unclean any more. It starts nothing of theirs before."""

    def proven_off() -> bool | None:
        state = cluster.cluster_state(hosts)
        unclean = [name for name in sorted(fenced) if state and (node := state.node(name)) and node.unclean]
        if state is None or unclean:
            raise NotYet(f"{' and '.join(unclean)} is not fenced" if unclean else "Pacemaker does not run")
        return True

    wait_for(
        proven_off,
        timeout=300,
        what=f"Pacemaker to fence {' and '.join(sorted(fenced))}",
        interval=2,
        report=reporter.wait,
        remedy="recovery and fencing are active; `snow ha status` says why fencing fails and what to type",
    )


def _sets(host: Host) -> dict[str, datetime]:
    return cib_facts.disarmed_since(cluster.configuration(host))


def _wait(condition: Callable[[], bool], what: str, reporter: Reporter) -> None:
    wait_for(
        lambda: condition() or None,
        timeout=60,
        what=what,
        interval=2,
        report=reporter.wait,
        remedy="another setting may override it: crm_attribute --type=crm_config --name=maintenance-mode --query",
    )


def _duration(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes // 1440} days"
