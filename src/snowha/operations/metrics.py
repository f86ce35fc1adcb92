"""A site as Prometheus reads it: the text format, for the textfile collector of node_exporter.

It has what prometheus-hacluster-exporter lacks, and is there when the cluster is down. docs/metrics.md is
made from ``METRICS``: ``python -m snowha.operations.metrics > docs/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from snowha.cluster import placement
from snowha.health import downtimes
from snowha.health.leases import ImageStatus
from snowha.operations.status import DomainStatus, ServerStatus, SiteStatus
from snowha.plan.journal import LOST
from snowha.plan.run_counts import RunCounts
from snowha.site.model import Domain

_MIB = 1 << 20
DOMAIN_STATES = ("running", "off", "twice", "disagree", "unknown")
LEASE_STATES = ("free", "held", "offered", "tentative", "none", "unreadable", "unknown")
FENCING_STATES = ("ready", "failed", "not running", "unknown")
OUTCOMES = ("done", "failed", "cancelled", "broken", LOST)
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Metric:
    """A gauge: its labels, and what it says."""

    labels: tuple[str, ...]
    help: str


METRICS: dict[str, Metric] = {
    "snow_collected_timestamp_seconds": Metric(
        (), "When the servers were asked. Older than a few minutes: nothing below counts."
    ),
    "snow_healthy": Metric((), "1 if nothing is wrong, as `snow ha status` says with its exit code."),
    "snow_finding": Metric(("code", "severity", "where"), "1 for each finding of `snow ha status`."),
    "snow_server_reachable": Metric(("server",), "1 if the server answers over ssh."),
    "snow_server_cluster_state": Metric(
        ("server", "state"), "1 with what Pacemaker says of the server, or `no cluster`, `unknown`."
    ),
    "snow_server_quorate": Metric(("server",), "1 if Corosync on the server has quorum. Absent where it does not run."),
    "snow_server_free_memory_bytes": Metric(("server",), "Memory that the hypervisor has free."),
    "snow_server_info": Metric(("server", "xen"), "1, with the version of Xen."),
    "snow_link_connected": Metric(("server", "link"), "1 if the server's Corosync link reaches the others."),
    "snow_fencing_state": Metric(
        ("server", "state"), "1 for the state of the device that fences the server, 0 for all others."
    ),
    "snow_survives_loss": Metric(
        ("server",),
        "1 if the others have quorum when the server is lost, and memory for all its domains, largest first into the emptiest. "
        "Only of and with servers that Pacemaker uses: online, and not in standby or maintenance.",
    ),
    "snow_spare_after_loss_bytes": Metric(
        ("server",),
        "Free memory of the others less what the server's domains need. Negative: some of them would stay down. Of and with the "
        "same servers.",
    ),
    "snow_proof_timestamp_seconds": Metric(
        ("proof",), "When it was proven on the real thing: `fence-SERVER`, `migration-DOMAIN`."
    ),
    "snow_domain_state": Metric(("domain", "state"), "1 for the state of the domain, 0 for all others."),
    "snow_domain_off_on_purpose": Metric(
        ("domain",), "1 if the domain is off because somebody wants it to be. Absent where that is not known."
    ),
    "snow_domain_managed": Metric(
        ("domain",), "1 if Pacemaker has the domain and was not told to leave it alone. Absent where that is not known."
    ),
    "snow_domain_on_hypervisor": Metric(("domain", "server"), "1 for each server whose hypervisor runs the domain."),
    "snow_domain_on_pacemaker": Metric(
        ("domain", "server"), "1 for each server on which Pacemaker believes the domain to run."
    ),
    "snow_domain_last_downtime_start_timestamp_seconds": Metric(
        ("domain",),
        "Begin of the domain's last downtime, by what Pacemaker has done in the time that is read of the servers' journals. "
        "Absent if there was none.",
    ),
    "snow_domain_last_downtime_seconds": Metric(
        ("domain",), "For how long, until it was started; so far, if it is still off. Its own system boots after that."
    ),
    "snow_image_lease_state": Metric(
        ("domain", "image", "state"), "1 for the state of the image's lease, 0 for all others."
    ),
    "snow_image_lease_holder": Metric(
        ("domain", "image", "server"), "1 with the server that has the lease. Absent if nobody has."
    ),
    "snow_image_lease_since_timestamp_seconds": Metric(
        ("domain", "image"), "When the lease changed, by its holder's clock."
    ),
    "snow_image_attached": Metric(("domain", "image", "server"), "1 for each server that has the image attached."),
    "snow_images_free_bytes": Metric(
        (), "Free on the file system of the images. Absent if no server that answers can say."
    ),
    "snow_images_holes_bytes": Metric(
        (), "What the images may come to take beside what they have. More than is free: a domain's write will fail."
    ),
    "snow_runs": Metric(
        ("outcome",),
        "Number of runs with that outcome, by the newest journal that a server has. `unfinished`: it goes on, or was lost.",
    ),
    "snow_last_run_outcome": Metric(("outcome",), "1 for the outcome of the last run, 0 for all others."),
    "snow_last_run_start_timestamp_seconds": Metric((), "When the last run began."),
    "snow_last_run_end_timestamp_seconds": Metric((), "When it ended. Absent while it is unfinished."),
}
"""In the order in which they are written. All are gauges."""

Sample = tuple[str, tuple[str, ...], float]
"""Metric, values of its labels, value."""


def text(
    status: SiteStatus, domains: Sequence[Domain], proofs: Mapping[str, float], runs: RunCounts | None, *, at: float
) -> str:
    """All metrics in the text format. ``domains``: those whose config could be read; ``at``: seconds since 1970."""
    found = (*_samples(status, domains, proofs, at), *_runs(runs))
    samples = sorted(
        {sample[:2]: sample for sample in found}.values(),
        key=lambda sample: [*METRICS].index(sample[0]),
    )
    lines: list[str] = []
    told = ""
    for name, values, value in samples:
        metric = METRICS[name]
        if name != told:
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge"]
            told = name
        pairs = ",".join(f'{label}="{_escaped(one)}"' for label, one in zip(metric.labels, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def document() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{name}` | {', '.join(f'`{one}`' for one in metric.labels)} | {metric.help} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join([_HEAD, "| metric | labels | |", "|---|---|---|", *rows, ""])


def _samples(status: SiteStatus, domains: Sequence[Domain], proofs: Mapping[str, float], at: float) -> Iterator[Sample]:
    yield "snow_collected_timestamp_seconds", (), at
    yield "snow_healthy", (), float(status.healthy)
    for finding in status.findings:
        yield "snow_finding", (finding.code, finding.severity, finding.where), 1.0
    for server in status.servers:
        yield from _server(server)
    for server_name, state in status.fencing.items():
        yield from _states("snow_fencing_state", (server_name,), state, FENCING_STATES)
    yield from _losses(status, domains)
    for proof, when in proofs.items():
        yield "snow_proof_timestamp_seconds", (proof,), when
    for domain in status.domains:
        yield from _domain(domain)
    yield from _downtimes(status, at)
    for image in status.images:
        yield from _image(image)
    if status.storage:
        yield "snow_images_free_bytes", (), float(status.storage.free)
        yield "snow_images_holes_bytes", (), float(status.storage.holes)


def _runs(runs: RunCounts | None) -> Iterator[Sample]:
    """Nothing of a site that never had a run."""
    if runs is None or runs.last is None:
        return
    outcomes = {outcome or UNFINISHED: number for outcome, number in runs.outcomes.items()}
    for outcome in dict.fromkeys((*OUTCOMES, UNFINISHED, *outcomes)):
        yield "snow_runs", (outcome,), float(outcomes.get(outcome, 0))
    last = runs.last
    yield from _states("snow_last_run_outcome", (), last.outcome or UNFINISHED, (*OUTCOMES, UNFINISHED, *outcomes))
    yield "snow_last_run_start_timestamp_seconds", (), _seconds(last.started)
    if last.ended:
        yield "snow_last_run_end_timestamp_seconds", (), _seconds(last.ended)


def _server(server: ServerStatus) -> Iterator[Sample]:
    yield "snow_server_reachable", (server.name,), float(server.reachable)
    yield "snow_server_cluster_state", (server.name, server.cluster), 1.0
    if server.quorate is not None:
        yield "snow_server_quorate", (server.name,), float(server.quorate)
    if server.free_memory_mib is not None:
        yield "snow_server_free_memory_bytes", (server.name,), float(server.free_memory_mib * _MIB)
    if server.xen is not None:
        yield "snow_server_info", (server.name, server.xen), 1.0
    for link in server.links:
        yield "snow_link_connected", (server.name, str(link.number)), float(link.connected)


def _losses(status: SiteStatus, domains: Sequence[Domain]) -> Iterator[Sample]:
    """What would be if one of the servers that may run domains were lost now. Only domains that run count."""
    usable = [one for one in status.servers if one.cluster == "online"]
    free = {one.name: one.free_memory_mib for one in usable if one.free_memory_mib is not None}
    running = {one.name: one.servers[0] for one in status.domains if one.servers and one.servers[0] in free}
    known = [domain for domain in domains if domain.name in running]
    where = {domain.name: running[domain.name] for domain in known}
    needed = dict.fromkeys(free, 0)
    for domain in known:
        needed[where[domain.name]] += placement.needed_mib(domain)
    room = {server: free[server] + needed[server] for server in free}
    lost = {finding.where for finding in placement.fits_after_loss(known, where, room)}
    for server in free:
        yield "snow_survives_loss", (server,), float(server not in lost and status.losses.get(server) != "no quorum")
        others = sum(mib for name, mib in free.items() if name != server)
        yield "snow_spare_after_loss_bytes", (server,), float((others - needed[server]) * _MIB)


def _domain(domain: DomainStatus) -> Iterator[Sample]:
    yield from _states("snow_domain_state", (domain.name,), domain.state, DOMAIN_STATES)
    if domain.on_purpose is not None:
        yield "snow_domain_off_on_purpose", (domain.name,), float(domain.on_purpose)
    if domain.managed is not None:
        yield "snow_domain_managed", (domain.name,), float(domain.managed)
    for server in domain.servers:
        yield "snow_domain_on_hypervisor", (domain.name, server), 1.0
    for server in domain.pacemaker or ():
        yield "snow_domain_on_pacemaker", (domain.name, server), 1.0


def _downtimes(status: SiteStatus, at: float) -> Iterator[Sample]:
    found = downtimes.of_domains(status.events, [domain.name for domain in status.domains])
    for last in {one.domain: one for one in found}.values():  # the one that began last
        yield "snow_domain_last_downtime_start_timestamp_seconds", (last.domain,), last.since
        until = at if last.until is None else last.until
        yield "snow_domain_last_downtime_seconds", (last.domain,), round(until - last.since, 3)


def _image(image: ImageStatus) -> Iterator[Sample]:
    which = (image.domain, image.image)
    yield from _states("snow_image_lease_state", which, image.state, LEASE_STATES)
    if image.holder:
        yield "snow_image_lease_holder", (*which, image.holder), 1.0
    if image.since:
        try:
            since = _seconds(image.since)
        except ValueError:
            pass  # a record that says nothing that can be read; status tells of it
        else:
            yield "snow_image_lease_since_timestamp_seconds", which, since
    for server in image.attached:
        yield "snow_image_attached", (*which, server), 1.0


def _states(name: str, labels: tuple[str, ...], state: str, known: Iterable[str]) -> Iterator[Sample]:
    for one in dict.fromkeys((*known, state)):
        yield name, (*labels, one), float(one == state)


def _seconds(when: str) -> float:
    """Since 1970, of a time in UTC (ISO 8601). Raises ValueError."""
    return datetime.fromisoformat(when.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _escaped(value: str) -> str:
    """A label's value (Prometheus, "Exposition formats")."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_HEAD = """\
# Metrics

