"""What can be wrong with a running site: a code, how bad it is, why it matters, and what to type.

Whoever adds to this adds a ``Kind`` to ``catalogue.py`` and makes the finding in ``cluster_health.py``, or in the module of its
subject (``leases.py``, ``lease_bypass.py``, ``definition_copies.py``); ``snow ha status`` and ``snow ha check`` then show it, and
docs/checks.md explains it.
"""

from __future__ import annotations

from dataclasses import dataclass

from snowha.health.catalogue import KINDS, Severity
from snowha.site.rules import Finding as SiteFinding

_OF_A_SITE: dict[str, Severity] = {"stop": "red", "warn": "yellow", "note": "note"}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be, or that somebody should know."""

    code: str
    severity: Severity
    where: str
    """Server, resource, or ``the cluster``; several are separated by ``, ``."""
    message: str
    """A sentence that can stand alone."""
    remedy: str
    since: str = ""
    """UTC, ISO 8601; empty where it is not known."""
    next: str = ""
    """What happens by itself."""


CLUSTER = "the cluster"


def found(code: str, where: str, message: str, *, remedy: str = "", severity: Severity | None = None) -> Finding:
    """A finding of a code that is listed. KeyError for one that is not."""
    kind = KINDS[code]
    remedy = remedy or kind.remedy.format(where=where)
    return Finding(code, severity or kind.severity, where, message, remedy, next=kind.next.format(where=where))


def of_site(finding: SiteFinding) -> Finding:
    """What was found in the site's files, beside what was found on its servers."""
    message = f"{finding.where}: {finding.message}"
    return Finding(finding.code, _OF_A_SITE[finding.severity], finding.where, message, finding.remedy)
