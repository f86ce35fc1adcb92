"""The list of domains as sNow! prints it, so that what reads it goes on reading it; and the same as data.

Two things are other than in sNow! 1.1.16 (avail_domains in share/common.sh): a domain that runs on two servers has two rows, and
what a server that does not answer may run is ``unknown``, never ``off``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from snowha.operations.status import DomainStatus

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """One place where a domain runs, or a domain that runs nowhere."""

    name: str
    hardware: Literal["on", "off", "unknown"]
    system: str
    """What the domain's own system says (guest_systems.py): ``up 2 weeks``, ``down``, ``unknown``."""
    roles: tuple[str, ...]
    server: str
    """Empty if it runs nowhere, ``unknown`` if nobody knows."""


def rows(
    domains: Iterable[DomainStatus],
    systems: Mapping[tuple[str, str], str],
    roles: Mapping[str, tuple[str, ...]],
) -> tuple[Row, ...]:
    """Sorted by name. ``systems``: what is known of the system in each, by server and domain."""
    found = []
    for domain in sorted(domains, key=lambda one: one.name):
        own = roles.get(domain.name, ())
        for server in domain.servers:
            found.append(Row(domain.name, "on", systems.get((server, domain.name), UNKNOWN), own, server))
        if not domain.servers and domain.state == "unknown":
            found.append(Row(domain.name, "unknown", UNKNOWN, own, UNKNOWN))
        elif not domain.servers:
            found.append(Row(domain.name, "off", "down", own, ""))
    return tuple(found)


def lines(rows: Iterable[Row]) -> list[str]:
    """With sNow!'s header and columns."""
    return [
        _line("Domain", "HW status", "OS status", "Roles", "Host"),
        _line("------", "---------", "---------", "-----", "----"),
        *(_line(row.name, row.hardware, row.system, ",".join(row.roles), row.server) for row in rows),
    ]


def _line(name: str, hardware: str, system: str, roles: str, server: str) -> str:
    """As printf(1) with ``%-20s  %-10s  %-40s  %-20s %-20s``, the blanks at the end included."""
    return f"{name:<20}  {hardware:<10}  {system:<40}  {roles:<20} {server:<20}"
