"""Fence devices that are not what they say. With each: nothing runs twice, somebody is told at once, and what can be typed is
said. The times are printed, for docs/safety.md."""

from __future__ import annotations

import time
from collections.abc import Callable

from conftest import Administrator, shell, wait_until
from test_3_one_image import at_once
from test_disasters import all_answer_since, qemu
from test_one_image import all_run_on

from snowha.lab import layout, lifecycle, machines
from snowha.lab.bmc_faults import Fault
from snowha.lab.layout import SNOW02

LOST_S = 120
"""Until `status` says that a server is lost: Corosync's token, and two looks."""
ATTEMPT_S = 260
"""Until one attempt has failed: Pacemaker's limit, a fifth more (TIMEOUT_MULTIPLY_FACTOR), and a slow processor."""


def is_on() -> bool:
    return machines.is_on(SNOW02, layout.paths())


def cut_off() -> None:
    """snow02 runs on, and nobody sees it."""
    for network in layout.NETWORKS:
        lifecycle.cable("snow02", network.name, False)


def told(cluster: Administrator) -> dict[str, str]:
    """What `status` says of snow02 being lost; empty if it does not."""
    found = [one for one in cluster.status()["findings"] if one["code"] == "server-unclean"]
    return found[0] if found else {}


class Clock:
    """Seconds since something was broken."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.began = time.monotonic()

    def until(self, condition: Callable[[], object], *, timeout: float, what: str) -> None:
        wait_until(condition, timeout=timeout, what=what)
        print(f"{self.what}: {what} after {time.monotonic() - self.began:.0f} s")


def nothing_is_taken_over() -> None:
    """While nobody knows whether snow02 is off: not one domain of it, nor one lease."""
    assert at_once() == []
    assert not all_run_on("snow01")


def told_and_not_taken_over(cluster: Administrator, fault: Fault, break_it: Callable[[], None]) -> Clock:
    """Break snow02 while its BMC has ``fault``: it is told at once, and after a failed attempt how long and what to type."""
    lifecycle.bmc("snow02", fault)
    clock = Clock(fault)
    break_it()
    clock.until(lambda: told(cluster), timeout=LOST_S, what="status says that snow02 is lost")
    clock.until(
        lambda: "--confirm=snow02" in told(cluster).get("remedy", ""),
        timeout=ATTEMPT_S,
        what="status says what can be typed",
    )
    found = told(cluster)
    print(found["message"], found["remedy"], sep="\n  ")
    assert "fencing it has failed" in found["message"]
    assert not cluster.status()["healthy"]
    nothing_is_taken_over()
    return clock


def recovered(clock: Clock, since: float, timeout: float = 900) -> None:
    clock.until(lambda: all_run_on("snow01"), timeout=timeout, what="every domain runs on snow01")
    clock.until(lambda: all_answer_since(since), timeout=400, what="every domain answers")
    assert at_once() == []


def test_a_bmc_that_hangs_is_tried_again_until_it_answers(cluster: Administrator) -> None:
    """Without a person: it is heard as soon as it answers again."""
    clock = told_and_not_taken_over(cluster, "hang", cut_off)
    lifecycle.bmc("snow02", "ok")
    answers = time.time()
    recovered(clock, answers)


def test_a_bmc_that_takes_20_seconds_for_each_answer_fences(cluster: Administrator) -> None:
    """ipmitool, as the agent runs it by default, gives up after 14."""
    lifecycle.bmc("snow02", "slow")
    clock = Clock("slow")
    before = qemu()
    lost = time.time()
    cut_off()
    clock.until(lambda: qemu() != before, timeout=ATTEMPT_S, what="the power was cut")
    recovered(clock, lost)
    history = shell("snow01", "stonith_admin --history=snow02")
    print(history)
    assert "failed" not in history.lower()


def test_a_bmc_that_says_off_of_a_server_that_runs_is_not_believed(cluster: Administrator) -> None:
    """It never says "on" either. The agent waits for that, and Pacemaker ends it: no lease is taken from a server that writes."""
    before = qemu()
    clock = told_and_not_taken_over(cluster, "says-off", cut_off)
    assert qemu() == before, "its power was cut after all"
    # somebody goes there, sees that it runs, and pulls its plugs
    lifecycle.power("snow02", "off")
    confirmed = confirm()
    recovered(clock, confirmed)


def test_a_bmc_that_says_on_of_a_server_that_is_off_needs_a_person(cluster: Administrator) -> None:
    clock = told_and_not_taken_over(cluster, "says-on", lambda: lifecycle.power("snow02", "off"))
    lifecycle.power("snow02", "off")
    confirmed = confirm()
    recovered(clock, confirmed)


def test_a_bmc_that_is_dead_together_with_its_server_needs_a_person(cluster: Administrator) -> None:
    """The one fence device that most sites have shares its server's power."""
    clock = told_and_not_taken_over(cluster, "dead", lambda: None)
    confirmed = confirm()
    recovered(clock, confirmed)


def test_power_that_comes_back_to_both_needs_nobody(cluster: Administrator) -> None:
    """However often fencing has failed, it is tried again: within the recheck interval, when Pacemaker has given up."""
    clock = told_and_not_taken_over(cluster, "dead", lambda: None)
    lifecycle.bmc("snow02", "ok")
    powered = time.time()
    recovered(clock, powered)


def confirm() -> float:
    """What status names, typed on the other server. Only of a server that is off."""
    assert not is_on()
    print(shell("snow01", "stonith_admin --confirm=snow02"))
    return time.time()
