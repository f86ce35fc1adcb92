"""The demonstration: a single server becomes a cluster, loses a server, and everything is counted afterwards."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from snowha.cluster import corosync_conf
from snowha.disks.engine_driver import manifest
from snowha.errors import ProofError, SnowError
from snowha.hosts.files import read_text
from snowha.hosts.wait import wait_for
from snowha.lab import demo_folder, domain_probe, first_boot, layout, lifecycle, network, placement_log, records, report
from snowha.lab.layout import DOMAINS, NFS01, PREPARED
from snowha.live import cluster, connect
from snowha.live.context import SiteContext
from snowha.plan.journal import Entry, Journal
from snowha.provision import corosync
from snowha.provision.servers import mounts

Say = Callable[[str], None]
NETWORK = 10.0
"""Seconds around a step in which a domain's answers still belong to it: the client's pause and timeout."""

AWAY_S = 5.0
"""Seconds without an answer from which a domain counts as away in the picture: the client asks every 2 s and waits 2 s."""


def run(release: str, folder: Path, say: Say) -> int:
    """The whole demonstration; its report in ``folder``. The exit code: 0 if nothing was lost, else 6."""
    paths = layout.paths()
    demo_folder.prepare(folder)
    if lifecycle.is_up(paths) and lifecycle.facts(paths).release == release:
        say("the lab is up: going back to its first state")
        lifecycle.restore(PREPARED)
    else:
        lifecycle.down(lambda text: None)
        lifecycle.up(release, say)
    began = time.time()
    ha_toml, journal = folder / demo_folder.HA_TOML, folder / demo_folder.JOURNAL
    _snow(journal, "ha", "init", "snow01", "snow02", "--ssh-config", str(paths.ssh_config), "--output", str(ha_toml))
    _snow(journal, "ha", "apply", "--yes", "--file", str(ha_toml))
    return inside(ha_toml, journal, folder, began)


def _snow(journal: Path, *words: str) -> None:
    """Run ``snow`` as its user would, in the site's network and on this terminal."""
    shown = " ".join(("snow", *words))
    print(f"\n$ {shown}", flush=True)
    argv = network.inside("env", f"SNOW_JOURNAL={journal}", sys.executable, "-m", "snowha.cli.main", *words)
    code = subprocess.run(argv, check=False).returncode
    if code:
        raise ProofError(
            f"`{shown}` ended with {code}", remedy="its messages stand above; `snow lab status` shows the site"
        )


def inside(ha_toml: Path, journal: Path, folder: Path, began: float) -> int:
    """The second half, run in the site's network: it has to talk to the servers."""
    words = [sys.executable, "-m", "snowha.lab.demo", str(ha_toml), str(journal), str(folder), str(began)]
    return subprocess.run(network.inside(*words), check=False).returncode


@dataclass(frozen=True)
class Loss:
    """A server's power lost on purpose. Times: unix; ``fenced`` and ``back`` in seconds after ``at``."""

    server: str
    restarted: str
    restarted_at: float
    at: float
    fenced: float
    back: float


class _Printing:
    """A Reporter that says each new thing once."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        if text != self._last:
            print(f"  {text}", flush=True)
        self._last = text

    def wait(self, text: str) -> None:
        self.say(text)

    def progress(self, done: float, total: float, unit: str = "") -> None:
        pass

    def fact(self, key: str, value: object) -> None:
        pass


def lose_power(context: SiteContext, paths: layout.LabPaths) -> Loss:
    """Restart a domain on the server that runs most of them, pull that server's power, and wait until all domains answer."""
    reporter = _Printing()
    where = cluster.domain_locations(context.hosts)
    by_server = {name: [domain for domain, servers in where.items() if servers == (name,)] for name in context.hosts}
    victim = max(by_server, key=lambda name: len(by_server[name]))
    restarted = min(
        by_server[victim], key=lambda name: (context.site.domain(name).memory_mib, name)
    )  # the quickest to boot
    print(
        f"\nRestarting {restarted} on {victim}: with the guide's own configuration that server then holds a delegation of its "
        "image, and the domain never comes back when the server is lost."
    )
    restarted_at = time.time()
    cluster.any_member(context.hosts).run(["crm_resource", "--restart", f"--resource={restarted}"], timeout=600)
    asked = time.time()
    wait_for(
        lambda: restarted in _answered_since(paths, asked),
        timeout=300,
        what=f"{restarted} to answer again",
        report=reporter.wait,
    )
    survivor = cluster.any_member(context.hosts, but=victim)
    before = {event.completed for event in _fencing(context, victim, survivor.name)}
    print(f"\nPulling the power of {victim}, which runs {', '.join(sorted(by_server[victim]))}.", flush=True)
    at = time.time()
    lifecycle.power(victim, "off", paths=paths)

    def fenced() -> bool | None:
        events = _fencing(context, victim, survivor.name)
        return any(event.status == "success" and event.completed not in before for event in events) or None

    wait_for(fenced, timeout=300, what=f"{victim} to be fenced", interval=0.5, report=reporter.wait)
    fenced_s = round(time.time() - at, 1)
    names = {plan.name for plan in DOMAINS}
    away = {name for name in by_server[victim] if name in names}

    def all_back() -> bool | None:
        missing = away - _answered_since(paths, at + fenced_s)
        reporter.say(f"waiting for {', '.join(sorted(missing))} to answer again" if missing else "all answer again")
        return not missing or None

    wait_for(all_back, timeout=900, what="every domain to answer again")
    back = max(_first_answer(paths, name, at + fenced_s) for name in away) - at
    return Loss(victim, restarted, restarted_at, at, fenced_s, round(back, 1))


