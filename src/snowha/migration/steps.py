"""The whole migration: every step, in the guide's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from snowha.disks import steps as disk_steps
from snowha.errors import SnowError
from snowha.hosts.caching import for_prefetch
from snowha.live import definition
from snowha.live.context import SiteContext
from snowha.migration import describe
from snowha.plan.command_log import on_behalf_of
from snowha.plan.step import Reporter, Step
from snowha.provision import corosync, pacemaker, placement, proofs, servers, snow_conf_step


def all_steps(context: SiteContext, passwords: Mapping[str, str]) -> list[Step]:
    """Steps for ``snow ha apply``. ``passwords``: of the BMCs, by server."""
    found = [
        *servers.steps(context),
        *disk_steps.steps(context),
        *corosync.steps(context),
        *pacemaker.steps(context, passwords),
        *definition.steps(context),
        *placement.steps(context),
        *proofs.steps(context),
        *snow_conf_step.steps(context, needs=("pacemaker.cib",)),
    ]
    descriptions = describe.descriptions(context)
    return [replace(carried_out(context, step), describe=step.describe or descriptions.get(step.id)) for step in found]


def carried_out(context: SiteContext, step: Step) -> Step:
    """``step`` such that the servers are asked anew from its first change on, and its commands are known as its own.
    What fails after the lock was lost fails for that reason, whatever it was."""
    proof = partial(_do, context, step.id, step.proof) if step.proof else None
    return replace(
        step, check=partial(_check_cached, step.check), apply=partial(_do, context, step.id, step.apply), proof=proof
    )


def _check_cached(check: Callable[[], str | None]) -> str | None:
    with for_prefetch():
        return check()


def _do(context: SiteContext, name: str, work: Callable[[Reporter], None], reporter: Reporter) -> None:
    context.invalidate()
    with on_behalf_of(name):
        try:
            work(reporter)
        except SnowError:
            context.verify_lock()
            raise
