"""When domains were off, from what Pacemaker has written down."""

from __future__ import annotations

from snowha.health import history
from snowha.health.downtimes import Downtime, of_domains


def told(*lines: tuple[float, str]) -> tuple[history.ClusterEvent, ...]:
    """As the servers' journals have it."""
    return history.events(f"{at:.6f} snow01 pacemaker-controld[812]:  notice: {text}\n" for at, text in lines)


def did(action: str, domain: str, server: str, result: str = "ok") -> str:
    return f"Result of {action} operation for {domain} on {server}: {result}"


def test_a_domain_whose_server_was_lost_is_off_until_it_is_started_elsewhere() -> None:
    """The page would show no downtime for the worst that can happen."""
    events = told(
        (100, did("start", "deploy01", "snow02")),
        (100, did("start", "proxy01", "snow01")),
        (500, "Node snow02 state is now lost"),
        (534.5, did("start", "deploy01", "snow01")),
    )
    assert of_domains(events, ["deploy01", "proxy01"]) == (Downtime("deploy01", 500, 534.5, "snow02 was lost"),)


def test_a_live_migration_is_no_downtime_whichever_clock_is_ahead() -> None:
    """Pacemaker stops the domain on the server that it has left: it would be shown as off for ever."""
    move = [(200, did("migrate_to", "deploy01", "snow01")), (201, did("migrate_from", "deploy01", "snow02"))]
    for stopped in (200.5, 202):
        events = told((100, did("start", "deploy01", "snow01")), *move, (stopped, did("stop", "deploy01", "snow01")))
        assert of_domains(events, ["deploy01"]) == ()


def test_one_that_is_shut_down_is_off_since_then_and_a_failed_start_does_not_end_that() -> None:
    events = told((100, did("stop", "deploy01", "snow01")), (110, did("start", "deploy01", "snow01", "error (1)")))
    assert of_domains(events, ["deploy01"]) == (Downtime("deploy01", 100, None, "stopped"),)
    assert of_domains(events, ["proxy01"]) == ()


def test_what_was_before_the_first_line_is_no_downtime() -> None:
    """The journal of a week begins with a start: nobody knows for how long the domain was off before it."""
    assert of_domains(told((100, did("start", "deploy01", "snow01"))), ["deploy01"]) == ()
