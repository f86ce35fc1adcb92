"""Since when something is wrong, from the servers' journals."""

from __future__ import annotations

import re

from snowha.health import findings, history
from snowha.health.history import ClusterEvent, History, read

BEGIN = 1_700_000_000


def line(seconds: int, text: str, server: str = "snow01") -> str:
    return f"{BEGIN + seconds}.000123 {server} pacemaker-controld[812]:  notice: {text}\n"


LOST = line(10, "Node snow02 state is now lost") + line(11, "Node snow02 state is now lost", "snow03")
BACK = line(60, "Node snow02 state is now member")


def test_a_server_is_lost_since_the_first_one_said_so() -> None:
    """Several daemons on several servers say it, some of them later."""
    assert read([LOST]).lost == {"snow02": BEGIN + 10}
    assert read([BACK, LOST]).lost == {}
    again = line(99, "Node snow02 state is now lost")
    assert read([again, BACK, LOST]).lost == {"snow02": BEGIN + 99}


def test_journals_that_come_backwards_are_read_as_they_happened() -> None:
    """journalctl(1) reverses them in some versions where it looks for words and is given a number of lines."""
    assert read(["".join(reversed((LOST + BACK).splitlines(keepends=True)))]).lost == {}


def test_a_stop_that_failed_and_the_loss_of_quorum() -> None:
    text = (
        line(1, "Result of start operation for deploy01 on snow01: ok")
        + line(5, "Result of stop operation for deploy01 on snow01: error (no such file)")
        + line(7, "Quorum lost")
        + line(8, "Quorum lost")
    )
    assert read([text]) == History({}, {"deploy01": BEGIN + 5}, BEGIN + 7)
    assert read([text, line(9, "Quorum acquired", "snow02")]).no_quorum is None


def result(seconds: int, action: str, server: str, said: str = "ok") -> str:
    return line(seconds, f"Result of {action} operation for deploy01 on {server}: {said}", server)


def test_what_does_not_start_is_down_since_it_ended_and_not_since_the_last_attempt() -> None:
    """A domain that was down all night was said to be so for two minutes: Pacemaker had just tried again."""
    text = result(1, "start", "snow01") + result(5, "stop", "snow01", "OK")
    text += "".join(result(second, "start", "snow02", "error (no room)") for second in (9, 200, 400))
    assert read([text]).down == {"deploy01": BEGIN + 5}
    assert read([text, result(500, "start", "snow02", "OK")]).down == {}


def test_what_ran_on_a_server_is_down_since_that_was_lost() -> None:
    """It was said to be down since its last start, days before."""
    text = result(1, "start", "snow02") + LOST
    assert read([text]).down == {"deploy01": BEGIN + 10}
    assert read([text, result(40, "start", "snow01")]).down == {}


def test_what_has_migrated_is_not_down_since_it_was_stopped_behind_it() -> None:
    text = result(1, "start", "snow01") + result(20, "migrate_to", "snow01") + result(21, "migrate_from", "snow02")
    text += result(22, "stop", "snow01")
    assert read([text]).down == {}
    assert read([text, result(30, "stop", "snow02", "error (hangs)")]).down == {"deploy01": BEGIN + 30}


def test_a_stop_and_a_start_within_a_second_are_in_their_order() -> None:
    stop, start = result(1, "stop", "snow01"), result(1, "start", "snow01").replace(".000123", ".700000")
    assert read([start, stop]).down == {}


def test_what_else_stands_in_a_journal_is_not_taken_for_it() -> None:
    assert read(["-- No entries --\n", "x", f"{BEGIN} notice: Node a state is now lost\n"]) == History()


def test_a_finding_gets_the_time_of_what_it_is_about_and_no_other() -> None:
    """A wrong time is worse than none."""
    known = History({"snow02": BEGIN}, {"deploy01": BEGIN + 5})
    out = findings.found("server-out", "snow02", "snow02 is out of the cluster")
    off = findings.found("resource-stopped", "deploy01", "deploy01 runs on no server")
    other = findings.found("server-out", "snow03", "snow03 is out of the cluster")
    standby = findings.found("server-standby", "snow02", "snow02 is in standby")
    dated = history.dated([out, off, other, standby], known)
    assert [one.since for one in dated] == ["2023-11-14T22:13:20Z", "2023-11-14T22:13:25Z", "", ""]
    assert dated[2:] == (other, standby)


def test_what_happened_is_told_once_and_in_order() -> None:
    """Each of five servers, and each daemon of Pacemaker, says that one of them is lost."""
    text = LOST + BACK + line(30, "Quorum lost") + line(30, "Quorum lost", "snow03")
    act = line(20, "Result of start operation for deploy01 on snow01: error (no such file)")
    assert history.events([act, text, text]) == (
        ClusterEvent(BEGIN + 10.000123, "state", "snow02", result="lost"),
        ClusterEvent(BEGIN + 20.000123, "start", "deploy01", "snow01", "error (no such file)"),
        ClusterEvent(BEGIN + 30.000123, "quorum", "", result="lost"),
        ClusterEvent(BEGIN + 60.000123, "state", "snow02", result="member"),
    )
    assert history.events(["-- No entries --\n"]) == ()


# journalctl --output=short-unix of a server with Pacemaker 3.0.0, and one with 2.1.5
RESULTS = """\
1795794602.693904 snow01 pacemaker-controld[530]:  notice: Result of stop operation for proxy01 on snow01: OK
1795794602.693904 snow01 pacemaker-controld[530]:  notice: Result of stop operation for proxy01 on snow01: ok
"""


def test_what_succeeded_is_no_failure_whichever_pacemaker_says_so() -> None:
    """Debian 13's says OK, Debian 12's ok: each start and stop was shown as a failure, and no downtime at all."""
    for text in RESULTS.splitlines(keepends=True):
        assert history.events([text]) == (ClusterEvent(1795794602.693904, "stop", "proxy01", "snow01", "ok"),)


def test_what_is_understood_is_also_asked_for() -> None:
    """A line that journalctl leaves out would never be seen."""
    for said in (
        "Node a state is now lost",
        "Quorum lost",
        "Quorum acquired",
        "Result of stop operation for a on b: ok",
    ):
        assert re.search(history.WANTED, said), said
    assert not re.search(history.WANTED, "Result of monitor operation for a on b: ok")  # one every ten seconds
