"""What must be so before anything is changed: the site is looked at once, and what forbids going on is one message."""

from __future__ import annotations

from collections.abc import Mapping

from snowha.migration.checks import judge, look
from snowha.migration.ground import Ground
from snowha.site import rules
from snowha.site.rules import Finding


def check(ground: Ground, passwords: Mapping[str, str]) -> tuple[Finding, ...]:
    """Raise what forbids going on; else the findings that do not. ``passwords``: of the BMCs. Nothing is changed."""
    findings = judge.judge(ground.site, look.gather_facts(ground, passwords))
    rules.raise_on_stop(findings, judge.error_of)
    return findings
