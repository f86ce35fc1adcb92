"""All steps of the migration together."""

from __future__ import annotations

from simulated import SECRET, single_server

from snowha.migration.lab_times import LAB_TIMES
from snowha.migration.sections import SECTIONS
from snowha.migration.steps import all_steps
from snowha.plan.step import Step


def steps() -> list[Step]:
    context, _, _ = single_server()
    return all_steps(context, {server.name: SECRET for server in context.site.servers})


def test_every_section_has_steps_and_no_step_another_section() -> None:
    """`--until` a section of the guide would be refused; the demonstration's page would leave its steps out."""
    assert {step.section for step in steps()} == set(SECTIONS)


def test_every_time_of_the_lab_is_of_a_step_that_there_is() -> None:
    """A step that got another name would be told of as one that nobody has measured."""
    known = {name for step in steps() for name in (step.kind, step.section)}
    assert set(LAB_TIMES.seconds) <= known


def test_a_name_that_a_step_has_ends_its_id() -> None:
    """The journal knows a step by its id: what another server's step took is found by what is left of it."""
    for step in steps():
        name = step.server or step.domain
        assert step.id == (f"{step.kind}.{name}" if name else step.kind)
        assert not (step.server and step.domain)
