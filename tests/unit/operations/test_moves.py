"""``snow move``, ``drain``, ``undrain`` and ``rebalance`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from everyday_site import EverydaySite
from view_site import code_of

from snowha.errors import SiteError
from snowha.hosts.host import Host
from snowha.hosts.wait import NotYet
from snowha.live import cluster

MOVE = "snow02: crm_resource --move --resource={} --node={} --lifetime=PT30M"
CLEAR = "snow02: crm_resource --clear --resource={}"
STANDBY = "snow02: crm_attribute --node=snow01 --name=standby --lifetime=forever"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EverydaySite:
    return EverydaySite(tmp_path, monkeypatch)


def test_a_domain_is_moved_and_no_constraint_is_left(site: EverydaySite) -> None:
    """`crm resource move` leaves one with score INFINITY: the next failover goes to a server that is not there."""
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 0, ended.output
    assert site.told == [MOVE.format("deploy01", "snow02"), CLEAR.format("deploy01")]
    assert site.constraints == set() and site.turns == 1
    site.told.clear()
    assert site.run("move", "deploy01", "snow02").exit_code == 0 and site.told == []


def test_the_constraint_is_removed_if_the_domain_never_arrives(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_require_at", lambda hosts, domains: (_ for _ in ()).throw(NotYet("on its way")))
    ended = site.run("move", "deploy01", "--timeout", "1")
    assert ended.exit_code == 6 and "deploy01 to run on snow02" in ended.output
    assert site.told[-1] == CLEAR.format("deploy01") and site.constraints == set()


def test_a_constraint_that_a_killed_run_left_is_removed(site: EverydaySite) -> None:
    site.constraints.add("deploy01")
    assert site.run("move", "deploy01", "snow01").exit_code == 0
    assert site.constraints == set()


def test_what_cannot_be_live_is_refused_before_anything_is_told(site: EverydaySite) -> None:
    """Pacemaker would shut it down and start it elsewhere, without a word."""
    site.live.discard("deploy01")
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 4 and site.told == []
    assert "it is a PV domain, and Xen on snow01 is built without shadow paging" in ended.output
    assert site.run("move", "deploy01", "--restart").exit_code == 0


def test_a_domain_that_was_restarted_instead_is_no_success(site: EverydaySite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that breaks ends in a restart: whoever asked for a live one must hear of it."""
    move = cluster.move

    def restarted(hosts: dict[str, Host], *words: object, **options: object) -> None:
        move(hosts, *words, **options)  # type: ignore[arg-type]
        site.uuids["deploy01"] = "00000000-0000-0000-0000-000000000099"

    monkeypatch.setattr(cluster, "move", restarted)
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 6 and "started anew on snow02" in ended.output


def test_a_domain_that_answers_no_ping_has_arrived_as_well(site: EverydaySite) -> None:
    """A firewall in the domain made each live move fail two minutes after it had worked, and ended a drain."""
    site.deaf.add("deploy01")
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("move", "deploy01", "snow03"), 2),
        (("move", "domains"), 2),
        (("drain", "snwo01"), 2),
        (("undrain", "snow03"), 2),
        (("move", "nobody"), 2),
    ],
)
def test_names_that_are_wrong_change_nothing(site: EverydaySite, words: tuple[str, ...], code: int) -> None:
    assert code_of(site.run(*words)) == code
    assert site.told == []


def test_a_drain_shows_its_plan_asks_and_ends_in_standby(site: EverydaySite) -> None:
    ended = site.run("drain", "snow01", "--dry-run")
    assert ended.exit_code == 0 and site.told == []
    assert "deploy01: snow01 to snow02, 259 MiB" in ended.output and "snow02: 900 MiB free now, 382" in ended.output
    assert code_of(site.run("drain", "snow01")) == 4 and site.told == []

    ended = site.run("drain", "snow01", "--yes")
    assert ended.exit_code == 0, ended.output
    moved = [line for name in ("deploy01", "slurm01") for line in (MOVE.format(name, "snow02"), CLEAR.format(name))]
    assert site.told == [*moved, f"{STANDBY} --update=on"]
    assert set(site.world.running.values()) == {"snow02"}
    site.told.clear()
    assert site.run("undrain", "snow01").exit_code == 0
    assert site.told == [f"{STANDBY} --delete"] and set(site.world.running.values()) == {"snow02"}

    rows = [json.loads(line) for line in site.run("rebalance", "--yes", "--json").output.splitlines()]
    assert rows[0]["event"] == "plan" and rows[-1]["event"] == "run-ended"
    assert [move["target"] for move in rows[0]["moves"]] == ["snow01"]
    assert site.world.running["deploy01"] == "snow01"
    assert site.run("rebalance").output == "no move improves the balance\n"


def test_a_drain_that_fails_on_the_way_does_not_put_the_server_in_standby(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pacemaker would go on with what was given up."""
    site.deaf.add("deploy01")
    monkeypatch.setattr(
        cluster,
        "wait_for_answers",
        lambda *words, **options: (_ for _ in ()).throw(SiteError("it does not answer")),
    )
    ended = site.run("drain", "snow01", "--yes")
    assert ended.exit_code == 4
    assert not any("standby" in line or "slurm01" in line for line in site.told)


def test_a_server_that_is_lost_is_not_drained(site: EverydaySite) -> None:
    site.lose("snow02")
    assert code_of(site.run("drain", "snow02", "--yes")) == 3
    assert site.told == []
