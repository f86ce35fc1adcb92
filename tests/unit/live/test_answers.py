"""Waiting for a domain that has several addresses."""

from __future__ import annotations

import threading

import pytest

from snowha.hosts.local import LocalHost
from snowha.live import cluster
from snowha.plan.reporter import StepReporter
from snowha.plan.step import Step


def test_the_time_given_is_that_for_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`snow boot --timeout 300` of a domain with four cards would take twenty minutes to say that it does not answer."""
    now = 1000.0
    given = []

    def forty_seconds(_condition: object, *, timeout: float, **_words: object) -> bool:
        nonlocal now
        given.append(timeout)
        now += 40
        return True

    monkeypatch.setattr("snowha.live.cluster.time.monotonic", lambda: now)
    monkeypatch.setattr(cluster, "wait_for", forty_seconds)
    step = Step(
        id="boot.web01", title="Boot web01", section="domains", check=lambda: None, apply=lambda _reporter: None
    )
    reporter = StepReporter(
        step, emit=print, cancelled=threading.Event(), keep=lambda _key, _fact: None, note=lambda *_progress: None
    )
    cluster.wait_for_answers(LocalHost("a"), "web01", ["10.0.0.1", "10.0.0.2", "10.0.0.3"], reporter, timeout=70)
    assert given == [70, 30, 1]
