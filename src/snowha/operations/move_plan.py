"""Which domains go where when a server is drained or the load is evened out, and whether that fits. Pure. Memory in MiB.

Nothing is planned that cannot be migrated live, unless it is said that domains may be restarted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from snowha.cluster import placement
from snowha.errors import SiteError
from snowha.health import cluster_health
from snowha.operations.placement_state import PlacementState
from snowha.site.names import listed
from snowha.site.rules import Finding

_NO_QUORUM = "there is no quorum: Pacemaker moves nothing"
_MOST_ORDERS = 20_000
"""Sets of moves that are looked at for an order that has room: seconds, whatever the plan is like."""


@dataclass(frozen=True)
class Move:
    domain: str
    source: str
    target: str
    mib: int


@dataclass(frozen=True)
class MovePlan:
    """Moves in their order, and what they leave. ``free``: MiB by server, before and after."""

    moves: tuple[Move, ...]
    free: Mapping[str, tuple[int, int]]
    after_loss: tuple[Finding, ...]
    """Servers whose loss could not be borne afterwards."""
    together: tuple[tuple[str, str, str], ...]
    """Domains that share a server then though they should not."""
    stays: Mapping[str, str] = field(default_factory=dict)
    """Of `snow rebalance`: domains that cannot be moved live to any server, with the reason."""


def why_not_live(state: PlacementState, name: str, target: str) -> str | None:
    """Why ``name`` cannot be migrated live to ``target``; None if it can."""
    here = state.places(name)
    if name not in state.live:
        domain, source = state.domains.get(name), state.hypervisors.get(here[0]) if here else None
        if domain is not None and domain.never_live:
            return domain.never_live
        if domain is not None and domain.type == "pv" and source is not None and not source.migrates_pv:
            return f"it is a PV domain, and Xen on {here[0]} is built without shadow paging, which migration needs"
        return "Pacemaker does not migrate it live (allow-migrate is not set)"
    if name in state.without_holder:
        return "the process that hands its lease over has died"
    versions = [
        _version(state.hypervisors[server].version) for server in (*here[:1], target) if server in state.hypervisors
    ]
    if len(versions) == 2 and versions[1] < versions[0]:
        return f"Xen on {target} is older than on {here[0]}, and cannot receive a domain from it"
    return None


def refusal(state: PlacementState, name: str, target: str, *, restart: bool = False) -> str | None:
    """Why ``name`` is not moved to ``target``; None if nothing forbids it. ``restart``: it need not be live."""
    here, resource = state.places(name), state.cluster.resource(name)
    if resource is None:
        return "Pacemaker does not have it"
    if not state.cluster.quorate:
        return _NO_QUORUM
    if len(here) != 1:
        return f"it runs on {' and '.join(here)} at once" if here else "it runs nowhere"
    if set(resource.servers) != set(here) and not resource.task:
        # told to move it, Pacemaker would start it on the target while it runs here
        return f"it runs on {here[0]}, and Pacemaker has it on {listed(resource.servers) or 'no server'}"
    if resource.task:
        return f"Pacemaker is busy with it: {resource.task.lower()}"
    if target not in state.usable():
        return f"{target} is not a server on which Pacemaker starts domains now"
    size, free = state.size(name), state.free()[target]
    if target not in here and size > free:
        return f"it needs {size} MiB, and {target} has {free} MiB free"
    return None if restart else why_not_live(state, name, target)


def best_target(state: PlacementState, name: str, *, shown: str = "") -> str:
    """Where to move a domain for which no server was named: away from those it must be apart from, then to the most free memory.
    ``shown``: what it was before; it stays unless it has no room any more, or another keeps more apart.

    Raises SiteError if there is no other server.
    """
    others = [server for server in state.usable() if server not in state.places(name)]
    if not others:
        raise SiteError(f"there is no other server for {name}", remedy="see `snow list servers`")
    free = state.free()
    stays = shown if free.get(shown, 0) >= state.size(name) else ""
    now = _now(state)
    return min(others, key=lambda one: (_partners(state, name, now, one), one != stays, -free[one], one))


def drain(state: PlacementState, server: str, *, restart: bool = False, shown: Sequence[Move] = ()) -> MovePlan:
    """Everything off ``server``. Raises SiteError, before anything is moved, with all that forbids it.

    ``shown``: the moves of the plan that was made before. They stay if they still empty it and have room.
    """
    _require_quorum(state)
    others = [one for one in state.usable() if one != server]
    if not others:
        raise SiteError(f"no other server can run the domains of {server}", remedy="see `snow list servers`")
    names = sorted(state.running.get(server, {}), key=lambda name: (-state.size(name), name))
    moves = _still(state, names, others, shown) or _packed(state, names, server, others)
    if moves is None:
        room = ", ".join(f"{one} has {state.free()[one]} MiB free" for one in others)
        needed = ", ".join(f"{name} {state.size(name)}" for name in names)
        raise SiteError(
            f"there is not enough memory: {needed} MiB must leave {server}, and {room}",
            where=server,
            remedy="shut down domains that are not needed, or free memory on another server",
        )
    _refuse(state, moves, restart=restart)
    return _plan(state, moves, others)


def after(state: PlacementState, moves: Sequence[Move]) -> PlacementState:
    """As it is once ``moves`` are done: for a plan of what comes then."""
    running = {server: dict(domains) for server, domains in state.running.items()}
    free = state.free()
    targets = {move.domain: move.target for move in moves}
    resources = tuple(
        replace(one, servers=(targets[one.id],)) if one.id in targets else one for one in state.cluster.resources
    )
    for move in moves:
        running[move.target][move.domain] = running[move.source].pop(move.domain)
        free[move.source] += state.taken(move.domain)
        free[move.target] -= state.taken(move.domain)
    hypervisors = {server: replace(one, free_memory=free[server]) for server, one in state.hypervisors.items()}
    return replace(state, running=running, hypervisors=hypervisors, cluster=replace(state.cluster, resources=resources))


def with_back(state: PlacementState, servers: Collection[str]) -> PlacementState:
    """As if ``servers`` were members again, and used: for a plan of what comes then."""
    nodes = tuple(
        replace(node, online=True, standby=False, maintenance=False, pending=False, unclean=False, shutdown=False)
        if node.name in servers
        else node
        for node in state.cluster.nodes
    )
    return replace(state, cluster=replace(state.cluster, nodes=nodes))


def rebalance(state: PlacementState) -> MovePlan:
    """Few moves that part what must be apart and even the memory out; without moves if no move is worth it (placement.spread): by
    itself, or as one of two that exchange domains to part a pair. What cannot be migrated live stays.

    Raises SiteError if Pacemaker was told to leave everything alone.
    """
    servers = state.usable()
    _require_quorum(state)
    if (held := cluster_health.held(state.cluster, [])) is not None:
        raise SiteError(held.message, remedy=held.remedy)
    now = {name: server for name, server in _now(state).items() if server in servers and name in state.domains}
    targets, stays = _targets(state, now, servers)
    wanted = placement.spread(
        [state.as_it_runs(name) for name in sorted(now)],
        servers,
        state.apart,
        memory={server: state.capacity()[server] - _others(state, server, now) for server in servers},
        current=now,
        targets=targets,
    )
    moves = [Move(name, now[name], target, state.taken(name)) for name, target in wanted.items() if target != now[name]]
    return replace(_plan(state, _ordered(state, moves), servers), stays=stays)


def _require_quorum(state: PlacementState) -> None:
    if not state.cluster.quorate:
        raise SiteError(_NO_QUORUM, remedy="bring the servers back that are missing: snow status")


def _others(state: PlacementState, server: str, now: Mapping[str, str]) -> int:
    """MiB that domains have there which are not placed: they are none of the site's, or run on another server as well."""
    return sum(state.taken(name) for name in state.running.get(server, {}) if now.get(name) != server)


