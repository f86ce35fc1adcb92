"""One judgement of whether a site is well, from what crm_mon and the hypervisors say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from broken_clusters import (
    CASES,
    WHERE,
    Case,
    Change,
    added,
    cluster,
    everything_unmanaged,
    failed,
    fenced,
    links,
    node,
    options,
    removed,
    resource,
    stopped,
    without_quorum,
)
from broken_definitions import CASES as DEFINITIONS
from broken_leases import CASES as LEASES

from snowha.cluster.crm_mon import ClusterState
from snowha.health import cluster_health
from snowha.health.catalogue import KINDS
from snowha.health.cluster_health import Answer, Wanted
from snowha.health.findings import Finding

SITE = Wanted(
    ("snow01", "snow02"), ("snow01", "snow02"), ("deploy01", "proxy01", "slurm01", "slurm02"), floating_ip=True
)


def answers(case: Case) -> dict[str, Answer]:
    return {
        name: Answer(
            under_xen=name not in case.bare,
            running=frozenset({**WHERE, **case.running}[name]),
            quorate=case.state is not None or None,
            links=case.links.get(name, links(name[-1])) if case.state else (),
        )
        for name in SITE.servers
    }


def judged(case: Case, **changed: Answer) -> tuple[Finding, ...]:
    return cluster_health.evaluate(SITE, {**answers(case), **changed}, case.state)


def codes(found: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.code: finding.severity for finding in found}


def lost(name: str) -> Mapping[str, Answer]:
    return {name: Answer(trouble="it does not answer", remedy="give it power")}


def test_a_well_site_has_no_finding() -> None:
    """Findings that are always there are read by nobody."""
    assert judged(Case(cluster())) == ()


@pytest.mark.parametrize("code", sorted(CASES))
def test_each_thing_that_is_wrong_is_found_as_what_it_is(code: str) -> None:
    """`status` said that all was well, with exit code 0, in maintenance, with what is unmanaged, blocked or failed."""
    found = {finding.code: finding for finding in judged(CASES[code])}
    assert set(found) == {code}, found
    assert found[code].severity == KINDS[code].severity
    assert found[code].where and found[code].message and "{" not in found[code].remedy


def test_whatever_can_be_wrong_is_tried_here() -> None:
    """A kind of finding would be documented that nothing makes."""
    assert set(KINDS) - set(CASES) - set(LEASES) - set(DEFINITIONS) == {
        "unreachable",
        "runs-twice",
        "domain-unknown",
        "config-without-lease",  # test_lease_bypass.py
        "holes",  # test_image_space.py
        "migration-left",  # test_resolve.py
    }


def test_the_worst_comes_first() -> None:
    """The one line that matters would be below the fold."""
    case = Case(
        cluster(
            failed("deploy01", "snow01", "monitor", "gone"),
            stopped("slurm02", target_role="Stopped"),
            node("snow02", standby="true"),
        )
    )
    found = judged(case, snow02=Answer(under_xen=True, running=frozenset({"proxy01"}), quorate=True))
    assert [finding.severity for finding in found] == ["red", "yellow", "note"]


def test_a_server_that_is_out_and_in_standby_is_out() -> None:
    """Whoever ends the standby would believe that it is back."""
    state = cluster(node("snow02", online="false", standby="true"), resource("fence-snow01", "nowhere"))
    assert codes(judged(Case(state))) == {"server-out": "red"}
    assert cluster_health.word(state.node("snow02")) == "offline"


def unclean(*attempts: str) -> Finding:
    state = cluster(node("snow02", online="false", unclean="true"), fenced("snow02", *attempts))
    (found,) = (one for one in judged(Case(state)) if one.code == "server-unclean")
    return found


def test_a_lost_server_is_told_with_its_fencing() -> None:
    """While it is being fenced for the first time there is nothing to type."""
    found = unclean("pending", "success 09:00:00", "failed 08:00:00")
    assert found.message == "snow02 is lost and not fenced yet: it is being fenced"
    assert "--confirm" not in found.remedy


def test_a_fence_that_goes_on_failing_is_told_with_how_long_and_what_to_type() -> None:
    """Its domains stay down until somebody looks, and types a line that must not be typed of a server that runs."""
    found = unclean("pending", "failed 10:56:01", "failed 10:50:35", "success 09:00:00", "failed 08:00:00")
    assert found.message == (
        "snow02 is lost and not fenced yet: fencing it has failed 2 times, first at 2026-11-24 10:50:35Z, 7 min ago "
        "(Fence agent did not complete in time); another attempt is under way"
    )
    assert "stonith_admin --confirm=snow02" in found.remedy
    assert "Only if it has no power" in found.remedy


def test_a_lost_server_of_which_the_other_one_knows_what_it_had() -> None:
    """Its domains are still written down as started there: nobody may take that for running, nor for down."""
    found = judged(Case(cluster(of="crm_mon-2.1-lost")), **lost("snow02"))
    assert codes(found) == {"unreachable": "red", "server-unclean": "red", "domain-unknown": "red"}
    assert {one.where for one in found if one.code == "domain-unknown"} == {"proxy01", "slurm02"}


def test_a_start_that_failed_is_told_with_its_reason() -> None:
    state = cluster(of="crm_mon-2.1-failed-start")
    messages = [one.message for one in judged(Case(state)) if one.code == "resource-failed"]
    assert messages == ["proxy01 has failed (start on snow01: User-injected result)"]


def test_two_places_and_what_is_not_configured_are_seen_in_a_recorded_answer() -> None:
    state = cluster(of="crm_mon-3.0-two-places")
    assert cluster_health.unsettled(state) is not None
    found = {one.code: one.where for one in cluster_health.of_cluster(state)}
    assert found == {"resource-twice": "proxy01", "resource-orphaned": "slurm02"}


def test_a_domain_that_two_hypervisors_run_is_the_worst_there_is() -> None:
    """Both write one image."""
    found = judged(Case(cluster(), running={"snow02": ("deploy01", "proxy01", "slurm02")}))
    assert [(one.code, one.where) for one in found] == [("runs-twice", "deploy01")]


def test_what_is_off_on_purpose_is_no_alarm_also_while_a_server_is_silent() -> None:
    found = judged(CASES["off-on-purpose"])
    assert not cluster_health.is_alarm(found)
    assert found[0].message == "deploy01 is off on purpose"
    silent = judged(CASES["off-on-purpose"], **lost("snow02"))
    assert "off-on-purpose" in codes(silent)
    assert "deploy01" not in {one.where for one in silent if one.severity == "red"}


def test_a_domain_that_is_down_and_should_not_be_is_an_alarm() -> None:
    found = judged(Case(cluster(stopped("deploy01", target_role="Started")), running={"snow01": ("slurm01",)}))
    assert [(one.code, one.where) for one in found] == [("resource-stopped", "deploy01")]


def test_a_floating_ip_or_a_fence_device_that_was_stopped_is_one_whoever_stopped_it() -> None:
    """No domain could be reached, or no server fenced."""
    for name, code in (("xsnow-vip", "resource-stopped"), ("fence-snow01", "fence-device")):
        (found,) = judged(Case(cluster(stopped(name, target_role="Stopped"))))
        assert (found.code, found.severity) == (code, "red")
        assert f"--resource={name} --meta --delete-parameter=target-role" in found.remedy


def test_links_to_a_server_that_is_lost_are_no_finding_of_their_own() -> None:
    """The cause would drown in what follows from it."""
    case = replace(CASES["server-out"], links=CASES["link-lost"].links)
    assert set(codes(judged(case))) == {"server-out"}
    silent = Case(cluster(), links=CASES["link-lost"].links)
    assert "link-lost" not in codes(judged(silent, **lost("snow02")))


def test_a_link_is_told_once_with_both_its_ends() -> None:
    (found,) = judged(CASES["link-lost"])
    assert (found.where, found.message) == ("snow01, snow02", "link 1 is down between snow01 and snow02")


def test_a_server_without_quorum_of_its_own_is_told() -> None:
    case = Case(cluster())
    (found,) = judged(case, snow02=replace(answers(case)["snow02"], quorate=False))
    assert (found.code, found.where) == ("no-quorum", "snow02")


def test_newer_names_of_attributes_are_known() -> None:
    """Of a newer Pacemaker nothing would be found."""
    assert "fencing-disabled" in {
        one.code for one in cluster_health.of_cluster(cluster(options(fencing_enabled="false")))
    }
    assert "resource-orphaned" in {
        one.code for one in cluster_health.of_cluster(cluster(resource("slurm01", removed="true")))
    }


# who waits for a cluster to settle


@pytest.mark.parametrize(
    "code", ["maintenance-mode", "server-maintenance", "resource-unmanaged", "resource-blocked", "all-stopped"]
)
def test_what_only_a_person_can_end_is_not_waited_for(code: str) -> None:
    """A quarter of an hour, and then no word of why."""
    state = CASES[code].state
    assert state is not None
    found = cluster_health.unsettled(state)
    assert found is not None and found.code == code
    assert KINDS[found.code].settling == "refuse"


def test_servers_that_are_kept_out_are_not_waited_for() -> None:
    """A run that was killed while a server was drained leaves it in standby: the next one must come to the step that ends it."""
    for code in ("server-standby", "server-out", "server-pending", "off-on-purpose", "failed-action"):
        state = CASES[code].state
        assert state is not None
        assert cluster_health.unsettled(state) is None, code


def test_what_ends_by_itself_is_waited_for() -> None:
    for code in (
        "server-unclean",
        "resource-failed",
        "resource-stopped",
        "fence-device",
        "no-quorum",
        "resource-twice",
    ):
        state = CASES[code].state
        assert state is not None
        found = cluster_health.unsettled(state)
        assert found is not None and KINDS[found.code].settling == "wait", code


def test_only_what_is_moved_must_not_be_left_alone() -> None:
    """One domain that somebody works on would keep every other one from being moved; or one would be moved in vain."""

    def held(state: ClusterState, *names: str) -> str | None:
        found = cluster_health.held(state, names)
        return found.code if found else None

    unmanaged = cluster(resource("deploy01", managed="false"))
    assert held(unmanaged, "deploy01") == "resource-unmanaged"
    assert held(unmanaged, "slurm01") is None
    assert held(cluster(options(maintenance_mode="true"), everything_unmanaged), "slurm01") == "maintenance-mode"
    assert held(cluster(node("snow02", standby="true")), "slurm01") is None


def test_two_silent_servers_are_spoken_of_as_two() -> None:
    """`snow01 and snow02 does not answer` was what a user read."""
    said = {one.message for one in judged(Case(cluster()), **lost("snow01"), **lost("snow02"))}
    assert "it is unknown whether deploy01 runs: snow01 and snow02 do not answer" in said


LOST = node("snow02", online="false", unclean="true")


@pytest.mark.parametrize(
    ("change", "unclean", "down"),
    [
        (options(maintenance_mode="true", stonith_enabled="false"), "nothing: Pacemaker is in maintenance-mode", ""),
        (options(stonith_enabled="false"), "it is not fenced: fencing is switched off", "Pacemaker starts it"),
        (options(stop_all_resources="true"), "Pacemaker fences it", "nothing: Pacemaker was told to stop everything"),
        (without_quorum, "nothing: there is no quorum", ""),
    ],
)
def test_nothing_is_said_to_come_that_the_cluster_holds_back(change: Change, unclean: str, down: str) -> None:
    """While the cluster was disarmed, status said of a lost server that it is fenced and its domains started: wait."""
    state = cluster(LOST, stopped("deploy01"), failed("slurm01", "snow01", "start", "x"), change)
    found = {one.code: one for one in judged(Case(state, running={"snow01": ("slurm01",)}))}
    assert found["server-unclean"].next.startswith(unclean)
    assert found["resource-stopped"].next.startswith(down or unclean)
    for code in ("server-unclean", "resource-stopped"):
        is_held = found[code].next.startswith(("nothing", "it is not fenced"))
        assert found[code].remedy.startswith("first correct the state of the cluster") == is_held


def test_what_to_do_in_front_of_a_lost_server_stays_also_while_fencing_is_off() -> None:
    state = cluster(LOST, fenced("snow02", "failed 10:56:01"), options(stonith_enabled="false"))
    (found,) = (one for one in judged(Case(state)) if one.code == "server-unclean")
    assert "stonith_admin --confirm=snow02" in found.remedy


def test_nobody_is_told_that_pacemaker_starts_what_it_does_not_have() -> None:
    """After a power cut of everything, each domain said so, and to type `snow ha apply`."""
    found = [one for one in judged(Case(None, running={"snow01": (), "snow02": ()})) if one.where in SITE.domains]
    assert {one.next for one in found} == {""}
    assert all("snow start site" in one.remedy for one in found)
    lacking = judged(Case(cluster(removed("deploy01")), running={"snow01": ("slurm01",)}))
    assert {one.code: one.next for one in lacking} == {"not-managed": "", "resource-stopped": ""}


def test_a_domain_that_pacemaker_has_and_ha_toml_does_not_name_is_said() -> None:
    """`snow list domains` showed it and `snow status` did not: "all is well", and the next apply shut it down."""
    (own,) = judged(CASES["domain-unlisted"])
    assert own.message == "Pacemaker has the domain web01 on snow02, and ha.toml does not name it"
    assert 'name = "web01"; then: snow ha apply' in own.remedy


@pytest.mark.parametrize("agent", ["ocf:heartbeat:Xen", "ocf:heartbeat:VirtualDomain", "ocf::heartbeat:Xen"])
def test_a_domain_that_somebody_else_has_configured_is_said_with_how_it_is_taken_over(agent: str) -> None:
    """`snow ha apply` refuses to touch a cluster with resources of somebody else's: what it says has to come before that."""
    (other,) = judged(Case(cluster(added("web01", agent))))
    assert (other.code, other.severity) == ("domain-unlisted", "yellow")
    assert f"({agent.replace('::', ':')})" in other.message
    assert other.remedy.index("--explain cib-foreign-resources") < other.remedy.index("snow ha apply")


def test_what_is_no_domain_or_is_said_otherwise_is_not_said_twice() -> None:
    assert judged(Case(cluster(added("db01", "ocf:heartbeat:Filesystem")))) == ()
    assert list(codes(judged(Case(cluster(added("web01", "ocf:snow-ha:domain", orphaned="true")))))) == [
        "resource-orphaned"
    ]
