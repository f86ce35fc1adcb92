"""The plan of a drain: it is refused as a whole before the first domain moves, or it can be carried out to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from broken_clusters import cluster, node, options, removed, resource

from snowha.errors import SiteError
from snowha.operations import move_plan, plan_changes
from snowha.operations.move_plan import Move
from snowha.operations.placement_state import PlacementState
from snowha.site.model import Domain, DomainType
from snowha.xen.xl import Hypervisor, Running

NAMES = ("deploy01", "proxy01", "slurm01", "slurm02")
APART = (("slurm01", "slurm02"),)


def domain(name: str, memory: int = 256, kind: DomainType = "pvh") -> Domain:
    return Domain(name, f"/{name}.cfg", memory, 1, kind, "", "", (), (), "")


def state(
    where: Mapping[str, str] | None = None,
    free: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    **changes: object,
) -> PlacementState:
    """Two servers as they are recorded: deploy01 and slurm01 on snow01, the others on snow02."""
    where = where or {"deploy01": "snow01", "slurm01": "snow01", "proxy01": "snow02", "slurm02": "snow02"}
    free = free or {"snow01": 900, "snow02": 900}
    made = PlacementState(
        cluster=cluster(),
        running={
            server: {
                name: Running(name, 5, (sizes or {}).get(name, 256), 1, "-b----")
                for name, at in where.items()
                if at == server
            }
            for server in free
        },
        hypervisors={server: Hypervisor("4.20.5", frozenset({"pv", "hap"}), 4096, mib) for server, mib in free.items()},
        domains={name: domain(name, (sizes or {}).get(name, 256)) for name in where},
        live=frozenset(where),
        apart=APART,
    )
    resources = tuple(
        replace(one, servers=(where[one.id],)) if one.id in where and one.servers else one
        for one in made.cluster.resources
    )
    made = replace(made, cluster=replace(made.cluster, resources=resources))
    return replace(made, **changes)  # type: ignore[arg-type]


SIZE = 256 + 1 + 2


def test_a_drain_says_what_goes_where_and_what_is_left() -> None:
    plan = move_plan.drain(state(), "snow01")
    assert plan.moves == (Move("deploy01", "snow01", "snow02", SIZE), Move("slurm01", "snow01", "snow02", SIZE))
    assert plan.free == {"snow01": (900, 900 + 2 * SIZE), "snow02": (900, 900 - 2 * SIZE)}
    assert plan.together == (("slurm01", "slurm02", "snow02"),)
    text = "\n".join(move_plan.lines(plan))
    assert "deploy01: snow01 to snow02, 259 MiB" in text
    assert "a loss that would not be survived afterwards: snow02" in text and "would be survived" not in text


def test_what_does_not_fit_is_refused_with_its_arithmetic() -> None:
    """Half of the domains were away when it was found out, and the rest stood in between."""
    with pytest.raises(SiteError) as caught:
        move_plan.drain(state(free={"snow01": 900, "snow02": 2 * SIZE - 1}), "snow01")
    assert "deploy01 259, slurm01 259 MiB must leave snow01, and snow02 has 517 MiB free" in str(caught.value)
    assert move_plan.drain(state(free={"snow01": 900, "snow02": 2 * SIZE}), "snow01").moves


def three(**changes: object) -> PlacementState:
    where = {"deploy01": "snow01", "slurm01": "snow01", "slurm02": "snow02", "proxy01": "snow03"}
    made = state(where, {"snow01": 100, "snow02": 700, "snow03": 600}, {"deploy01": 500})
    nodes = (*made.cluster.nodes, replace(made.cluster.nodes[0], name="snow03", id="3"))
    return replace(made, cluster=replace(made.cluster, nodes=nodes), **changes)  # type: ignore[arg-type]


def with_free(seen: PlacementState, **free: int) -> PlacementState:
    hypervisors = {
        name: replace(one, free_memory=free.get(name, one.free_memory)) for name, one in seen.hypervisors.items()
    }
    return replace(seen, hypervisors=hypervisors)


def test_of_three_servers_pairs_stay_apart_and_the_largest_goes_first() -> None:
    plan = move_plan.drain(three(), "snow01")
    assert [(move.domain, move.target) for move in plan.moves] == [("deploy01", "snow02"), ("slurm01", "snow03")]
    assert plan.together == ()


def test_a_server_in_standby_is_no_room_when_another_is_lost_after_a_drain() -> None:
    """The plan of the drain said that the loss of another server would be survived, by one on which nothing is started."""
    seen = three()
    nodes = (*seen.cluster.nodes[:2], replace(seen.cluster.nodes[2], standby=True))
    running = {**seen.running, "snow01": {}, "snow03": {}}
    seen = replace(seen, cluster=replace(seen.cluster, nodes=nodes), running=running)
    plan = move_plan.drain(seen, "snow01")
    assert [finding.where for finding in plan.after_loss] == ["snow02"]


def test_a_packing_is_found_where_the_emptiest_server_first_finds_none() -> None:
    where = dict.fromkeys(("deploy01", "slurm01", "slurm02"), "snow01")
    made = state(
        where, {"snow01": 100, "snow02": 210, "snow03": 310}, {"deploy01": 200, "slurm01": 150, "slurm02": 150}
    )
    nodes = (*made.cluster.nodes, replace(made.cluster.nodes[0], name="snow03", id="3"))
    made = replace(made, cluster=replace(made.cluster, nodes=nodes), apart=())
    assert [move.target for move in move_plan.drain(made, "snow01").moves] == ["snow02", "snow03", "snow03"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"live": frozenset({"slurm01"})}, "deploy01: Pacemaker does not migrate it live"),
        ({"without_holder": frozenset({"slurm01"})}, "slurm01: the process that hands its lease over has died"),
        ({"cluster": cluster(removed("deploy01"))}, "deploy01: Pacemaker does not have it"),
        ({"cluster": cluster(resource("deploy01", pending="Migrating"))}, "deploy01: Pacemaker is busy with it"),
        ({"cluster": cluster(resource("slurm01", blocked="true"))}, "slurm01 is blocked"),
        ({"cluster": cluster(resource("slurm01", managed="false"))}, "slurm01 is not managed by Pacemaker"),
        ({"cluster": cluster(options(maintenance_mode="true"))}, "Pacemaker is in maintenance-mode"),
        ({"cluster": cluster(node("snow02", standby="true"))}, "no other server can run"),
        ({"cluster": cluster(node("snow02", online="false"))}, "no other server can run"),
    ],
)
def test_what_cannot_be_moved_live_is_refused_before_the_first_move(changed: dict[str, object], said: str) -> None:
    """It would be shut down in the middle of a drain, by Pacemaker, without a word."""
    with pytest.raises(SiteError) as caught:
        move_plan.drain(replace(state(), **changed), "snow01")  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_restart_is_offered_only_where_it_would_do() -> None:
    """It was offered for a domain that Pacemaker does not have, and to whoever had asked for it already."""
    with pytest.raises(SiteError) as caught:
        move_plan.drain(replace(state(), live=frozenset({"slurm01"})), "snow01")
    assert caught.value.remedy.endswith(", or restart them on another server: --restart")
    for restart in (False, True):
        with pytest.raises(SiteError) as caught:
            move_plan.drain(replace(state(), cluster=cluster(removed("deploy01"))), "snow01", restart=restart)
        assert caught.value.remedy == "shut these down first (snow shutdown)"


def test_reasons_are_those_of_the_hypervisors() -> None:
    made = state(live=frozenset())
    made = replace(made, domains={**made.domains, "deploy01": domain("deploy01", kind="pv")})
    assert "shadow paging" in str(move_plan.why_not_live(made, "deploy01", "snow02"))
    bound = replace(made.domains["deploy01"], hardware=("pci",))
    made = replace(made, domains={**made.domains, "deploy01": bound})
    assert "something of its server (pci)" in str(move_plan.why_not_live(made, "deploy01", "snow02"))
    older = state()
    older = replace(
        older, hypervisors={**older.hypervisors, "snow02": replace(older.hypervisors["snow02"], version="4.17.7")}
    )
    assert "Xen on snow02 is older" in str(move_plan.why_not_live(older, "deploy01", "snow02"))
    assert move_plan.why_not_live(older, "proxy01", "snow01") is None
    assert move_plan.refusal(older, "deploy01", "snow02", restart=True) is None


def test_one_domain_is_refused_for_memory_and_for_where_it_is() -> None:
    assert "has 258 MiB free" in str(
        move_plan.refusal(state(free={"snow01": 900, "snow02": SIZE - 1}), "deploy01", "snow02")
    )
    off = state({"slurm01": "snow01"})
    assert move_plan.refusal(off, "deploy01", "snow02") == "it runs nowhere"
    assert move_plan.refusal(state(cluster=cluster(options(stop_all_resources="true"))), "deploy01", "snow02") is None


def test_without_a_server_it_goes_where_its_partner_is_not() -> None:
    assert move_plan.best_target(three(), "slurm01") == "snow03"
    assert move_plan.best_target(state(), "slurm01") == "snow02"
    with pytest.raises(SiteError):
        move_plan.best_target(state(cluster=cluster(node("snow02", standby="true"))), "slurm01")


def test_nothing_is_moved_for_nothing() -> None:
    assert move_plan.rebalance(state()).moves == ()


def test_after_a_drain_the_pair_is_parted_again_with_the_fewest_moves() -> None:
    made = state(dict.fromkeys(NAMES, "snow02"), {"snow01": 1400, "snow02": 400})
    plan = move_plan.rebalance(made)
    assert len(plan.moves) == 2 and {move.target for move in plan.moves} == {"snow01"}
    assert plan.together == ()


def test_what_others_have_on_a_server_is_not_counted_for_the_domains_of_a_lost_one() -> None:
    """A domain that the site leaves alone keeps its memory: the loss was said to be survived, and would not have been."""
    made = state(free={"snow01": 900, "snow02": 400})
    assert [one.where for one in move_plan.rebalance(made).after_loss] == ["snow01"]
    made = state(free={"snow01": 900, "snow02": 2 * SIZE})
    assert move_plan.rebalance(made).after_loss == ()
    other = {"other01": Running("other01", 9, 256, 1, "-b----")}
    with_other = state(
        free={"snow01": 900, "snow02": 400}, running={**made.running, "snow02": {**made.running["snow02"], **other}}
    )
    assert [one.where for one in move_plan.rebalance(with_other).after_loss] == ["snow01"]
    assert with_other.capacity()["snow02"] == 400 + 2 * SIZE + 256


def test_what_pacemaker_leaves_alone_stays_where_it_is() -> None:
    """The moves that came before it were done, and then it was refused."""
    both = state({"slurm01": "snow01", "slurm02": "snow01"})
    (move,) = move_plan.rebalance(both).moves
    held = replace(both, cluster=cluster(resource(move.domain, blocked="true")))
    assert move.domain not in [one.domain for one in move_plan.rebalance(held).moves]


def test_what_cannot_be_moved_live_stays_where_it_is() -> None:
    made = state(dict.fromkeys(NAMES, "snow02"), {"snow01": 1400, "snow02": 400}, live=frozenset({"proxy01"}))
    assert [move.domain for move in move_plan.rebalance(made).moves] == ["proxy01"]


def test_moves_come_in_an_order_that_has_room() -> None:
    made = state(free={"snow01": 100, "snow02": 300})
    moves = (Move("proxy01", "snow02", "snow01", 260), Move("deploy01", "snow01", "snow02", 250))
    assert [move.domain for move in move_plan._ordered(made, moves)] == ["deploy01", "proxy01"]
    with pytest.raises(SiteError, match="no room"):
        move_plan._ordered(state(free={"snow01": 100, "snow02": 100}), moves)


def test_of_three_servers_with_one_gone_no_other_loss_is_survived() -> None:
    """There is memory for it, and the plan said so; but the one that is left has no quorum, and stops every domain."""
    seen = three()
    assert not any("quorum" in one.message for one in move_plan.rebalance(seen).after_loss)
    nodes = (*seen.cluster.nodes[:2], replace(seen.cluster.nodes[2], online=False))
    seen = replace(seen, cluster=replace(seen.cluster, nodes=nodes), running={**seen.running, "snow03": {}})
    (found, *_) = move_plan.rebalance(seen).after_loss
    assert found.where == "snow01 or snow02" and "snow03 is out of the cluster" in found.message
    assert "would be survived" not in "\n".join(move_plan.lines(move_plan.rebalance(seen)))


def test_a_domain_that_pacemaker_has_elsewhere_is_not_moved() -> None:
    """Told to move it, Pacemaker starts it on the target while it runs where it is: its lease alone stood against that."""
    for there in ("snow02", "nowhere"):
        seen = state(cluster=cluster(resource("deploy01", there)))
        said = move_plan.refusal(seen, "deploy01", "snow02")
        assert said is not None and said.startswith("it runs on snow01, and Pacemaker has it on ")
        with pytest.raises(SiteError, match="it runs on snow01, and Pacemaker has it on"):
            move_plan.drain(seen, "snow01")


def test_a_second_plan_begins_where_the_first_one_ends() -> None:
    first = move_plan.drain(three(), "snow01")
    then = move_plan.after(three(), first.moves)
    assert [move.target for move in move_plan.drain(then, "snow02").moves] == ["snow01", "snow01"]


def test_memory_that_is_never_the_same_twice_is_no_other_plan() -> None:
    """Of two servers with as much free memory each was the better one now and then: a plan was shown, agreed to, and refused,
    and so was the next one."""
    shown = move_plan.drain(three(), "snow01")
    now = with_free(three(), snow02=695, snow03=710)
    assert move_plan.drain(now, "snow01").moves != shown.moves, "else this test says nothing"
    plan_changes.refuse(shown, move_plan.drain(now, "snow01", shown=shown.moves))
    assert move_plan.best_target(three(), "deploy01") == "snow02" and move_plan.best_target(now, "deploy01") == "snow03"
    assert move_plan.best_target(now, "deploy01", shown="snow02") == "snow02"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"snow02": 400, "snow03": 900}, "deploy01: snow01 to snow03"),
        ({"snow02": 800, "snow03": 200}, "slurm01: snow01 to snow02"),
    ],
)
def test_a_plan_for_which_there_is_no_room_any_more_is_another_one(now: Mapping[str, int], said: str) -> None:
    shown = move_plan.drain(three(), "snow01")
    with pytest.raises(SiteError) as caught:
        plan_changes.refuse(shown, move_plan.drain(with_free(three(), **now), "snow01", shown=shown.moves))
    assert "the site has changed since the plan was made: " in caught.value.message and said in caught.value.message
    assert move_plan.best_target(with_free(three(), snow02=400, snow03=900), "deploy01", shown="snow02") == "snow03"


def test_a_plan_that_would_put_apart_domains_together_now_is_another_one() -> None:
    """slurm02 was moved meanwhile to where slurm01 was to go."""
    shown = move_plan.drain(three(), "snow01")
    seen = three()
    there = {**seen.running["snow03"], "slurm02": seen.running["snow02"]["slurm02"]}
    now = replace(seen, running={**seen.running, "snow02": {}, "snow03": there})
    with pytest.raises(SiteError) as caught:
        plan_changes.refuse(shown, move_plan.drain(now, "snow01", shown=shown.moves))
    assert "slurm01 and slurm02 together on snow03" in caught.value.message
    assert move_plan.best_target(now, "slurm01", shown="snow03") == "snow02"
