"""``snow stop site``: everything shut down for work on the storage: domains, Pacemaker, Corosync. The servers stay on.

The domains are stopped by one property of Pacemaker's, which stays in its configuration: nothing is started again before
`snow start site` has taken it back, whoever starts Pacemaker, and what is to run afterwards is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from snowha.cluster import cib, cib_overrides
from snowha.errors import SiteError
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import cluster, services
from snowha.live.context import SiteContext
from snowha.operations import domain_state, power
from snowha.operations.domain_state import Servers
from snowha.plan.step import Reporter, Step
from snowha.site.model import Domain
from snowha.site.names import agreed

_DOMAIN_S = 260
"""Seconds for each domain: its stop timeout in the cluster's configuration (``cib.Options.stop_s``), and what xl takes."""


def steps(context: SiteContext, servers: Servers, domains: Sequence[Domain], *, timeout: float) -> list[Step]:
    """``domains``: every one that has a config. ``timeout``: seconds for each that Pacemaker does not have."""
    state = cluster.cluster_state(context.hosts)
    has = {one.id for one in state.resources} if state else set()
    running = cluster.domain_locations(context.hosts)
    unmanaged = [domain for domain in reversed(domains) if domain.name in running and domain.name not in has]
    by_hand = [power.step(servers, domain, "shutdown", timeout=timeout) for domain in unmanaged]
    before = tuple(step.id for step in by_hand)
    return [
        *by_hand,
        Step(
            id="stop.domains",
            title="Shut every domain down, the last one of ha.toml first",
            section="domains",
            check=partial(_not_down, context),
            apply=partial(_shut_down, context),
            needs=before,
            interrupts=tuple(domain.name for domain in (*context.site.domains, *unmanaged)),
        ),
        _stopped(context, "pacemaker", "Pacemaker", after="stop.domains"),
        _stopped(context, "corosync", "Corosync", after="stop.pacemaker"),
    ]


def _stopped(context: SiteContext, unit: str, name: str, *, after: str) -> Step:
    return Step(
        id=f"stop.{unit}",
        title=f"Stop {name} on every server",
        section="cluster",
        check=partial(services.active, context, unit),
        apply=partial(services.stop, context, unit),
        needs=(after,),
    )


def _not_down(context: SiteContext) -> str | None:
    running = list(cluster.domain_locations(context.hosts))
    if running:
        return agreed(running, "runs", "run")
    state = cluster.cluster_state(context.hosts)
    if state is None:
        return services.active(context, "pacemaker")  # it runs, and would start what it does not show
    if not state.stops_everything:
        return "Pacemaker would start the domains again"
    active = [one.id for one in state.resources if one.servers and not one.is_fencing]
    if active:
        return f"{agreed(active, 'is', 'are')} active"
    return domain_state.images_in_use(context.hosts, context.site.domains)


def _shut_down(context: SiteContext, reporter: Reporter) -> None:
    hosts = context.hosts
    member = cluster.any_member(hosts)
    state = cluster.state_from(member)
    if state is None or not state.quorate:
        raise SiteError("there is no quorum: Pacemaker stops nothing in order", remedy="see `snow ha status`")
    order = [domain.name for domain in reversed(context.site.domains)]
    if not state.stops_everything:  # else an earlier run was interrupted
        cluster.refuse_if_held(state, [one.id for one in state.resources])
        active = [name for name in order if cluster.servers_of(state, name)]
        _commit_order(context, active)
        reporter.say("telling Pacemaker to stop everything")
        text = cib_overrides.stopping(datetime.now(UTC))
        member.run(["cibadmin", "--create", "--scope=crm_config", f"--xml-text={text}"])
    _wait(context, reporter, len(order))


def _commit_order(context: SiteContext, active: Sequence[str]) -> None:
    """Before the rest: by itself it stops nothing. The fence devices last, since a server may have to be fenced until then."""
    member = cluster.any_member(context.hosts)
    forget_order(context)
    resources = [*active, *(cib.fence_id(server.name) for server in context.site.servers)]
    words = ["cibadmin", "--create", "--scope=constraints", f"--xml-text={cib_overrides.stop_order(resources)}"]
    member.run(words)


def forget_order(context: SiteContext) -> None:
    """Take the order of a stop out of the configuration, if one is there."""
    words = ["cibadmin", "--delete", "--scope=constraints", f'--xml-text=<rsc_order id="{cib_overrides.STOP_ORDER}"/>']
    cluster.any_member(context.hosts).run(words, check=False)


def _wait(context: SiteContext, reporter: Reporter, domains: int) -> None:
    def down() -> bool:
        state = cluster.cluster_state(context.hosts)
        blocked = [one.id for one in state.resources if one.blocked] if state else []
        if blocked:
            raise SiteError(f"Pacemaker cannot stop {', '.join(blocked)}", remedy="see `snow ha status`")
        missing = _not_down(context)
        if missing:
            raise NotYet(missing)
        return True

    wait_for(
        down,
        timeout=120 + _DOMAIN_S * domains,
        what="every domain to be off and its images free",
        interval=cluster.POLL_INTERVAL_S,
        sparing=True,
        report=reporter.wait,
        remedy="`snow list domains` shows which runs; check its console: snow console DOMAIN. Then run this again",
    )
