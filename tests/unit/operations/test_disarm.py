"""When a cluster may be armed again, and what status says until then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from broken_clusters import cluster, node, resource, without_quorum

from snowha.cluster.crm_mon import ClusterState
from snowha.health.findings import CLUSTER, found
from snowha.operations import disarm

SERVERS = ("snow01", "snow02")
PLACES = {"deploy01": ("snow01",), "slurm01": ("snow01",), "proxy01": ("snow02",), "slurm02": ("snow02",)}
NOW = datetime(2026, 11, 27, 7, 10, tzinfo=UTC)


def test_a_cluster_that_is_whole_may_be_armed() -> None:
    assert disarm.obstacle(cluster(), SERVERS, PLACES) is None
    assert disarm.obstacle(cluster(node("snow02", standby="true")), SERVERS, PLACES) is None


@pytest.mark.parametrize(
    ("state", "places", "said"),
    [
        (cluster(node("snow02", online="false")), PLACES, "snow02 is not in the cluster (offline): it would be fenced"),
        (cluster(node("snow02", online="false", unclean="true")), PLACES, "snow02 is not in the cluster (unclean)"),
        (cluster(without_quorum), PLACES, "there is no quorum"),
        (cluster(), {**PLACES, "deploy01": SERVERS}, "deploy01 runs on snow01 and snow02 at once"),
        (cluster(), {**PLACES, "deploy01": ("snow02",)}, "deploy01 runs on snow02, but Pacemaker has it on snow01"),
        (cluster(resource("deploy01", "nowhere")), PLACES, "but Pacemaker has it on no server"),
    ],
)
def test_what_would_fence_a_server_or_start_a_domain_twice_keeps_it_disarmed(
    state: ClusterState, places: dict[str, tuple[str, ...]], said: str
) -> None:
    assert said in str(disarm.obstacle(state, SERVERS, places))


@pytest.mark.parametrize("where", [("snow01",), ("snow02",), SERVERS, ()])
def test_a_server_that_was_lost_while_disarmed_may_be_fenced_by_name(where: tuple[str, ...]) -> None:
    """Else its domains were never recovered, since every server had to be back. What it runs ends when it is fenced."""
    state = cluster(node("snow02", online="false", unclean="true"))
    found = disarm.obstacle(state, SERVERS, {**PLACES, "proxy01": where}, fenced={"snow02"})
    assert (found is None) is ("snow01" not in where)
    lost = {name: place for name, place in PLACES.items() if place == ("snow01",)}
    assert disarm.obstacle(state, SERVERS, lost, fenced={"snow02"}) is None
    refused = disarm.obstacle(state, SERVERS, PLACES)
    assert refused is not None and "snow arm --fence snow02" in str(refused.remedy)


def test_a_server_that_came_back_is_not_fenced() -> None:
    refused = disarm.obstacle(cluster(), SERVERS, PLACES, fenced={"snow02"})
    assert refused is not None and "snow02 is in the cluster" in str(refused)


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 min"), (59, "59 min"), (125, "2 h 5 min"), (3 * 24 * 60 + 5, "3 days")]
)
def test_status_says_it_once_with_how_long_and_what_to_type(minutes: int, words: str) -> None:
    """Forgotten after the work, it is found out when a server is lost and nothing happens."""
    findings = (
        found("maintenance-mode", CLUSTER, "x"),
        found("fencing-disabled", CLUSTER, "y"),
        found("server-out", "snow02", "z"),
    )
    first, second = disarm.explained(findings, NOW - timedelta(minutes=minutes), NOW)
    assert first.severity == "red" and f"({words})" in first.message and first.remedy.endswith("snow arm")
    assert second.code == "server-out"
    assert disarm.explained(findings, None) == findings
