"""A site for the dashboard: its status, what Pacemaker's log and the journal say, and a server that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from snowha.dashboard import listening, parts
from snowha.dashboard.app import application
from snowha.dashboard.journal_summary import JournalSummary
from snowha.dashboard.limits import Rules
from snowha.dashboard.parts import Parts
from snowha.dashboard.server import Server, Tls
from snowha.dashboard.watcher import Watcher
from snowha.health import findings, history
from snowha.health.leases import ImageStatus
from snowha.operations.status import DomainStatus, LinkStatus, ServerStatus, SiteStatus
from snowha.plan.journal import Entry, RecordedFact, Run

BEGIN = 1_795_770_000.0
"""Seconds since 1970 of the first thing that happened: 2026-11-27 09:40:00 UTC."""
UP = (LinkStatus(0, True), LinkStatus(1, True))


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(at: float, text: str) -> str:
    return f"{at:.6f} snow01 pacemaker-controld[812]:  notice: {text}\n"


def did(at: float, action: str, domain: str, server: str, result: str = "ok") -> str:
    return line(at, f"Result of {action} operation for {domain} on {server}: {result}")


def names(count: int) -> list[str]:
    first = ["deploy01", "proxy01", "slurmctl01", "slurmdb01", "login01", "login02", "monitor01", "ldap01"]
    return [*first, *(f"node{number:04}" for number in range(1, count))][:count]


def image(domain: str, server: str) -> ImageStatus:
    return ImageStatus(f"/sNow/domains/{domain}/{domain}-disk", domain, "held", server, "yes", iso(BEGIN), (server,))


def well(count: int = 8, begin: float = BEGIN) -> SiteStatus:
    """All is well: two servers, and ``count`` domains on both."""
    where = {name: f"snow0{number % 2 + 1}" for number, name in enumerate(names(count))}
    log = [did(begin + number / 100, "start", name, on) for number, (name, on) in enumerate(where.items())]
    return SiteStatus(
        name="hpc",
        servers=(
            ServerStatus("snow01", True, "online", "4.20.0", 38912, True, UP, total_memory_mib=131072),
            ServerStatus("snow02", True, "online", "4.20.0", 41984, True, UP, total_memory_mib=131072),
        ),
        domains=tuple(DomainStatus(name, (on,), (on,), True, "running") for name, on in where.items()),
        fencing={"snow01": "ready", "snow02": "ready"},
        floating_ip="192.168.8.254",
        floating_ip_on="snow01",
        images=tuple(image(name, on) for name, on in where.items()),
        fenced_at={"snow01": iso(begin - 3 * 86400), "snow02": iso(begin - 3 * 86400)},
        losses={"snow01": "survived", "snow02": "survived"},
        events=history.events(log),
    )


def lost(count: int = 8, begin: float = BEGIN) -> SiteStatus:
    """The same, and then snow02 is lost and fenced: what it had runs on snow01, but for one domain that does not start."""
    before = well(count, begin)
    at = begin + 3600
    moved = [one.name for one in before.domains if one.servers == ("snow02",)]
    broken = moved[0]
    log = [did(begin + number / 100, "start", one.name, *one.servers) for number, one in enumerate(before.domains)]
    log += [line(at, "Node snow02 state is now lost")]
    log += [did(at + 31 + number / 10, "start", name, "snow01") for number, name in enumerate(moved[1:])]
    log += [did(at + 33, "start", broken, "snow01", "error (its image is held)")]
    since = iso(at)
    return replace(
        before,
        servers=(
            replace(before.servers[0], free_memory_mib=6144),
            ServerStatus("snow02", False, "offline", trouble="it does not answer: connection timed out"),
        ),
        domains=tuple(
            DomainStatus(one.name, (), (), True, "off")
            if one.name == broken
            else DomainStatus(one.name, ("snow01",), ("snow01",), True, "running")
            for one in before.domains
        ),
        fencing={"snow01": "not running", "snow02": "ready"},
        losses={"snow01": "unknown", "snow02": "unknown"},
        images=tuple(image(one.name, "snow01" if one.name != broken else "snow02") for one in before.domains),
        findings=(
            replace(
                findings.found("unreachable", "snow02", "snow02: it does not answer: connection timed out"), since=since
            ),
            replace(findings.found("server-out", "snow02", "snow02 is out of the cluster"), since=since),
            replace(findings.found("resource-stopped", broken, f"{broken} runs on no server"), since=iso(at + 33)),
            findings.found("failed-action", broken, f"start of {broken} has failed on snow01: its image is held"),
        ),
        events=history.events(log),
    )


def summary(begin: float = BEGIN, *, goes_on: bool = False) -> JournalSummary:
    """A migration a day before; and a run that is copying two domains, if it goes on."""
    day = begin - 86400
    first = Run(1, "ada", "admin-pc from 10.0.0.9", iso(day), iso(day + 2700), "done")
    away = (
        RecordedFact(1, "images.deploy01", 9.4, iso(day + 900)),
        RecordedFact(1, "images.proxy01", 7.8, iso(day + 1200)),
    )
    if not goes_on:
        return JournalSummary("", (first,), False, away=away)
    at = begin + 3900
    run = Run(2, "ada", "admin-pc from 10.0.0.9", iso(at), "", "")
    entries = [Entry(2, f"servers.packages.snow0{number}", "skipped", iso(at), None, "") for number in (1, 2)]
    entries += [Entry(2, "images.ldap01", "started", iso(at + 1), None, "its disk is a volume")]
    entries += [Entry(2, "images.ldap01", "done", iso(at + 200), 199.0, "")]
    for number, name in enumerate(("login01", "login02")):
        entries += [Entry(2, f"images.{name}", "started", iso(at + 200 + number), None, "its disk is a volume")]
    return JournalSummary(
        "",
        (first, run),
        True,
        tuple(entries),
        24,
        {"images.login01": (6.2e9, 10.7e9, "B"), "images.login02": (1.1e9, 10.7e9, "B")},
        away=away,
    )


class Shown:
    """What the dashboard reads: one of ``states`` after the other, and the last one again and again."""

    def __init__(self, *states: Parts | Exception) -> None:
        self._states = states
        self.read = 0

    def __call__(self) -> Parts:
        state = self._states[min(self.read, len(self._states) - 1)]
        self.read += 1
        if isinstance(state, Exception):
            raise state
        return state


def of(status: SiteStatus, told: JournalSummary | None = None) -> Parts:
    return {**parts.of_site(status, told), "journal": {"trouble": ""}}


@contextmanager
def served(
    read: Shown, *, every: float = 3600.0, rules: Rules | None = None, tls: Tls | None = None
) -> Iterator[tuple[str, Watcher]]:
    """The dashboard on a free port of this machine: its address, and what reads for it."""
    watcher = Watcher(read, every)
    with listening.on_address(listening.Address("127.0.0.1", 0), "test") as made:
        server = Server(application(watcher, rules or Rules()), made, tls)
        watcher.start()
        server.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.port_of(made)}", watcher
        finally:
            watcher.close()
            server.close()
    assert server.error is None
