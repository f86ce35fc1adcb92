"""``snow move``, ``drain``, ``undrain`` and ``rebalance`` from the command line."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_clusters import node, removed, without_quorum
from everyday_site import EverydaySite
from listener import Listener
from view_site import code_of

from snowha.cli import progress
from snowha.cli.progress import Line
from snowha.errors import CommandError, SiteError, SnowError
from snowha.hosts.host import Completed, Host
from snowha.hosts.wait import NotYet
from snowha.live import cluster
from snowha.plan.events import Event, RunLeftovers, RunStopping

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


def test_while_it_is_migrated_it_is_said_how_far_that_is(site: EverydaySite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever moves 64 GiB would see nothing for minutes, and not know whether to wait. The file is as the agent writes it."""
    require_at, answer = cluster._require_at, site.answer
    noted = ["pid=7\ntarget=snow02\nseconds=9.0\nsent=734003200\nrate=104857600\nmemory=536870912\n", "pid=7\n", ""]
    seen: list[str] = []

    def arriving(hosts: dict[str, Host], domains: dict[str, str]) -> None:
        if noted:
            raise NotYet("deploy01 not there yet")
        require_at(hosts, domains)

    def noting(server: str, words: list[str]) -> str | int | Completed | None:
        if words == ["cat", "/run/snow-lease/migrate/deploy01.progress"]:
            seen.append(server)
            return noted.pop(0)
        said: str | int | Completed | None = answer(server, words)
        return said

    monkeypatch.setattr(cluster, "_require_at", arriving)
    monkeypatch.setattr(site, "answer", noting)
    ended = site.run("move", "deploy01", "--json")
    assert ended.exit_code == 0, ended.output
    said = "(deploy01 not there yet: 700 MiB sent of 512 MiB memory, 100 MiB/s, at least round 2 of 6)"
    texts = [json.loads(line).get("text", "") for line in ended.output.splitlines()]
    assert f"waiting for deploy01 to run on snow02 {said}" in texts
    assert "waiting for deploy01 to run on snow02 (deploy01 not there yet)" in texts
    assert seen == ["snow01"] * 3


def test_a_constraint_that_a_killed_run_left_is_removed(site: EverydaySite) -> None:
    """Where the domain is there already, `crm_resource --move` fails: nothing is moved, and the constraint goes all the same."""
    site.constraints.add("deploy01")
    assert site.run("move", "deploy01", "snow01").exit_code == 0
    assert site.constraints == set() and site.told == [CLEAR.format("deploy01")]