def _targets(
    state: PlacementState, where: Mapping[str, str], servers: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Where each may be migrated live; and why those may not that have no such server."""
    unlimited = _with_unlimited_memory(state)
    targets: dict[str, list[str]] = {}
    stays: dict[str, str] = {}
    for name, here in sorted(where.items()):
        held = cluster_health.held(state.cluster, [name])
        reasons = {server: refusal(unlimited, name, server) for server in servers if server != here}
        able = [] if held else [server for server, reason in reasons.items() if reason is None]
        targets[name] = [here, *able]  # a later move may make one of before needless
        if held or (reasons and not able):
            stays[name] = held.message if held else "; ".join(dict.fromkeys(filter(None, reasons.values())))
    return targets, stays


def lines(plan: MovePlan) -> list[str]:
    """For a person to read before it happens."""
    text = [f"{move.domain}: {move.source} to {move.target}, {move.mib} MiB" for move in plan.moves]
    text += [
        f"{server}: {before} MiB free now, {after} MiB afterwards" for server, (before, after) in plan.free.items()
    ]
    text += [f"{name} stays where it is: {reason}" for name, reason in plan.stays.items()]
    text += [
        f"together afterwards, against anti-affinity: {one} and {other} on {at}" for one, other, at in plan.together
    ]
    text += [f"a loss that would not be survived afterwards: {one.where}: {one.message}" for one in plan.after_loss]
    return text if plan.after_loss else [*text, "the loss of another server would be survived"]


def nothing_to_gain(plan: MovePlan) -> list[str]:
    """What a plan without moves has found, for a person."""
    return [
        "no move improves the balance: none parts domains that must be apart, nor makes the fuller of two servers emptier by a "
        "tenth of an even share",
        *(f"{name} stays where it is: {reason}" for name, reason in plan.stays.items()),
        *(f"together, although they are to be kept apart: {one} and {two} on {at}" for one, two, at in plan.together),
    ]


def _still(
    state: PlacementState, names: Sequence[str], others: Sequence[str], shown: Sequence[Move]
) -> tuple[Move, ...] | None:
    """``shown``, if it still moves just these and they have room: which server has most free memory may change each second."""
    free, moves = state.free(), tuple(replace(move, mib=state.size(move.domain)) for move in shown)
    for move in moves:
        free[move.target] = free.get(move.target, 0) - move.mib
    fits = all(move.target in others and free[move.target] >= 0 for move in moves)
    return moves if fits and sorted(names) == sorted(move.domain for move in moves) else None


def _packed(state: PlacementState, names: list[str], source: str, others: list[str]) -> tuple[Move, ...] | None:
    """Largest first: into the emptiest server, else into the fullest that has room. None if neither fits."""
    for sign in (-1, 1):
        free, where, moves = state.free(), _now(state), []
        for name in names:
            fitting = [one for one in others if free[one] >= state.size(name)]
            if not fitting:
                break
            target = min(fitting, key=lambda one: (_partners(state, name, where, one), sign * free[one], one))
            free[target] -= state.size(name)
            where[name] = target
            moves.append(Move(name, source, target, state.size(name)))
        else:
            return tuple(moves)
    return None


def _refuse(state: PlacementState, moves: Sequence[Move], *, restart: bool) -> None:
    if moves and (held := cluster_health.held(state.cluster, [move.domain for move in moves])):
        raise SiteError(held.message, remedy=held.remedy)
    unlimited = _with_unlimited_memory(state)
    reasons = {move.domain: refusal(unlimited, move.domain, move.target, restart=restart) for move in moves}
    left = {move.domain: move.target for move in moves if reasons[move.domain]}
    if left:
        restarted = ", or restart them on another server: --restart" if helps_to_restart(unlimited, left) else ""
        raise SiteError(
            f"not everything can be moved: {'; '.join(f'{name}: {reasons[name]}' for name in left)}",
            remedy=f"shut these down first (snow shutdown){restarted}",
        )


def helps_to_restart(state: PlacementState, targets: Mapping[str, str]) -> bool:
    """Whether nothing would forbid to restart domains on ``targets`` that cannot be moved there while they run."""
    return not any(refusal(state, name, target, restart=True) for name, target in targets.items())


def _with_unlimited_memory(state: PlacementState) -> PlacementState:
    """The same, with memory that is no obstacle: it was counted for all moves together."""
    hypervisors = {server: replace(one, free_memory=1 << 40) for server, one in state.hypervisors.items()}
    return replace(state, hypervisors=hypervisors)


def _ordered(state: PlacementState, moves: Collection[Move]) -> tuple[Move, ...]:
    """Such that each has room when it comes. Raises SiteError if there is no such order."""
    wanted = sorted(moves, key=lambda move: (-move.mib, move.domain))
    tried: set[frozenset[Move]] = set()
    done: list[Move] = []

    def finished(free: Mapping[str, int]) -> bool:
        """What is free depends on which moves are done, and not on their order: each such set is tried once."""
        if len(done) == len(wanted):
            return True
        if (known := frozenset(done)) in tried or len(tried) > _MOST_ORDERS:
            return False
        tried.add(known)
        for move in wanted:
            if move not in known and free[move.target] >= move.mib:
                done.append(move)
                after = {move.target: free[move.target] - move.mib, move.source: free[move.source] + move.mib}
                if finished({**free, **after}):
                    return True
                done.pop()
        return False

    if not finished(state.free()):
        raise SiteError(
            f"there is no room to move {', '.join(move.domain for move in wanted)} one after the other",
            remedy="shut one of them down, or free memory on a server",
        )
    return tuple(done)


def _plan(state: PlacementState, moves: tuple[Move, ...], left: Collection[str]) -> MovePlan:
    """``left``: the servers that may run domains then."""
    free, where = state.free(), _now(state)
    for move in moves:
        free[move.target] -= move.mib
        free[move.source] += move.mib
        where[move.domain] = move.target
    capacity = {server: mib for server, mib in state.room_after_loss().items() if server in left}
    known = {name: server for name, server in where.items() if name in state.domains and server in capacity}
    return MovePlan(
        moves,
        {server: (mib, free[server]) for server, mib in state.free().items()},
        (
            *_without_quorum(state, capacity),
            *placement.fits_after_loss([state.sized(name) for name in known], known, capacity),
        ),
        placement.colocated(where, state.apart),
    )


def _without_quorum(state: PlacementState, servers: Iterable[str]) -> tuple[Finding, ...]:
    """One finding if there is no quorum when one server more is lost. Of two servers each has it alone (two_node)."""
    online, every = sum(node.online for node in state.cluster.nodes), len(state.cluster.nodes)
    if every < 3 or online - 1 > every // 2:
        return ()
    gone = ", ".join(node.name for node in state.cluster.nodes if not node.online)
    message = f"{gone} is out of the cluster: without one more there is no quorum, and every domain is stopped"
    remedy = f"bring {gone} back into the cluster"
    return (Finding("no-quorum-after-loss", "warn", " or ".join(servers), message, remedy),)


def _now(state: PlacementState) -> dict[str, str]:
    return {name: server for server, domains in state.running.items() for name in domains}


def _partners(state: PlacementState, name: str, where: Mapping[str, str], server: str) -> int:
    """How many that it must be apart from are there."""
    partners = {one for group in state.apart if name in group for one in group} - {name}
    return sum(where.get(one) == server for one in partners)


def _version(text: str) -> tuple[int, ...]:
    """4.20 of 4.20.5-rc1: what a migration stream depends on."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
