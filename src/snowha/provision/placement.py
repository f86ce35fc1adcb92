"""Service placement (guide: "Service placement"): domains spread by memory, pairs apart.

The guide prefers servers with score INFINITY under the names that ``crm_resource --move`` uses. Here the preferences are
finite, below stickiness and under names of their own (they are part of the committed configuration): a server that comes
back half broken draws nothing to it. So the first spreading is done by moving.
"""

from __future__ import annotations

from functools import partial

from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter, Step
from snowha.provision.pacemaker import planned
from snowha.provision.proofs import proving_migrations


def steps(context: SiteContext) -> list[Step]:
    """One step: where each domain runs. After the proofs: they empty every server once, and move what is left to be proven."""
    return [
        Step(
            id="placement.spread",
            title="Spread the domains over the servers, with anti-affinity",
            section="placement",
            check=partial(_missing, context),
            apply=partial(_spread, context),
            needs=("proofs.migration",),
            uses=("placement",),
            interrupts=tuple(domain.name for domain in context.site.domains),
        )
    ]


def misplaced(context: SiteContext) -> dict[str, str]:
    """Domains that share a server with one they must not, or that none of a server's are on; with where they belong."""
    where = cluster.domain_locations(context.hosts)
    plan = planned(context)
    now = {name: servers[0] for name, servers in where.items() if name in plan and len(servers) == 1}
    together = any(
        len({now[name] for name in group if name in now}) < min(len([n for n in group if n in now]), len(context.hosts))
        for group in context.site.apart
    )
    idle = set(context.hosts) - set(now.values()) if len(now) >= len(context.hosts) else set()
    if not together and not idle:
        return {}
    return {name: server for name, server in plan.items() if name in where and now.get(name) != server}


def _missing(context: SiteContext) -> str | None:
    wrong = misplaced(context)
    if wrong:
        return ", ".join(f"{name} belongs on {server}" for name, server in wrong.items())
    return cluster.interrupted_move(context.hosts, [domain.name for domain in context.site.domains])


def _spread(context: SiteContext, reporter: Reporter) -> None:
    wanted = misplaced(context)
    if wanted:
        with proving_migrations(context, reporter):
            cluster.move(context.hosts, wanted, reporter)
    cluster.finish_moves(context.hosts, reporter)
    cluster.wait_until_settled(context.hosts, reporter)
