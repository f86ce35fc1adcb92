"""How long a run says that it still takes: what was measured here, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from snowha.plan import events
from snowha.plan.engine import run
from snowha.plan.estimate import measured
from snowha.plan.journal import Journal
from snowha.plan.remaining import Remaining, simulated
from snowha.plan.step import Reporter, Step
from snowha.plan.step_state import State, StepState


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as journal:
        yield journal


def remember(journal: Journal, seconds: Mapping[str, float]) -> None:
    """An earlier run, in which steps took so long."""
    number = journal.begin()
    for step, took in seconds.items():
        journal.note(number, step, "done", seconds=took)
    journal.end(number, "done")


def step(
    name: str, *needs: str, uses: tuple[str, ...] = (), so: bool = False, server: str = "", domain: str = ""
) -> Step:
    done = [True] if so else []

    def apply(reporter: Reporter) -> None:
        done.append(True)

    def check() -> str | None:
        return None if done else "not so"

    return Step(name, name, "servers", check, apply, needs=needs, uses=uses, server=server, domain=domain)


def told(journal: Journal, *steps: Step) -> list[float | None]:
    said: list[events.Event] = []
    assert run(steps, monitor=said.append, journal=journal, confirm=lambda _: True).ok
    return [event.left_s for event in said if isinstance(event, events.RunLeft)]


@pytest.mark.parametrize(
    ("steps", "running", "workers", "seconds"),
    [
        ([step("a"), step("b")], [], 8, 20),
        ([step("a"), step("b")], [], 1, 30),
        ([step("a"), step("b", "a"), step("c", "a")], [], 8, 40),
        ([step("a", uses=("server",)), step("b", uses=("server",))], ["a"], 8, 30),
        ([step("a", "done long ago")], [], 8, 10),
        ([], [], 8, 0),
    ],
)
def test_steps_side_by_side_are_not_added_up(
    steps: list[Step], running: list[str], workers: int, seconds: float
) -> None:
    assert simulated(steps, {"a": 10.0, "b": 20.0, "c": 30.0}, running, workers) == seconds


def test_a_run_says_how_long_it_takes_if_all_of_it_was_measured_here(journal: Journal) -> None:
    remember(journal, {"a": 100, "b": 200, "already": 999})
    left = told(journal, step("already", so=True), step("a"), step("b", "a"))
    assert left[0] is not None and 299 < left[0] <= 300
    assert left[1] is not None and 199 < left[1] <= 200
    assert left[-1] == 0


def test_without_a_measure_there_is_no_figure(journal: Journal) -> None:
    """The lab's figures, or those of another step, would be believed by somebody who plans an evening."""
    remember(journal, {"a": 100})
    assert told(journal, step("a"), step("servers.packages", "a")) == [0.0]  # when all is done


@pytest.mark.parametrize(("took", "least", "most"), [(100.0, 0, 40), (60.0, None, None)])
def test_what_takes_longer_than_ever_is_not_said_to_be_over_soon(
    journal: Journal, took: float, least: float | None, most: float | None
) -> None:
    remember(journal, {"a": took})
    track = StepState(step("a"), state=State.RUNNING, began=time.monotonic() - 60)
    left = Remaining(journal, 8).seconds({"a": track})
    if least is None or most is None:
        assert left is None
    else:
        assert left is not None and least < left <= most


@pytest.mark.parametrize(
    ("like", "seconds"),
    [
        (step("servers.packages.snow01", server="snow01"), 219),
        (step("servers.packages.snow02", server="snow02"), 219),
        (step("images.slurm01", domain="slurm01"), None),
        (step("undo.images.slurm01", domain="slurm01"), None),
        (step("proofs.other"), None),
    ],
)
def test_another_server_is_a_measure_and_another_domain_is_none(
    journal: Journal, like: Step, seconds: float | None
) -> None:
    """A domain's disks may be a hundred times as large as another's."""
    took = {"servers.packages.snow01": 219, "images.deploy01": 99, "undo.images.deploy01": 99, "proofs.floating-ip": 35}
    remember(journal, took)
    found = measured(like, journal)
    assert (found.seconds if found else None) == seconds
