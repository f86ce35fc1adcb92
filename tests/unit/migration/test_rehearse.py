"""A rehearsal: how far a step is carried out on servers on which nothing is changed."""

from __future__ import annotations

from collections.abc import Callable

from simulated import single_server

from snowha.migration.ground import Ground
from snowha.migration.rehearse import Rehearsal
from snowha.plan.change import Change
from snowha.plan.step import Reporter, Step, Unstoppable


def rehearsed(apply: Callable[[Ground, Reporter], None]) -> Change:
    ground, _, _ = single_server()

    def steps(there: Ground) -> list[Step]:
        return [Step("one", "One", "servers", lambda: "missing", lambda reporter: apply(there, reporter))]

    return Rehearsal(ground, steps, ()).change("one")


def test_it_ends_where_a_step_waits_whatever_is_said_of_it() -> None:
    """The plan would wait as long as the step does, for what never comes: nothing was changed."""

    def apply(ground: Ground, reporter: Reporter) -> None:
        ground.first.run(["touch", "/etc/before"])
        Unstoppable(reporter).wait("snow02 is restarting")
        ground.first.run(["touch", "/etc/after"])

    change = rehearsed(apply)
    assert [command.text for command in change.commands] == ["touch /etc/before"]
    assert not change.complete


def test_it_goes_on_where_a_step_only_tells_of_a_wait() -> None:
    """The plan would leave out what comes after a sentence that happens to begin so."""

    def apply(ground: Ground, reporter: Reporter) -> None:
        reporter.say("waiting for nobody")
        ground.first.run(["touch", "/etc/after"])

    change = rehearsed(apply)
    assert [command.text for command in change.commands] == ["touch /etc/after"]
    assert change.complete
