"""The whole migration: every step, in the guide's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from snowha.migration import corosync, images, pacemaker, placement, proofs, servers, snow_conf
from snowha.migration.ground import Ground
from snowha.plan.step import Reporter, Step


def all_steps(ground: Ground, passwords: Mapping[str, str]) -> list[Step]:
    """Steps for ``snow ha apply``. ``passwords``: of the BMCs, by server."""
    found = [
        *servers.steps(ground),
        *images.steps(ground),
        *corosync.steps(ground),
        *pacemaker.steps(ground, passwords),
        *placement.steps(ground),
        *proofs.steps(ground),
        *snow_conf.steps(ground, needs=("pacemaker.cib",)),
    ]
    return [replace(step, apply=partial(_apply, ground, step)) for step in found]


def _apply(ground: Ground, step: Step, reporter: Reporter) -> None:
    ground.forget()
    step.apply(reporter)
