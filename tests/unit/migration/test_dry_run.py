"""A dry run: how far a step is carried out on servers on which nothing is changed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from simulated import single_server

import snowha
from snowha.live.context import SiteContext
from snowha.migration.dry_run import DryRun
from snowha.plan.change import Change
from snowha.plan.step import Reporter, Shielded, Step


def rehearsed(apply: Callable[[SiteContext, Reporter], None]) -> Change:
    context, _, _ = single_server()

    def steps(there: SiteContext) -> list[Step]:
        return [Step("one", "One", "servers", lambda: "missing", lambda reporter: apply(there, reporter))]

    return DryRun(context, steps, ()).change("one")


def test_it_ends_where_a_step_waits_whatever_is_said_of_it() -> None:
    """The plan would wait as long as the step does, for what never comes: nothing was changed."""

    def apply(context: SiteContext, reporter: Reporter) -> None:
        context.first.run(["touch", "/etc/before"])
        Shielded(reporter).wait("snow02 is restarting")
        context.first.run(["touch", "/etc/after"])

    change = rehearsed(apply)
    assert [command.text for command in change.commands] == ["touch /etc/before"]
    assert not change.complete


def test_it_goes_on_where_a_step_only_tells_of_a_wait() -> None:
    """The plan would leave out what comes after a sentence that happens to begin so."""

    def apply(context: SiteContext, reporter: Reporter) -> None:
        reporter.say("waiting for nobody")
        context.first.run(["touch", "/etc/after"])

    change = rehearsed(apply)
    assert [command.text for command in change.commands] == ["touch /etc/after"]
    assert change.complete


def test_every_wait_of_a_step_is_told_as_a_wait() -> None:
    """A dry run would stay where a step waits and only says so: `plan` would take until that wait times out."""
    said = [
        f"{path}:{call.lineno}"
        for path in Path(snowha.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "wait_for"
        for word in call.keywords
        if word.arg == "report" and isinstance(word.value, ast.Attribute) and word.value.attr == "say"
    ]
    assert said == []
