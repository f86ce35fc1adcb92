"""How long a step will take: as long as it took here before, else as long as in our lab, and said to be so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from snowha.plan.journal import Entry, Journal
from snowha.plan.step import Step

LAB: Mapping[str, float] = {
    "servers.mounts": 8,
    "servers.packages": 219,
    "servers.settings": 11,
    "servers.xen": 89,
    "servers.kernels": 12,
    "servers.ssh": 31,
    "images": 99,
    "corosync": 23,
    "pacemaker.fence": 45,
    "pacemaker.start": 43,
    "pacemaker.autostart": 4,
    "pacemaker.cib": 54,
    "proofs.floating-ip": 35,
    "proofs.fence": 455,
    "placement": 201,
    "snow.conf": 8,
}
"""Seconds, docs/performance.md: two emulated servers, Debian 13, where every command takes longer than on a real one. Of a
step for each server the longer one."""
LAB_AWAY_S = 160.0
"""The longest that a domain of the lab was away while its image was copied."""


@dataclass(frozen=True)
class Estimate:
    """``seconds`` None: nobody has measured it. ``source``: where the figure is from."""

    seconds: float | None
    source: str


NOT_MEASURED = "not measured on this site"


def of_step(step: Step, journal: Journal | None) -> Estimate:
    """The median of what this step took here; else of its like (``servers.packages.*``); else the lab's figure."""
    found = measured(step, journal) if journal is not None else None
    if found is None and journal is not None and step.domain:
        found = _alike(step, journal)  # a domain's disks may be larger than those of the others: said to be of its like
    return found or _lab(step)


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


def of_absence(step: Step, journal: Journal | None) -> Estimate:
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
    return Estimate(LAB_AWAY_S, f"{NOT_MEASURED}; the longest in the lab")


def _lab(step: Step) -> Estimate:
    seconds = LAB.get(step.kind, LAB.get(step.section))
    if seconds is None:
        return Estimate(None, NOT_MEASURED)
    return Estimate(seconds, f"{NOT_MEASURED}; an emulated lab took this long")
