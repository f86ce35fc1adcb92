"""Since when something is wrong, and what happened, from what Pacemaker has written into each server's journal.

Lines of Pacemaker 2.1 and 3.0: "Node NAME state is now lost" (lib/cluster/membership.c), "Quorum lost" (lib/cluster/corosync.c),
"Result of ACTION operation for RESOURCE on NODE: …" (daemons/controld/controld_execd.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from snowha.health.findings import Finding
from snowha.hosts.read_only import read_only_script

DAYS = 7
_LINES = 2000
WANTED = "state is now|Quorum (lost|acquired)|Result of (start|stop|migrate_to|migrate_from) operation"
ARGV = (
    "sh",
    "-c",
    read_only_script(
        f"journalctl --quiet --no-pager --output=short-unix --since=-{DAYS}days --lines={_LINES} --unit=pacemaker "
        f"--grep='{WANTED}' 2>/dev/null || true"
    ),
)
"""The question. Bounded: the journal of a year is not read."""

_LINE = re.compile(r"(\d+)(\.\d+) .*?:\s+(?:notice|warning|error|info):\s+(.*)")
_STATE = re.compile(r"Node (\S+) state is now (\S+)")
_QUORUM = re.compile(r"Quorum (lost|acquired)")
_RESULT = re.compile(r"Result of (\w+) operation for (\S+) on (\S+): (.*)")
_OF_SERVER = frozenset({"unreachable", "server-unclean", "server-out"})
_OF_RESOURCE = frozenset(
    {"resource-stopped", "resource-failed", "resource-blocked", "resource-twice", "fence-device", "off-on-purpose"}
)


@dataclass(frozen=True)
class History:
    """Seconds since 1970. ``lost``: servers that are lost since; ``down``: since when a resource does not run, or cannot be
    stopped; ``no_quorum``: since when there is none, None if there is."""

    lost: Mapping[str, int] = field(default_factory=dict)
    down: Mapping[str, int] = field(default_factory=dict)
    no_quorum: int | None = None


@dataclass(frozen=True)
class ClusterEvent:
    """One thing that Pacemaker has written down. ``at``: seconds since 1970, by the clock of the server that wrote it."""

    at: float
    what: str
    """``state``: a server's; ``quorum``; or the action on a resource that has ended: ``start``, ``stop``, ``migrate_to``,
    ``migrate_from``."""
    of: str
    """Server or resource; empty for the quorum."""
    on: str = ""
    """The server of an action."""
    result: str = ""
    """``lost`` or ``member``; ``lost`` or ``acquired``; of an action ``ok``, or how it failed."""


def events(texts: Iterable[str]) -> tuple[ClusterEvent, ...]:
    """What the journals of several servers say together, in order. What several of them say of a server is there once."""
    said = sorted(
        {
            (float(match[1] + match[2]), match[3])
            for text in texts
            for line in text.splitlines()
            if (match := _LINE.match(line))
        }
    )
    known: dict[tuple[str, str], str] = {}
    found = []
    for at, message in said:
        event = _event(at, message)
        if event is None:
            continue
        if event.what in ("state", "quorum"):
            if known.get((event.what, event.of)) == event.result:
                continue
            known[event.what, event.of] = event.result
        found.append(event)
    return tuple(found)


def _event(at: float, message: str) -> ClusterEvent | None:
    if match := _STATE.match(message):
        return ClusterEvent(at, "state", match[1], result=match[2])
    if match := _QUORUM.match(message):
        return ClusterEvent(at, "quorum", "", result=match[1])
    if match := _RESULT.match(message):
        result = match[4].strip()
        # "ok" up to Pacemaker 2.1, "OK" in 3.0
        return ClusterEvent(at, match[1], match[2], match[3], "ok" if result == "OK" else result)
    return None


def read(texts: Iterable[str]) -> History:
    """What the journals of several servers say together."""
    said = sorted(
        (float(match[1] + match[2]), match[3])
        for text in texts
        for line in text.splitlines()
        if (match := _LINE.match(line))
    )
    lost: dict[str, int] = {}
    down: dict[str, int] = {}
    place: dict[str, str] = {}
    no_quorum: int | None = None
    for at, message in said:
        when = int(at)
        if match := _STATE.match(message):
            if match[2] == "lost":
                lost.setdefault(match[1], when)  # several daemons on several servers say so
                for resource in [name for name, server in place.items() if server == match[1]]:
                    down.setdefault(resource, when)
            else:
                lost.pop(match[1], None)
        elif match := _QUORUM.match(message):
            no_quorum = None if match[1] == "acquired" else no_quorum or when
        elif match := _RESULT.match(message):
            action, resource, server, result = match.groups()
            if action in ("start", "migrate_from") and result.strip().lower() == "ok":
                place[resource] = server
                down.pop(resource, None)
            elif action in ("start", "stop") and not (action == "stop" and place.get(resource, server) != server):
                # each attempt to start it is written down: what counts is the first; what has migrated is stopped behind it
                down.setdefault(resource, when)
    return History(lost, down, no_quorum)


def dated(findings: Iterable[Finding], history: History) -> tuple[Finding, ...]:
    """``findings``, those with the time since when they are so of which it is known."""
    return tuple(_dated(finding, history) for finding in findings)


def _dated(finding: Finding, history: History) -> Finding:
    since: int | None = None
    if finding.code in _OF_SERVER:
        since = history.lost.get(finding.where)
    elif finding.code in _OF_RESOURCE:
        since = history.down.get(finding.where)
    elif finding.code == "no-quorum":
        since = history.no_quorum
    if since is None:
        return finding
    return replace(finding, since=datetime.fromtimestamp(since, UTC).isoformat().replace("+00:00", "Z"))
