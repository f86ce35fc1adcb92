"""Which domains stand in for each other, and so must not be lost together with one server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_NUMBERED = re.compile(r"(.*[^0-9])[0-9]+")
_PARTNERED = re.compile(r"(.+)-(?:master|slave)")


def pairs(domains: Iterable[str], roles: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of domains that must not share a server, each sorted, none part of another.

    Domains that differ in their trailing number alone (``slurm01``, ``slurm02``), and domains with the roles
    ``X-master`` and ``X-slave``. ``roles``: domain → its roles in active-domains.conf.
    """
    groups: dict[str, set[str]] = {}
    partners: dict[str, dict[str, set[str]]] = {}
    for domain in domains:
        if match := _NUMBERED.fullmatch(domain):
            groups.setdefault(match[1], set()).add(domain)
        for role in roles.get(domain, ()):
            if match := _PARTNERED.fullmatch(role):
                partners.setdefault(match[1], {}).setdefault(role, set()).add(domain)
    found = {tuple(sorted(group)) for group in groups.values()}
    # Two masters and no slave are a service that is not redundant by its roles.
    found |= {tuple(sorted(set().union(*sides.values()))) for sides in partners.values() if len(sides) == 2}
    found = {group for group in found if len(group) > 1}
    return tuple(sorted(group for group in found if not any(set(group) < set(other) for other in found)))
