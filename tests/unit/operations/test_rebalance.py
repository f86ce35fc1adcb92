"""``snow rebalance`` against every placement that there is, on small sites: what it says of them is so."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from broken_clusters import cluster, options, resource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_move_plan import domain, state

from snowha.cluster import placement
from snowha.errors import SiteError
from snowha.operations import move_plan
from snowha.operations.move_plan import Move
from snowha.operations.placement_state import PlacementState

SERVERS = ("snow01", "snow02", "snow03")


def site(
    where: Mapping[str, str],
    free: Mapping[str, int],
    sizes: Mapping[str, int] | None = None,
    *,
    apart: Sequence[tuple[str, ...]] = (),
    live: Sequence[str] | None = None,
) -> PlacementState:
    """A cluster in which all is well, with these domains."""
    made = state(where, free, sizes, apart=tuple(apart), live=frozenset(where if live is None else live))
    node, one = made.cluster.nodes[0], next(one for one in made.cluster.resources if one.is_domain)
    nodes = tuple(replace(node, name=server, id=str(number)) for number, server in enumerate(free, 1))
    resources = tuple(replace(one, id=name, servers=(server,)) for name, server in where.items())
    return replace(made, cluster=replace(made.cluster, nodes=nodes, resources=resources))


@st.composite
def sites(draw: st.DrawFn) -> PlacementState:
    servers = SERVERS[: draw(st.integers(2, 3))]
    names = [f"d{number}" for number in range(draw(st.integers(2, 4)))]
    pair = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True).map(tuple)
    return site(
        {name: draw(st.sampled_from(servers)) for name in names},
        {server: draw(st.sampled_from([50, 300, 700, 1500, 4000])) for server in servers},
        {name: draw(st.sampled_from([128, 256, 512, 1024])) for name in names},
        apart=draw(st.lists(pair, max_size=2)),
        live=[name for name in names if draw(st.integers(0, 3))],
    )


@st.composite
def resized(draw: st.DrawFn) -> PlacementState:
    """Sites on which domains were given another size, which counts from their next start on."""
    seen = draw(sites())
    memory = st.sampled_from([128, 256, 512, 1024, 2048])
    running = {
        server: {name: replace(one, memory_mib=draw(memory)) for name, one in domains.items()}
        for server, domains in seen.running.items()
    }
    return replace(seen, running=running)


def carried_out(seen: PlacementState, moves: Sequence[Move], more: Mapping[str, int]) -> PlacementState:
    """What the servers say then. ``more``: MiB that a domain takes of its hypervisor beyond what is counted."""
    after = move_plan.after(seen, moves)
    free = after.free()
    for move in moves:
        free[move.source] += more.get(move.domain, 0)
        free[move.target] -= more.get(move.domain, 0)
    hypervisors = {server: replace(one, free_memory=free[server]) for server, one in after.hypervisors.items()}
    return replace(after, hypervisors=hypervisors)


def now(seen: PlacementState) -> dict[str, str]:
    return {name: server for server, domains in seen.running.items() for name in domains}


def fullest(seen: PlacementState, where: Mapping[str, str]) -> float:
    load = Counter[str]()
    for name, server in where.items():
        load[server] += seen.size(name)
    return max(load[server] / seen.capacity()[server] for server in seen.usable())


def conflicts(seen: PlacementState, where: Mapping[str, str]) -> int:
    return len(placement.colocated(where, seen.apart))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(sites())
def test_what_it_says_is_so(seen: PlacementState) -> None:
    """It said that no move improves the balance while one move would have parted a pair, whose other half cannot be moved live;
    and it moved domains to where their partner has to stay."""
    plan = move_plan.rebalance(seen)
    before, free = now(seen), seen.free()
    after = {**before, **{move.domain: move.target for move in plan.moves}}
    for move in plan.moves:
        assert move.domain in seen.live and free[move.target] >= move.mib, "a move of the plan cannot be done"
        free[move.target] -= move.mib
        free[move.source] += move.mib
    assert conflicts(seen, after) <= conflicts(seen, before)
    even = sum(map(seen.size, before)) / sum(seen.capacity().values())
    for name, server in itertools.product(seen.live, seen.usable()):
        if server == after[name] or free[server] < seen.size(name):
            continue
        other = {**after, name: server}
        assert conflicts(seen, other) >= conflicts(seen, after), f"moving {name} to {server} parts a pair"
        if conflicts(seen, other) == conflicts(seen, after):
            assert fullest(seen, after) - fullest(seen, other) <= 0.1 * even + 1e-9, f"{name} to {server} is worth it"
    for one, two in itertools.combinations(sorted(seen.live), 2):
        exchanged = {**after, one: after[two], two: after[one]}
        if conflicts(seen, exchanged) < conflicts(seen, after):
            assert not possible(seen, free, after, one, two), f"exchanging {one} and {two} parts a pair"


def possible(seen: PlacementState, free: Mapping[str, int], where: Mapping[str, str], one: str, two: str) -> bool:
    """Whether there is room for exchanging two domains, one after the other."""
    here, there, left = where[one], where[two], seen.size(one) - seen.size(two)
    begins = free[there] >= seen.size(one) or free[here] >= seen.size(two)
    return begins and free[there] >= left and free[here] >= -left


def test_a_pair_is_parted_whose_other_half_cannot_be_moved_live() -> None:
    seen = site(
        {"slurm01": "snow01", "slurm02": "snow01"},
        {"snow01": 900, "snow02": 900},
        apart=[("slurm01", "slurm02")],
        live=["slurm02"],
    )
    plan = move_plan.rebalance(seen)
    assert [(move.domain, move.target) for move in plan.moves] == [("slurm02", "snow02")] and plan.together == ()
    assert "slurm01 stays where it is: Pacemaker does not migrate it live" in "\n".join(move_plan.lines(plan))


def test_a_domain_is_moved_to_the_one_server_that_takes_it() -> None:
    """A third server with an older Xen kept everything where it was."""
    seen = site(dict.fromkeys(("deploy01", "proxy01"), "snow01"), dict.fromkeys(SERVERS, 900))
    older = replace(seen.hypervisors["snow03"], version="4.17.7")
    plan = move_plan.rebalance(replace(seen, hypervisors={**seen.hypervisors, "snow03": older}))
    assert [move.target for move in plan.moves] == ["snow02"] and plan.stays == {}


def test_no_pair_is_parted_at_the_price_of_a_plan_that_has_no_room() -> None:
    """It ended in an error, and moved nothing that could have been moved."""
    seen = site(
        {"slurm01": "snow01", "slurm02": "snow01", "deploy01": "snow01"},
        {"snow01": 100, "snow02": 300},
        {"slurm01": 1024, "slurm02": 1024, "deploy01": 128},
        apart=[("slurm01", "slurm02")],
    )
    plan = move_plan.rebalance(seen)
    assert "slurm01" not in [move.domain for move in plan.moves]
    assert plan.together == (("slurm01", "slurm02", "snow01"),)


def test_an_order_is_found_where_the_largest_first_finds_none() -> None:
    seen = site(
        {"a": "snow01", "b": "snow02", "c": "snow03"},
        {"snow01": 0, "snow02": 300, "snow03": 260},
        {"a": 240, "b": 256, "c": 128},
    )
    moves = [Move("a", "snow01", "snow02", 240), Move("b", "snow02", "snow03", 256), Move("c", "snow03", "snow01", 128)]
    assert [move.domain for move in move_plan._ordered(seen, moves)] == ["b", "a", "c"]


def test_a_cluster_that_leaves_everything_alone_is_not_said_to_be_balanced() -> None:
    with pytest.raises(SiteError, match="maintenance-mode"):
        move_plan.rebalance(state(cluster=cluster(options(maintenance_mode="true"))))


def test_what_stays_is_named_when_there_is_nothing_to_gain() -> None:
    blocked = state(cluster=cluster(resource("slurm01", blocked="true")))
    plan = move_plan.rebalance(blocked)
    assert not plan.moves and "slurm01 stays where it is: slurm01 is blocked" in "\n".join(
        move_plan.nothing_to_gain(plan)
    )
    assert domain("slurm01").name in plan.stays


def test_a_move_that_a_later_one_makes_needless_is_not_in_the_plan() -> None:
    where = {"d3": "snow02", "d0": "snow03", "d1": "snow03", "d2": "snow03"}
    sizes = {"d0": 1024, "d1": 1024, "d2": 1024, "d3": 256}
    plan = move_plan.rebalance(site(where, {"snow01": 4000, "snow02": 700, "snow03": 4000}, sizes, live=["d2", "d3"]))
    assert [move.domain for move in plan.moves] == ["d2"]


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(resized())
def test_when_it_was_carried_out_there_is_nothing_to_gain(seen: PlacementState) -> None:
    """A domain whose config had got another size went to and fro with each call, since what a server has for domains was counted
    with the config of those that it happened to run."""
    plan = move_plan.rebalance(seen)
    then = carried_out(seen, plan.moves, {})
    assert then.capacity() == seen.capacity() and min(then.free().values()) >= 0
    again = move_plan.rebalance(then)
    assert again.moves == () and "no move improves the balance" in "\n".join(move_plan.nothing_to_gain(again))


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(resized(), st.data())
def test_some_mib_that_were_counted_wrong_are_no_gain(seen: PlacementState, data: st.DataObject) -> None:
    """What was worth a little less than a tenth of an even share was worth a tenth of it the next time: an administrator who
    repeats the command has domains moved each time."""
    roomy = {server: replace(one, free_memory=8000) for server, one in seen.hypervisors.items()}
    seen = replace(seen, hypervisors=roomy)
    more = {name: data.draw(st.integers(-2, 2)) for name in sorted(seen.domains)}
    plan = move_plan.rebalance(seen)
    if plan.moves:
        assert move_plan.rebalance(carried_out(seen, plan.moves, more)).moves == ()


def test_a_domain_at_the_threshold_does_not_come_back() -> None:
    """d3 was moved from snow02 to snow01, and with the same command from snow01 to snow02 again: nothing else had happened."""
    where = {"d0": "snow03", "d1": "snow03", "d2": "snow02", "d3": "snow02", "d4": "snow02"}
    seen = site(where, dict.fromkeys(SERVERS, 8000), {"d0": 1344, "d1": 704, "d2": 576, "d3": 640, "d4": 256})
    plan = move_plan.rebalance(seen)
    then = carried_out(seen, plan.moves, {"d0": -1, "d2": -2, "d3": 1, "d4": -2})
    assert plan.moves and move_plan.rebalance(then).moves == ()


def test_a_domain_that_waits_for_its_smaller_size_counts_with_the_one_that_it_has() -> None:
    """A drain was begun that had no room: Xen refused the domain half way."""
    seen = site({"deploy01": "snow01", "proxy01": "snow02"}, {"snow01": 900, "snow02": 900}, {"deploy01": 256})
    running = {**seen.running, "snow01": {"deploy01": replace(seen.running["snow01"]["deploy01"], memory_mib=2048)}}
    seen = replace(seen, running=running)
    with pytest.raises(SiteError, match=r"deploy01 2065 MiB must leave snow01, and snow02 has 900 MiB free"):
        move_plan.drain(seen, "snow01")
    assert "it needs 2065 MiB" in str(move_plan.refusal(seen, "deploy01", "snow02"))
