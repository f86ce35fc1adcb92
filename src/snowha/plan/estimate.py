"""How long a step will take: as long as it took here before, else as long as in our lab, and said to be so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from snowha.plan.journal import Entry, Journal
from snowha.plan.step import Step


@dataclass(frozen=True)
class Estimate:
    """``seconds`` None: nobody has measured it. ``source``: where the figure is from."""

    seconds: float | None
    source: str


@dataclass(frozen=True)
class LabTimes:
    """What steps took in an emulated lab: for those that were never carried out on this site."""

    seconds: Mapping[str, float]
    """By the kind of a step, or by its section."""
    away_s: float
    """The longest that a domain did not answer, in seconds."""


NOT_MEASURED = "not measured on this site"


def of_step(step: Step, journal: Journal | None, lab: LabTimes) -> Estimate:
    """The median of what this step took here; else of its like (``servers.packages.*``); else the lab's figure."""
    found = measured(step, journal) if journal is not None else None
    if found is None and journal is not None and step.domain:
        found = _alike(step, journal)  # a domain's disks may be larger than those of the others: said to be of its like
    return found or _in_lab(step, lab)


def measured(step: Step, journal: Journal) -> Estimate | None:
    """What this very step took here, or one that does the same to another server; None if neither was ever done here."""
    own = journal.seconds(step.id)
    if own:
        return Estimate(round(median(own), 1), f"this step, {len(own)} times here")
    return _alike(step, journal) if step.server else None


def _alike(step: Step, journal: Journal) -> Estimate | None:
    alike = [
        entry.seconds
        for entry in journal.entries()
        if entry.what == "done" and entry.seconds is not None and _is_like(step, entry)
    ]
    return Estimate(round(median(alike), 1), f"{step.kind}.*, {len(alike)} times here") if alike else None


def _is_like(step: Step, entry: Entry) -> bool:
    """Whether an entry of the journal is of a step that does the same to whatever server or domain."""
    return entry.step.startswith(f"{step.kind}.")


def of_downtime(step: Step, journal: Journal | None, lab: LabTimes) -> Estimate:
    """How long the domain of ``step`` will be away."""
    if journal is not None:
        told = journal.last_facts(step.id).get("away_s")
        if isinstance(told, int | float):
            return Estimate(float(told), "this domain, here")
        others = [
            float(value)
            for other in {entry.step for entry in journal.entries() if _is_like(step, entry)}
            if isinstance(value := journal.last_facts(other).get("away_s"), int | float)
        ]
        if others:
            return Estimate(max(others), "the longest of the others here")
    return Estimate(lab.away_s, f"{NOT_MEASURED}; the longest in the lab")


def _in_lab(step: Step, lab: LabTimes) -> Estimate:
    seconds = lab.seconds.get(step.kind, lab.seconds.get(step.section))
    if seconds is None:
        return Estimate(None, NOT_MEASURED)
    return Estimate(seconds, f"{NOT_MEASURED}; an emulated lab took this long")
