"""Disasters on the finished cluster, each from the same snapshot."""

from __future__ import annotations

import time
from collections import Counter

from conftest import Administrator, wait_until
from test_2_migration import nothing_lost

from snowha.lab import domain_probe, layout, lifecycle, machines
from snowha.lab.layout import DOMAINS


def all_answer_since(since: float, *, times: int = 1) -> bool:
    log = domain_probe.read_log(layout.paths().client_log)
    answers = Counter(attempt.domain for attempt in log.attempts if attempt.number and attempt.t >= since)
    return all(answers[plan.name] >= times for plan in DOMAINS)


def qemu() -> int | None:
    """The process that is snow02: another one after its power was cut and given again."""
    return machines.pid(layout.SNOW02, layout.paths())


def test_a_server_cut_off_from_everything_is_fenced_and_nothing_runs_twice(cluster: Administrator) -> None:
    """With the guide's configuration a network cut starts every domain a second time on the same image."""
    before = qemu()
    lifecycle.cable("snow02", "snow", False)
    lifecycle.cable("snow02", "mgmt", False)
    wait_until(lambda: qemu() != before, timeout=180, what="snow02 is fenced")
    fenced_at = time.time()
    wait_until(lambda: all_answer_since(fenced_at, times=10), timeout=600, what="every domain answers again")
    # a new log since the restore, and the domain that checks its reads may have begun anew
    nothing_lost(records_each=10, stale_checks=0)