def wait_for_servers(context: SiteContext) -> None:
    """The server that was fenced boots: what came of it can be read when it is there again."""
    reporter = _Printing()
    for host in context.hosts.values():
        wait_for(
            lambda host=host: mounts.missing(context, host) is None,  # type: ignore[misc]
            timeout=900,
            what=f"{host.name} to have booted",
            interval=3,
            report=reporter.wait,
            unreachable_is_not_yet=True,
        )


def _fencing(context: SiteContext, victim: str, survivor: str) -> list[Any]:
    state = cluster.state_from(context.hosts[survivor], fencing=True)
    return [event for event in state.fencing if event.server == victim] if state else []


def _answered_since(paths: layout.LabPaths, since: float) -> set[str]:
    return {
        attempt.domain
        for attempt in domain_probe.read_log(paths.client_log).attempts
        if attempt.number and attempt.t >= since
    }


def _first_answer(paths: layout.LabPaths, domain: str, since: float) -> float:
    log = domain_probe.read_log(paths.client_log)
    return min(a.t_ack for a in log.attempts if a.domain == domain and a.t_ack is not None and a.t >= since)


# what came of it


def found_on_disk(image: str) -> records.Found:
    """The records in a domain's image, read by the storage server from its own disk, behind everybody's back."""
    local = f"/export{image}"
    words = first_boot.ssh_words(NFS01.name, [shlex.join(records.dump_argv(local))], paths=layout.paths())
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        data, _ = process.communicate(timeout=300)
    return records.read_records(data)


