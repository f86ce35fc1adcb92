"""Steps that move domains between the servers of a running cluster: one domain, a server drained or taken back, load balanced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from snowha.cluster import cib_facts
from snowha.errors import LostLockError, ProofError, SiteError, SnowError
from snowha.health import cluster_health, leases
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.wait import wait_for
from snowha.live import cluster
from snowha.operations.move_plan import Move, helps_to_restart, refusal
from snowha.operations.placement_state import PlacementState
from snowha.plan.step import Reporter, Step
from snowha.site.model import Domain
from snowha.xen import xl
from snowha.xen.leases import migration_of


def placement_state(
    hosts: cluster.Hosts, domains: Mapping[str, Domain], apart: tuple[tuple[str, ...], ...]
) -> PlacementState:
    """Ask the servers that answer. Raises SiteError where Pacemaker does not run."""
    member = cluster.any_member(hosts)
    state = cluster.state_from(member)
    if state is None:
        raise SiteError("Pacemaker has just stopped", where=member.name, remedy="see `snow status`")
    cib = cluster.configuration(member)
    hypervisors = each(list(hosts.values()), xl.hypervisor)
    running = cluster.running(hosts)
    attached = each(list(hosts.values()), leases.ask)
    dead = {one.domain for answer in attached.values() if answer for one in answer.attached if not one.holder_lives}
    return PlacementState(
        cluster=state,
        running=running,
        hypervisors={name: one for name, one in hypervisors.items() if one is not None},
        domains=domains,
        live=cib_facts.live_migratable(cib),
        apart=apart,
        without_holder=frozenset(dead - {""}),
    )


class Mover:
    """Moves on one site. ``hosts``: the servers that answer."""

    def __init__(
        self,
        hosts: cluster.Hosts,
        domains: Mapping[str, Domain],
        apart: tuple[tuple[str, ...], ...],
        *,
        timeout: float,
        restart: bool = False,
    ) -> None:
        self.hosts = hosts
        self.domains = domains
        self.apart = apart
        self.timeout = timeout
        self.restart = restart

    def placement_state(self) -> PlacementState:
        return placement_state(self.hosts, self.domains, self.apart)

    def move(self, name: str, target: str, *, after: Sequence[str] = ()) -> Step:
        """A domain moved to ``target``, live. It answers then, and no constraint is left of it. ``after``: steps before it."""
        return Step(
            id=f"move.{name}",
            title=f"Move {name} to {target}",
            section="domains",
            check=partial(self._not_there, name, target),
            apply=partial(self._move, name, target),
            needs=tuple(after),
            interrupts=(name,),
        )

    def all(self, moves: Sequence[Move]) -> list[Step]:
        """One after the other: Pacemaker does no two live migrations at once, and a failure ends it."""
        steps: list[Step] = []
        for move in moves:
            steps.append(self.move(move.domain, move.target, after=[step.id for step in steps[-1:]]))
        return steps

    def drain(self, server: str, moves: Sequence[Move]) -> list[Step]:
        """The moves, then the server in standby: nothing is started there any more."""
        steps = self.all(moves)
        steps.append(
            Step(
                id=f"drain.{server}",
                title=f"Put {server} in standby",
                section="cluster",
                check=partial(self._not_drained, server),
                apply=lambda reporter: cluster.drain(self.hosts, server, reporter, timeout=self.timeout),
                needs=tuple(step.id for step in steps[-1:]),
            )
        )
        return steps

    def undrain(self, server: str) -> Step:
        """What runs elsewhere stays there."""
        return Step(
            id=f"undrain.{server}",
            title=f"End the standby of {server}",
            section="cluster",
            check=partial(self._not_usable, server),
            apply=partial(self._undrain, server),
        )

    def _move(self, name: str, target: str, reporter: Reporter) -> None:
        placement = self.placement_state()
        reason = refusal(placement, name, target, restart=self.restart) if placement.places(name) != (target,) else None
        if placement.cluster.resource(name) is None:
            reason = "Pacemaker does not have it"
        if reason:
            restarted = (
                "; to restart it there instead: --restart" if helps_to_restart(placement, {name: target}) else ""
            )
            raise SiteError(f"{name} is not moved to {target}: {reason}", remedy=f"see `snow list servers`{restarted}")
        before = self._identity(name)
        sources = [self.hosts[server] for server in placement.places(name) if server != target]
        domain = self.domains.get(name)
        asking = next((host for server, host in self.hosts.items() if server != target), self.hosts[target])
        # a domain that answers no ping has arrived as well
        answering = [address for address in (domain.addresses if domain else ()) if cluster.answers(asking, address)]
        cluster.move(
            self.hosts, {name: target}, reporter, timeout=self.timeout, how_far=partial(_how_far, sources, name)
        )
        cluster.wait_for_answers(asking, name, answering, reporter, timeout=120)
        if not self.restart and not (self._identity(name) == before and self._arrived_live(name, target)):
            raise ProofError(
                f"{name} was restarted on {target} instead of being live-migrated",
                where=target,
                remedy=f"see why: snow show domain {name}",
            )

    def _arrived_live(self, name: str, target: str) -> bool:
        """Of a domain whose config gives it a UUID, which each start gives it again; of another one its UUID says so."""
        if not (domain := self.domains.get(name)) or not domain.uuid:
            return True
        return cluster.arrived_live(self.hosts, name, target)

    def _identity(self, name: str) -> str:
        """Its UUID, which a live migration keeps."""
        under_xen = [host for host in self.hosts.values() if xl.is_under_xen(host)]
        return next((found[name] for host in under_xen if name in (found := xl.uuids(host))), "")

    def _not_there(self, name: str, target: str) -> str | None:
        here = cluster.domain_locations(self.hosts).get(name, ())
        if here != (target,):
            return f"it runs on {' and '.join(here) or 'no server'}"
        state = cluster.cluster_state(self.hosts)
        believed = cluster.servers_of(state, name) if state else ()
        if believed != (target,):
            return f"Pacemaker has it on {' and '.join(believed) or 'no server'}"
        cib = cluster.configuration(cluster.any_member(self.hosts))
        return "the constraint of a move is left" if name in cib_facts.left_by_moves(cib) else None

    def _not_drained(self, server: str) -> str | None:
        state = cluster.cluster_state(self.hosts)
        if state is None or not cluster.is_standby(state, server):
            return "it is not in standby"
        left = sorted(cluster.running({server: self.hosts[server]}).get(server, {})) if server in self.hosts else []
        return f"{', '.join(left)} still there" if left else None

    def _not_usable(self, server: str) -> str | None:
        """Raises SiteError for a server that is out for another reason: to end its standby would not change that."""
        state = cluster.cluster_state(self.hosts)
        if state is None or cluster.is_standby(state, server):
            return "it is in standby"
        node = state.node(server)
        if node is None or not node.is_usable:
            raise SiteError(
                f"{server} is not in standby, and Pacemaker starts nothing there: it is {cluster_health.word(node)}",
                where=server,
                remedy="see `snow status`",
            )
        return None

    def _undrain(self, server: str, reporter: Reporter) -> None:
        cluster.set_standby(self.hosts, server, False)

        def usable() -> bool | None:
            state = cluster.cluster_state(self.hosts)
            node = state.node(server) if state else None
            return True if node is not None and node.is_usable else None

        wait_for(
            usable,
            timeout=120,
            what=f"{server} to be used by Pacemaker again",
            interval=cluster.POLL_INTERVAL_S,
            report=reporter.wait,
            remedy="see `snow ha status`",
        )


def _how_far(sources: Sequence[Host], name: str) -> str:
    """What was sent of a domain that is being migrated; empty where nobody can say it now."""
    for host in sources:
        try:
            migration = migration_of(host, name)
        except LostLockError:
            raise
        except SnowError:
            continue
        if migration is not None:
            return migration.how_far
    return ""
