"""What happened at a site, and for how long domains were off: from Pacemaker's log on the servers and from the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from snowha.cluster import cib
from snowha.dashboard.journal_summary import JournalSummary
from snowha.health import downtimes as health
from snowha.health.history import ClusterEvent
from snowha.operations.status import SiteStatus
from snowha.site.names import listed

if TYPE_CHECKING:
    from snowha.dashboard.parts import Value

EVENTS = 200
"""Events that are shown, the newest."""
DOWNTIMES = 400
"""Downtimes that are shown, the newest."""
_NAMED = 6
"""Domains that are named in one event."""
_GROUP_S = 60.0
"""Seconds between two events of the same kind up to which they are shown as one."""
_OPEN = ("started", "applied", "proved")
"""Entries of the journal after which a step goes on."""
_VERBS = {"start": "started on", "stop": "stopped on", "migrate_from": "migrated to"}


@dataclass(frozen=True)
class _Event:
    """``level``: ``red``, ``yellow`` or ``note``. ``subject`` and ``tail`` together are its text."""

    at: float
    level: str
    kind: str
    subject: str
    tail: str


def run(summary: JournalSummary | None) -> Value:
    """The run of which no end is noted; None if there is none."""
    if summary is None or not summary.runs or summary.runs[-1].ended or summary.runs[-1].outcome:
        return None
    last = summary.runs[-1]
    state: dict[str, str] = {}
    begun: dict[str, tuple[float, str]] = {}
    for entry in summary.entries:
        state[entry.step] = entry.what
        if entry.what == "started":
            begun[entry.step] = (_seconds(entry.at), entry.detail)
    ended = [what for what in state.values() if what not in _OPEN]
    at_work: list[Value] = []
    for step, what in state.items():
        if what in _OPEN:
            since, detail = begun.get(step, (_seconds(last.started), ""))
            done, total, unit = summary.progress.get(step, (0, 0, ""))
            progress: Value = {"done": done, "total": total, "unit": unit} if total > 0 else None
            at_work.append({"step": step, "since": since, "detail": detail, "progress": progress})
    return {
        "number": last.id,
        "who": f"{last.who} on {last.origin}",
        "since": _seconds(last.started),
        "is_live": summary.is_running,
        "server": summary.server,
        "noted": _seconds(summary.noted or last.started),
        "steps": summary.steps,
        "ended": len(ended),
        "done": ended.count("done"),
        "failed": ended.count("failed"),
        "blocked": ended.count("blocked"),
        "at_work": at_work,
    }


def events(status: SiteStatus, summary: JournalSummary | None) -> Value:
    """The newest first. Many domains that the same happens to, one after the other, are one event."""
    names = {domain.name for domain in status.domains}
    happened = sorted(
        (*_of_cluster(status.events, names), *(_of_runs(summary) if summary else ())), key=lambda one: one.at
    )
    found: list[Value] = []
    for alike in _grouped(happened):
        subjects = list(dict.fromkeys(one.subject for one in alike))
        more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
        who = ", ".join(subjects[:_NAMED]) + more if more else listed(subjects)
        first, last = alike[0], alike[-1]
        text = f"{who}{first.tail}" if first.tail.startswith(":") else f"{who} {first.tail}"
        found.append({"at": last.at, "since": first.at, "level": first.level, "kind": first.kind, "text": text})
    return found[::-1][:EVENTS]


def downtimes(status: SiteStatus, summary: JournalSummary | None) -> Value:
    """The newest first. One that has no end is there only if the domain does not run now."""
    states = {domain.name: domain for domain in status.domains}
    found: list[tuple[tuple[float, bool], Value]] = []
    for one in health.of_domains(status.events, states):
        domain = states[one.domain]
        if one.until is None and domain.state != "off":
            continue
        why = f"{one.why}, on purpose" if one.until is None and domain.on_purpose else one.why
        found.append(
            ((one.since, one.until is None), {"domain": one.domain, "since": one.since, "until": one.until, "why": why})
        )
    for told in summary.away if summary else ():
        name = told.step.rpartition(".")[2]
        if name in states and isinstance(told.value, int | float) and told.value > 0:
            until = _seconds(told.at)
            since = until - told.value
            why = f"run {told.run}, {told.step}"
            found.append(((since, False), {"domain": name, "since": since, "until": until, "why": why}))
    found.sort(key=lambda one: one[0], reverse=True)
    return [one for _, one in found[:DOWNTIMES]]


def _grouped(happened: Iterable[_Event]) -> list[list[_Event]]:
    """Events of one ``level``, ``kind`` and ``tail``, each within ``_GROUP_S`` of the one before; by their last ones."""
    groups: list[list[_Event]] = []
    newest: dict[tuple[str, str, str], list[_Event]] = {}
    for one in happened:
        key = (one.level, one.kind, one.tail)
        group = newest.get(key)
        if group is None or one.at - group[-1].at > _GROUP_S:
            group = newest[key] = []
            groups.append(group)
        group.append(one)
    return sorted(groups, key=lambda group: group[-1].at)


def _of_cluster(events: Iterable[ClusterEvent], domains: set[str]) -> Iterator[_Event]:
    moved: dict[str, str] = {}
    """Domain to the server that it has left by migration."""
    for event in events:
        if event.what == "state":
            is_lost = event.result == "lost"
            tail = "was lost" if is_lost else "joined the cluster" if event.result == "member" else f"is {event.result}"
            yield _Event(event.at, "red" if is_lost else "note", "server", event.of, tail)
        elif event.what == "quorum":
            yield _Event(event.at, "red" if event.result == "lost" else "note", "quorum", "quorum", event.result)
        elif event.result != "ok":
            tail = f": {event.what} on {event.on} failed: {event.result}"
            yield _Event(event.at, "yellow", "failure", event.of, tail)
        elif event.of in domains:
            if event.what == "migrate_to":
                moved[event.of] = event.on
            elif event.what == "start":
                moved.pop(event.of, None)
            elif event.what == "stop" and moved.pop(event.of, "") == event.on:
                continue  # what is left of it on the server that it was migrated from
            if event.what in _VERBS:
                yield _Event(event.at, "note", "domain", event.of, f"{_VERBS[event.what]} {event.on}")
        elif event.of == cib.FLOATING_IP and event.what == "start":
            yield _Event(event.at, "note", "floating IP", "the floating IP", f"came to {event.on}")


def _of_runs(summary: JournalSummary) -> Iterator[_Event]:
    for one in summary.runs:
        yield _Event(_seconds(one.started), "note", "run", f"run {one.id}", f"begun by {one.who} on {one.origin}")
        if one.ended:
            level = "note" if one.outcome == "done" else "yellow"
            yield _Event(_seconds(one.ended), level, "run", f"run {one.id}", f"ended: {one.outcome}")
    for entry in summary.failures:
        reason = entry.detail.splitlines()[0] if entry.detail else "no reason is noted"
        yield _Event(_seconds(entry.at), "yellow", "run", f"run {entry.run}:", f"{entry.step} failed: {reason}")


def _seconds(when: str) -> float:
    """Of a time in the journal."""
    return datetime.fromisoformat(when).timestamp()
