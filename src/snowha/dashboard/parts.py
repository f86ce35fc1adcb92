"""The page as parts: each has a name and a value for JSON. A stream sends those that have changed. Pure.

``verdict``, ``findings``, ``servers``, ``site``, ``run``, ``events`` and ``downtimes`` are there always, ``domain/NAME`` for each
domain. Times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import TypeAlias

from snowha.dashboard import timeline
from snowha.dashboard.journal_summary import JournalSummary
from snowha.health.catalogue import KINDS
from snowha.health.findings import Finding
from snowha.health.leases import ImageStatus
from snowha.operations import status_text
from snowha.operations.status import DomainStatus, ServerStatus, SiteStatus

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Parts = Mapping[str, Value]
FEW = 4
"""Findings of one kind that are shown each; of the others their places are named."""
DOMAIN = "domain/"
_MIB = 1 << 20


def of_site(status: SiteStatus, summary: JournalSummary | None) -> Parts:
    """All parts of the page."""
    counts = {name: sum(name in one.servers for one in status.domains) for name in (s.name for s in status.servers)}
    return {
        "verdict": _verdict(status),
        "findings": list(_findings(status)),
        "servers": [_server(one, status, counts[one.name]) for one in status.servers],
        "site": {
            "name": status.name,
            "floating_ip": status.floating_ip,
            "floating_ip_on": status.floating_ip_on or ("unknown" if status.pacemaker_unknown else "no server"),
            "pacemaker_unknown": status.pacemaker_unknown,
        },
        "run": timeline.run(summary),
        "events": timeline.events(status, summary),
        "downtimes": timeline.downtimes(status, summary),
        **_domains(status),
    }


def changed(before: Parts, after: Parts) -> tuple[dict[str, Value], list[str]]:
    """The parts of ``after`` that are other than in ``before``, and the names of those that are gone."""
    return (
        {name: value for name, value in after.items() if name not in before or before[name] != value},
        [name for name in before if name not in after],
    )


def _verdict(status: SiteStatus) -> Value:
    text, _ = status_text.verdict(status)
    yellow = any(one.severity == "yellow" for one in status.findings)
    return {"text": text, "level": "yellow" if status.healthy and yellow else "good" if status.healthy else "red"}


def _findings(status: SiteStatus) -> Iterator[Value]:
    for code, group in groupby(status.findings, key=lambda finding: finding.code):
        alike = list(group)
        shown = alike if len(alike) <= FEW else alike[: FEW - 1]
        yield {
            "code": code,
            "title": KINDS[code].title if code in KINDS else "",
            "severity": alike[0].severity,
            "shown": [_finding(one) for one in shown],
            "more": [one.where for one in alike[len(shown) :]],
        }


def _finding(finding: Finding) -> Value:
    since = datetime.fromisoformat(finding.since).timestamp() if finding.since else None
    return {
        "where": finding.where,
        "message": finding.message,
        "remedy": finding.remedy,
        "since": since,
        "next": finding.next,
    }


def _server(server: ServerStatus, status: SiteStatus, domains: int) -> Value:
    proven = status.fenced_at.get(server.name)
    return {
        "name": server.name,
        "reachable": server.reachable,
        "trouble": server.trouble,
        "cluster": server.cluster,
        "quorate": server.quorate,
        "links": [{"number": link.number, "up": link.connected} for link in server.links],
        "fencing": status.fencing.get(server.name, "none"),
        "proven": datetime.fromisoformat(proven).timestamp() if proven else None,
        "xen": server.xen,
        "free_mib": server.free_memory_mib,
        "total_mib": server.total_memory_mib,
        "loss": status.losses.get(server.name, "unknown"),
        "domains": domains if server.reachable else None,
    }


def _domains(status: SiteStatus) -> Parts:
    images: dict[str, list[ImageStatus]] = {}
    for image in status.images:
        images.setdefault(image.domain, []).append(image)
    moves = {
        one.domain: f"moving to {one.target}: {one.sent // _MIB} of {one.memory // _MIB} MiB sent, round {one.round}"
        for one in status.migrations
    }
    return {
        f"{DOMAIN}{one.name}": _domain(one, images.get(one.name, []), moves.get(one.name, "")) for one in status.domains
    }


def _domain(domain: DomainStatus, images: list[ImageStatus], move: str) -> Value:
    held, colour = status_text.holders(images, domain)
    return {
        "state": "off on purpose" if domain.on_purpose else domain.state,
        "servers": ", ".join(domain.servers),
        "pacemaker": status_text.pacemaker_location(domain.pacemaker, managed=domain.managed),
        "held": "" if held == "-" else held,
        "held_wrong": bool(colour),
        "well": status_text.is_healthy(domain) and not colour,
        "move": move,
    }
