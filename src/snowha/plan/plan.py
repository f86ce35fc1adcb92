"""A plan: what a run would do now, step by step, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from snowha.errors import SnowError
from snowha.hosts.pool import Pool
from snowha.plan.change import Change
from snowha.plan.estimate import Estimate, LabTimes, of_downtime, of_step
from snowha.plan.journal import Journal
from snowha.plan.step import Step, in_order
from snowha.site.names import agreed

_CHECKS = 16


@dataclass(frozen=True)
class Planned:
    """One step. ``reason``: what is missing; empty if nothing is, and the step is skipped."""

    id: str
    title: str
    section: str
    reason: str
    change: Change = field(default_factory=Change)
    estimate: Estimate = field(default_factory=lambda: Estimate(None, ""))
    away: tuple[tuple[str, Estimate], ...] = ()
    """Domains that do not answer meanwhile, and how long."""
    asks: str = ""

    @property
    def is_due(self) -> bool:
        return bool(self.reason)


def make(
    steps: Sequence[Step],
    *,
    dry_run: Callable[[str], Change],
    journal: Journal | None,
    lab: LabTimes,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Planned, ...]:
    """Check every step, and tell of those that are due what they would change. Changes nothing. ``lab``: what steps took there.

    Raises the error of a check that fails although nothing that the step needs is due.
    """
    ordered = in_order(steps)
    say(f"checking {len(ordered)} steps")
    with Pool(_CHECKS, name="check") as pool:
        checks = {step.id: pool.submit(step.check) for step in ordered}
    due: set[str] = set()
    found = []
    for step in ordered:
        waits = [need for need in step.needs if need in due]
        error = checks[step.id].exception()
        if error is not None and not waits:
            raise error
        reason = checks[step.id].result() if error is None else f"unknown before {agreed(waits, 'is', 'are')} done"
        if reason is None and step.proof is not None and journal is not None and journal.needs_proof(step.id):
            reason = "carried out earlier; its proof is still missing"
        planned = Planned(step.id, step.title, step.section, reason or "", asks=step.asks or "")
        if reason:
            due.add(step.id)
            say(f"determining what {step.id} would change")
            planned = replace(
                planned,
                change=_change(step, dry_run),
                estimate=of_step(step, journal, lab),
                away=_downtime(step, journal, lab),
            )
        found.append(planned)
    return tuple(found)


def _change(step: Step, dry_run: Callable[[str], Change]) -> Change:
    try:
        return step.describe() if step.describe is not None else dry_run(step.id)
    except SnowError as error:
        return Change(notes=(f"known only at that point: {error.message.splitlines()[0]}",), complete=False)


def _downtime(step: Step, journal: Journal | None, lab: LabTimes) -> tuple[tuple[str, Estimate], ...]:
    return ((step.domain, of_downtime(step, journal, lab)),) if step.domain else ()
