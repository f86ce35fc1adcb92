"""What counts as trouble in a cluster: what is waited for until it is over, and so must be able to end."""

from __future__ import annotations

import pytest

from snowha.cluster.crm_mon import ClusterState, Node, Resource
from snowha.live.cluster import problem_in


def node(name: str, *, online: bool = True, standby: bool = False) -> Node:
    return Node(name, online, standby, maintenance=False, unclean=False, pending=False, shutdown=False)


def device(server: str, *on: str) -> Resource:
    return Resource(
        f"fence-{server}", "stonith:fence_ipmilan", "Started" if on else "Stopped", on, True, False, False, False
    )


def cluster(*parts: Node | Resource) -> ClusterState:
    nodes = tuple(part for part in parts if isinstance(part, Node))
    resources = tuple(part for part in parts if isinstance(part, Resource))
    return ClusterState(True, nodes[0].name, "3.0", nodes, resources, (), (), maintenance=False)


def test_a_fence_device_that_has_nowhere_to_run_is_not_waited_for() -> None:
    """A run killed while a server was drained leaves it in standby, where nothing runs: the next run would wait for the other
    server's fence device to start, and never come to the step that ends the standby."""
    one = device("snow01"), device("snow02", "snow01")
    assert problem_in(cluster(node("snow01"), node("snow02", standby=True), *one)) is None
    assert problem_in(cluster(node("snow01"), node("snow02", online=False), *one)) is None


def test_a_fence_device_that_could_run_and_does_not_is_trouble() -> None:
    """A server could be lost, and nobody there to fence it."""
    stopped = device("snow01"), device("snow02", "snow01")
    assert problem_in(cluster(node("snow01"), node("snow02"), *stopped)) == "fence-snow01 runs on no server"
    assert problem_in(cluster(node("snow01"), node("snow02", standby=True), device("snow02"))) == (
        "fence-snow02 runs on no server"
    )
    three = node("snow01"), node("snow02", standby=True), node("snow03")
    assert problem_in(cluster(*three, device("snow01"))) == "fence-snow01 runs on no server"


@pytest.mark.parametrize("agent", ["ocf:snow-ha:domain", "ocf:heartbeat:Xen"])
def test_a_domain_that_was_told_to_be_off_is_no_trouble(agent: str) -> None:
    """It would be waited for until every run failed. One that is merely off is trouble, and so is one that runs all the same."""

    def domain(*on: str, target_role: str = "", failed: bool = False) -> Resource:
        role = "Started" if on else "Stopped"
        return Resource("deploy01", agent, role, on, True, failed, False, False, target_role)

    servers = node("snow01"), node("snow02")
    assert problem_in(cluster(*servers, domain(target_role="Stopped"))) is None
    assert problem_in(cluster(*servers, domain())) == "deploy01 runs on no server"
    twice = domain("snow01", "snow02", target_role="Stopped")
    assert problem_in(cluster(*servers, twice)) == "deploy01 runs on snow01 and snow02"
    failed = domain(target_role="Stopped", failed=True)
    assert problem_in(cluster(*servers, failed)) == "deploy01 has failed"


def test_a_floating_ip_that_was_told_to_be_off_is_trouble() -> None:
    """An undo that was interrupted stops it: the next run has to let it start again."""
    address = Resource("xsnow-vip", "ocf:heartbeat:IPaddr2", "Stopped", (), True, False, False, False, "Stopped")
    assert problem_in(cluster(node("snow01"), address)) == "xsnow-vip runs on no server: it was stopped on purpose"
