"""What must be so before anything is changed: the site is checked once, and what forbids going on is one message."""

from __future__ import annotations

from collections.abc import Mapping

from snowha.checks import evaluate, gather
from snowha.live.context import SiteContext
from snowha.site import rules
from snowha.site.rules import Finding


def check(context: SiteContext, passwords: Mapping[str, str]) -> tuple[Finding, ...]:
    """Raise what forbids going on; else the findings that do not. ``passwords``: of the BMCs. Nothing is changed."""
    findings = evaluate.evaluate(context.site, gather.gather_facts(context, passwords))
    rules.raise_on_stop(findings, evaluate.error_of)
    return findings
