"""Disasters on the finished cluster, each from the same snapshot."""

from __future__ import annotations

import time

from conftest import Administrator, wait_until
from test_2_migration import nothing_lost

from snowha.lab import client, layout, machines, site
from snowha.lab.layout import DOMAINS


def answering_since(since: float) -> set[str]:
    log = client.read_log(layout.paths().client_log)
    return {attempt.domain for attempt in log.attempts if attempt.number and attempt.t >= since}


def all_answer_since(since: float) -> bool:
    return answering_since(since) == {plan.name for plan in DOMAINS}


def qemu() -> int | None:
    """The process that is snow02: another one after its power was cut and given again."""
    return machines.pid(layout.SNOW02, layout.paths())


def test_a_server_cut_off_from_everything_is_fenced_and_nothing_runs_twice(cluster: Administrator) -> None:
    """With the guide's configuration a network cut starts every domain a second time on the same image."""
    before = qemu()
    site.cable("snow02", "snow", False)
    site.cable("snow02", "mgmt", False)
    cut_at = time.time()
    wait_until(lambda: qemu() != before, timeout=180, what="snow02 is fenced")
    wait_until(lambda: all_answer_since(cut_at + 20), timeout=600, what="every domain answers again")
    nothing_lost()