def _unix(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _windows(entries: tuple[Entry, ...]) -> dict[str, tuple[float, float]]:
    """When each step was carried out."""
    begun: dict[str, float] = {}
    windows = {}
    for entry in entries:
        if entry.what == "started":
            begun[entry.step] = _unix(entry.at)
        elif entry.what == "done" and entry.step in begun:
            windows[entry.step] = (begun[entry.step], _unix(entry.at))
    return windows


def collect(
    context: SiteContext, journal: Journal, loss: Loss, began: float, titles: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Everything that the report says, from the logs, both hypervisors, and the disks."""
    paths = layout.paths()
    now = time.time()
    windows = _windows(journal.entries())
    log = domain_probe.read_log(paths.client_log)
    stays = placement_log.placements(paths.sightings_log.read_text().splitlines())
    twice = placement_log.at_once(stays)
    acknowledged = domain_probe.acknowledged(log)
    moving = [windows[step] for step in windows if step.startswith(("placement.", "proofs."))]
    domains = {}
    for plan in DOMAINS:
        domain = context.site.domain(plan.name)
        disk = next(disk for disk in domain.disks if disk.vdev == domain.root_vdev)
        facts = journal.last_facts(f"images.{plan.name}")
        copied: Any = facts.get(disk.name, {})
        found = found_on_disk(disk.target)
        lost = records.compare(acknowledged.get(plan.name, {}), found.records)
        bad = [problem for problem in found.problems if problem.kind != "torn"]
        copy = windows[f"images.{plan.name}"]
        domains[plan.name] = {
            "source": copied.get("source", ""),
            "image": disk.target,
            "bytes": copied.get("bytes", 0),
            "hash": copied.get("hash", ""),
            "verified": bool(copied.get("verified")) and manifest(context.first, disk.target) is not None,
            "type": domain.type,
            "away_s": {
                "copy": round(domain_probe.downtime(log, plan.name, copy[0], copy[1] + 60), 1),
                "live_migration": round(domain_probe.downtime(log, plan.name, moving[0][0], moving[-1][1]), 1)
                if moving
                else 0.0,
                "power_loss": round(domain_probe.downtime(log, plan.name, loss.at, loss.at + loss.back + 5), 1),
            },
            "acknowledged": len(acknowledged.get(plan.name, {})),
            "found": len(found.records),
            "lost": len(lost),
            "problems": [str(problem) for problem in bad],
            "ran_on": sorted({stay.server for stay in stays if stay.domain == plan.name}),
        }
    stale = domain_probe.stale(log)
    conf = corosync_conf.facts(corosync_conf.parse(read_text(context.first, corosync.CONF) or ""))
    state = cluster.cluster_state(context.hosts)
    fencing = {
        server.name: {"proved_s": journal.last_facts(f"proofs.fence.{server.name}").get("proved_s")}
        for server in context.site.servers
    }
    return {
        "release": lifecycle.facts(paths).release,
        "domains": domains,
        "corosync": {
            "links": conf.links,
            "encrypted": conf.encrypted,
            "quorate": bool(state and state.quorate),
        },
        "fencing": fencing,
        "power_loss": {
            "server": loss.server,
            "fenced_s": loss.fenced,
            "all_back_s": loss.back,
            "restarted_before": loss.restarted,
        },
        "two_places_at_once": bool(twice),
        "stale_reads": stale.stale,
        "stale_checks": stale.reads,
        "steps": [
            {"title": titles[step][0], "section": titles[step][1], "seconds": round(window[1] - window[0], 1)}
            for step, window in windows.items()
            if step in titles
        ],
        "timeline": _timeline(log, stays, windows, journal, loss, began, now, titles),
    }


def why_away(domain: str, start: float, end: float, windows: Mapping[str, tuple[float, float]], loss: Loss) -> str:
    """Why ``domain`` did not answer from ``start`` to ``end``: one of report_chart.REASONS.

    A time without an answer begins with the last one, which came before whatever ended them. ``windows``: when each step was
    carried out.
    """
    copy = windows.get(f"images.{domain}")
    if copy and copy[0] - NETWORK <= start <= copy[1] + NETWORK:
        return "copy"
    if start <= loss.at + loss.back + NETWORK and end >= loss.at:
        return "power loss"
    if domain == loss.restarted and loss.restarted_at - NETWORK <= start < loss.at:
        return "restart"
    moved = any(
        a - NETWORK <= start <= b + NETWORK
        for step, (a, b) in windows.items()
        if step.startswith(("placement.", "proofs."))
    )
    return "live migration" if moved else ""


def _timeline(
    log: domain_probe.Log,
    stays: list[placement_log.Placement],
    windows: dict[str, tuple[float, float]],
    journal: Journal,
    loss: Loss,
    began: float,
    now: float,
    titles: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    servers: dict[str, Any] = {}
    for step in windows:
        off: Any = journal.last_facts(step).get("off") if step.startswith("proofs.fence.") else None
        if off:
            servers[step.removeprefix("proofs.fence.")] = {"off": [{"from": off[0], "to": off[1]}]}
    servers.setdefault(loss.server, {"off": []})["off"].append({"from": loss.at, "to": loss.at + loss.fenced})
    return {
        "start": began,
        "end": now,
        "domains": {
            plan.name: {
                "stays": [{"server": s.server, "from": s.first, "to": s.last} for s in stays if s.domain == plan.name],
                "away": [
                    {"from": a, "to": b, "why": why_away(plan.name, a, b, windows, loss)}
                    for a, b in domain_probe.gaps(log, plan.name, AWAY_S)
                    if a >= began
                ],
            }
            for plan in DOMAINS
        },
        "servers": servers,
        "marks": [
            {"t": loss.at, "title": f"power of {loss.server} pulled"},
            {"t": loss.at + loss.fenced, "title": "fenced"},
            {"t": loss.at + loss.back, "title": "all back"},
        ],
        "steps": [
            {"title": titles[step][0], "section": titles[step][1], "from": a, "to": b}
            for step, (a, b) in windows.items()
            if step in titles
        ],
    }


def main() -> int:
    """``python -m snowha.lab.demo HA_TOML JOURNAL FOLDER BEGAN``, in the site's network."""
    from rich.console import Console

    from snowha.migration.steps import all_steps

    ha_toml, journal_file, folder, began = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    try:
        context = connect.load(connect.read(ha_toml))
        loss = lose_power(context, layout.paths())
        wait_for_servers(context)
        context = connect.load(connect.read(ha_toml))
        titles = {
            step.id: (step.title, step.section) for step in all_steps(context, connect.passwords(context, ha_toml))
        }
        with Journal(journal_file) as journal:
            data = collect(context, journal, loss, began, titles)
    except SnowError as error:
        print(f"snow: {error}", file=sys.stderr)
        return error.exit_code
    report.write(data, folder)
    Console().print(report.table(data))
    print(f"\nThe report: {folder / 'report.html'}, as data: {folder / 'report.json'}")
    return ProofError.exit_code if report.problems(data) else 0


if __name__ == "__main__":
    sys.exit(main())
