"""All rules over all facts, which steps remedy what they find, and which error a stop is for ``snow ha apply``."""

from __future__ import annotations

from collections.abc import Iterable

from snowha.checks import bmc, cluster, domains, network, servers, storage
from snowha.checks.catalogue import ENTRIES
from snowha.checks.facts import Facts
from snowha.errors import SiteError, SnowError
from snowha.site.model import Domain, Site
from snowha.site.rules import Finding

_ORDER = {"stop": 0, "warn": 1, "note": 2}


def evaluate(
    site: Site,
    facts: Facts,
    known: Iterable[Finding] = (),
    *,
    names: Iterable[str] | None = None,
    configs: Iterable[Domain] | None = None,
) -> tuple[Finding, ...]:
    """Findings, the worst first, each once. ``known``: what was found before the servers were asked. ``names``: of all domains
    that the cluster has, where not every config could be read. ``configs``: all that there are, if the site does not have all."""
    found = [
        *known,
        *servers.rules(site, facts),
        *domains.rules(site, facts),
        *storage.rules(site, facts),
        *network.rules(site, facts),
        *bmc.rules(site, facts),
        *cluster.rules(site, facts, names, configs),
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _ORDER[finding.severity]))


def error_of(finding: Finding) -> type[SnowError]:
    """The class of the error that a stop is for ``snow ha apply``."""
    return ENTRIES[finding.code].error or SiteError


def fixes(findings: Iterable[Finding], servers_known: Iterable[str]) -> tuple[str, ...]:
    """Ids of the steps that remedy ``findings`` safely. ``where`` of a finding begins with its server's name."""
    known = set(servers_known)
    found: dict[str, None] = {}
    for finding in findings:
        step = ENTRIES[finding.code].fix
        server = finding.where.partition(":")[0]
        if step and finding.severity != "note" and ("{server}" not in step or server in known):
            found[step.format(server=server)] = None
    return tuple(found)
