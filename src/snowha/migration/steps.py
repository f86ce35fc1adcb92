"""The whole migration: every step, in the guide's order."""

from __future__ import annotations

from collections.abc import Mapping

from snowha.migration import corosync, images, pacemaker, placement, proofs, servers, snow_conf
from snowha.migration.ground import Ground
from snowha.plan.step import Step


def all_steps(ground: Ground, passwords: Mapping[str, str]) -> list[Step]:
    """Steps for ``snow ha apply``. ``passwords``: of the BMCs, by server."""
    return [
        *servers.steps(ground),
        *images.steps(ground),
        *corosync.steps(ground),
        *pacemaker.steps(ground, passwords),
        *placement.steps(ground),
        *proofs.steps(ground),
        *snow_conf.steps(ground, needs=("placement.spread",)),
    ]
