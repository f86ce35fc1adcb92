"""The whole migration: every step, in the guide's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from snowha.errors import SnowError
from snowha.hosts.remember import for_prefetch
from snowha.migration import corosync, definition, describe, images, pacemaker, placement, proofs, servers, snow_conf
from snowha.migration.ground import Ground
from snowha.plan.record import on_behalf_of
from snowha.plan.step import Reporter, Step


def all_steps(ground: Ground, passwords: Mapping[str, str]) -> list[Step]:
    """Steps for ``snow ha apply``. ``passwords``: of the BMCs, by server."""
    found = [
        *servers.steps(ground),
        *images.steps(ground),
        *corosync.steps(ground),
        *pacemaker.steps(ground, passwords),
        *definition.steps(ground),
        *placement.steps(ground),
        *proofs.steps(ground),
        *snow_conf.steps(ground, needs=("pacemaker.cib",)),
    ]
    descriptions = describe.descriptions(ground)
    return [replace(carried_out(ground, step), describe=step.describe or descriptions.get(step.id)) for step in found]


def carried_out(ground: Ground, step: Step) -> Step:
    """``step`` such that the servers are asked anew from its first change on, and its commands are known as its own.
    What fails after the lock was lost fails for that reason, whatever it was."""
    proof = partial(_do, ground, step.id, step.proof) if step.proof else None
    return replace(step, check=partial(_look, step.check), apply=partial(_do, ground, step.id, step.apply), proof=proof)


def _look(check: Callable[[], str | None]) -> str | None:
    with for_prefetch():
        return check()


def _do(ground: Ground, name: str, work: Callable[[Reporter], None], reporter: Reporter) -> None:
    ground.forget()
    with on_behalf_of(name):
        try:
            work(reporter)
        except SnowError:
            ground.verify_lock()
            raise