def test_the_constraint_is_removed_although_pacemaker_was_away_meanwhile(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left behind, with a message that named it nowhere, where Pacemaker was restarted at the end of a move."""
    trouble: list[SnowError] = [CommandError("timed out after 60 s"), SiteError("Pacemaker runs on no server")]
    any_member = cluster.any_member

    def troubled(hosts: dict[str, Host], **options: str) -> Host:
        if site.constraints and trouble:
            raise trouble.pop()
        return any_member(hosts, **options)

    monkeypatch.setattr(cluster, "any_member", troubled)
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 0, ended.output
    assert trouble == [] and site.constraints == set()


def test_of_several_moves_one_constraint_that_stays_leaves_the_others_none(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = site.answer

    def refusing(server: str, words: list[str]) -> str | int | Completed | None:
        if words == ["crm_resource", "--clear", "--resource=deploy01"]:
            return Completed(tuple(words), 1, "", "no right to do so")
        said: str | int | Completed | None = answer(server, words)
        return said

    monkeypatch.setattr(site, "answer", refusing)
    monkeypatch.setattr(cluster, "_CLEAR_S", 0.0)
    with pytest.raises(SiteError) as caught:
        cluster.move({**site.hosts}, {"deploy01": "snow02", "slurm01": "snow02"}, Listener())
    assert site.constraints == {"deploy01"}
    assert "no right to do so" in caught.value.message and "crm_resource --clear" in caught.value.remedy


@pytest.mark.parametrize(
    ("words", "first"),
    [(("drain", "snow01", "--yes"), "snow02"), (("rebalance", "--yes"), "snow01"), (("move", "slurm01"), "snow02")],
)
def test_a_plan_that_somebody_else_has_overtaken_is_not_carried_out(
    site: EverydaySite, words: tuple[str, ...], first: str
) -> None:
    """It was agreed to for another site: what it says of memory, anti-affinity and the loss of a server is no longer so."""
    site.world.running = {**dict.fromkeys(site.world.running, "snow01"), "proxy01": first}

    def meanwhile() -> None:
        site.world.running["slurm01"] = site.world.running["slurm02"] = "snow02"

    site.until_lock = meanwhile
    ended = site.run(*words)
    assert isinstance(ended.exception, SiteError) and site.told == [], ended.output
    assert "the site has changed since the plan was made: " in str(ended.exception)
    assert "; no longer " in str(ended.exception) or ": no longer " in str(ended.exception)
    assert site.turns == 1


def test_a_site_that_stayed_as_it_was_planned_for_is_changed(site: EverydaySite) -> None:
    """Free memory is never the same twice: that alone is no other plan."""
    answer, free = site.answer, [900]

    def shrinking(server: str, words: list[str]) -> str | int | Completed | None:
        if words == ["xl", "info"]:
            free[0] -= 1
            return f"xen_version : 4.20.5\nvirt_caps : hvm hap\ntotal_memory : 4096\nfree_memory : {free[0]}\n"
        said: str | int | Completed | None = answer(server, words)
        return said

    site.answer = shrinking  # type: ignore[method-assign]
    ended = site.run("drain", "snow01", "--yes")
    assert ended.exit_code == 0 and site.standby == {"snow01"}, ended.output


def test_what_cannot_be_live_is_refused_before_anything_is_told(site: EverydaySite) -> None:
    """Pacemaker would shut it down and start it elsewhere, without a word."""
    site.live.discard("deploy01")
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 4 and site.told == []
    assert "it is a PV domain, and Xen on snow01 is built without shadow paging" in ended.output
    assert "to restart it there instead: --restart" in ended.output
    assert site.run("move", "deploy01", "--restart").exit_code == 0


@pytest.mark.parametrize("words", [("deploy01", "snow02"), ("deploy01", "snow02", "--restart")])
def test_a_restart_is_not_offered_where_it_is_refused_for_the_same_reason(
    site: EverydaySite, words: tuple[str, ...]
) -> None:
    """There is no room, Pacemaker does not have it, there is no quorum: whoever typed --restart was told to type --restart."""
    site.changes.append(removed("deploy01"))
    ended = site.run("move", *words)
    assert ended.exit_code == 4 and "Pacemaker does not have it" in ended.output, ended.output
    assert "--restart" not in ended.output and "see `snow list servers`" in ended.output


def test_a_domain_that_was_restarted_instead_is_no_success(site: EverydaySite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that breaks ends in a restart: whoever asked for a live one must hear of it."""
    move = cluster.move

    def restarted(hosts: dict[str, Host], *words: object, **options: object) -> None:
        move(hosts, *words, **options)  # type: ignore[arg-type]
        site.uuids["deploy01"] = "00000000-0000-0000-0000-000000000099"

    monkeypatch.setattr(cluster, "move", restarted)
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 6 and "restarted on snow02" in ended.output


@pytest.mark.parametrize(("last", "code"), [("start", 6), ("migrate_from", 0)])
def test_a_domain_with_a_uuid_of_its_own_is_told_from_a_restarted_one_by_pacemaker(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch, last: str, code: int
) -> None:
    """Its config gives it the same UUID when it is started anew: a restart was taken for a live migration."""
    config = "/sNow/etc/domains/deploy01.cfg"
    text, mode = site.world.shared[config]
    site.world.shared[config] = text + f"uuid = '{site.uuids['deploy01']}'\n".encode(), mode
    rows = "".join(
        f'<lrm_rsc_op operation="{operation}" rc-code="0" call-id="{number}"/>'
        for number, operation in ((7, "stop"), (11, last), (9, "start"))
    )
    history = f'<lrm_resource id="deploy01">{rows}</lrm_resource>'
    status = f'<status><node_state uname="snow02"><lrm>{history}</lrm></node_state></status></cib>'
    before = site._cib
    monkeypatch.setattr(site, "_cib", lambda: before().replace("</cib>", status))
    ended = site.run("move", "deploy01")
    assert ended.exit_code == code, ended.output
    assert ("was restarted on snow02" in ended.output) == (last == "start")


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
    (said,) = site.run("rebalance").output.splitlines()
    assert said.startswith("no move improves the balance: none parts domains")


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


def test_a_second_ctrl_c_during_a_move_leaves_no_constraint(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pacemaker started the domain on no other server for 30 minutes, also when that one was lost."""
    answer, lines_of = site.answer, progress.lines_of
    told = {RunStopping: threading.Event(), RunLeftovers: threading.Event()}

    def press_ctrl_c(until: type[Event]) -> None:
        """A second one before the first was heard would be one for Python."""
        os.kill(os.getpid(), signal.SIGINT)
        assert told[until].wait(10)

    def stopping(server: str, words: list[str]) -> str | int | Completed | None:
        if words[:2] == ["crm_resource", "--move"]:
            press_ctrl_c(RunStopping)
        if words[:2] == ["crm_resource", "--clear"]:
            press_ctrl_c(RunLeftovers)
        said: str | int | Completed | None = answer(server, words)
        return said

    def telling(event: Event, left: list[str]) -> Iterator[Line]:
        if type(event) in told:
            told[type(event)].set()
        return lines_of(event, left)

    monkeypatch.setattr(progress, "lines_of", telling)
    monkeypatch.setattr(site, "answer", stopping)
    ended = site.run("move", "deploy01")
    assert ended.exit_code == 130, ended.output
    assert site.constraints == set() and site.told[-1] == CLEAR.format("deploy01")
    assert "removing the constraint of the move of deploy01 (it ends at" in ended.output


def test_a_server_that_is_out_for_another_reason_is_not_said_to_be_back(site: EverydaySite) -> None:
    """`snow undrain` of a server on which Pacemaker was stopped said that there is nothing to do."""
    site.changes.append(node("snow02", online="false"))
    ended = site.run("undrain", "snow02")
    assert ended.exit_code == 4 and site.told == []
    assert "snow02 is not in standby, and Pacemaker starts nothing there: it is offline" in ended.output


def test_a_domain_that_runs_twice_or_that_pacemaker_lacks_is_not_waited_for(site: EverydaySite) -> None:
    """Told to move it to a server where it runs already, it was waited for half an hour."""
    site.changes.append(removed("deploy01"))
    ended = site.run("move", "deploy01", "snow01", "--timeout", "1")
    assert ended.exit_code == 4 and site.told == [] and "Pacemaker does not have it" in ended.output
    site.changes.clear()
    site.more["snow02"] = "deploy01 9 256 1 -b---- 1.0\n"
    ended = site.run("move", "deploy01", "snow01", "--timeout", "1")
    assert ended.exit_code == 4 and site.told == [] and "it runs on snow01 and snow02 at once" in ended.output


@pytest.mark.parametrize("words", [("move", "deploy01"), ("drain", "snow01", "--yes"), ("rebalance",)])
def test_nothing_is_moved_without_quorum(site: EverydaySite, words: tuple[str, ...]) -> None:
    """Pacemaker does nothing then: each move was waited for half an hour."""
    site.changes.append(without_quorum)
    ended = site.run(*words)
    assert code_of(ended) == 4 and site.told == []
    assert "there is no quorum: Pacemaker moves nothing" in ended.output + str(ended.exception)