`snow ha metrics` asks every server once and prints what it finds in the text format of Prometheus. With `--output FILE` it
writes a file for the textfile collector of node_exporter, whole or not at all. The metrics are there when the cluster is down:
a server that does not answer has `snow_server_reachable` 0.

On Debian, on one machine that can log in to the servers as root (the metrics are of the whole site):

```
apt install snow-ha prometheus-node-exporter
install -D -m 644 ha.toml /etc/snow-ha/ha.toml
systemctl enable --now snow-ha-metrics.timer
```

The timer of the package runs it each minute, and writes `/var/lib/prometheus/node-exporter/snow.prom`. If a run fails, the file
stays as it was, and `snow_collected_timestamp_seconds` gets old: the first alert rule is about that.

What Pacemaker and Corosync say in detail (`ha_cluster_…`: resources, failures, rings) comes from `prometheus-hacluster-exporter`,
port 9664, on each server. `snow ha apply` installs and starts it with `[metrics] hacluster_exporter = true` in `ha.toml`. The
configuration that Debian ships stays as it is (`/etc/ha_cluster_exporter.yaml`): it listens on every address and has no password,
so keep the port from other networks. While the cluster is down it has little to say; the metrics of this page are there all the
same.

Alert rules are in `share/prometheus/snow-alerts.yml`, a dashboard for Grafana in `share/grafana/snow.json`. The package has both
below `/usr/share/snow-ha`.

All are gauges. This page is generated from the code (`src/snowha/operations/metrics.py`).
"""

if __name__ == "__main__":
    print(document(), end="")
