"""Metrics for Prometheus: one that cannot be read is an alarm that never comes; most are needed when the cluster is down."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import machine
import pytest
from test_status_text import LINKS, RED, YELLOW, image, status

from snowha.health.findings import Finding
from snowha.health.history import ClusterEvent
from snowha.hosts import file_scripts
from snowha.hosts.playback import Call, PlaybackHost
from snowha.live import proof_records
from snowha.operations import metrics
from snowha.operations.status import DomainStatus, ImageStorage, ServerStatus, SiteStatus
from snowha.plan.journal import Run
from snowha.plan.run_counts import RunCounts
from snowha.site.model import Domain

TOP = Path(__file__).parents[3]
SHARE = TOP / "share"
FIRST = Run(1, "root", "ws", "2027-01-15T07:00:00.000Z", "2027-01-15T07:20:00.000Z", "done")
SECOND = Run(2, "root", "ws", "2027-01-15T08:00:00.000Z", "", "")
RUNS = RunCounts("1", SECOND.started, (2, 0, 0), {"done": 1, "": 1}, SECOND)
PROOFS = {"fence-snow01": 1_800_000_000.0, "migration-deploy01": 1_800_000_100.0}


def domain(name: str, memory: int) -> Domain:
    return Domain(name, f"/d/{name}.cfg", memory, 1, "pvh", "", "", (), (), "xvda2")


DOMAINS = (domain("deploy01", 512), domain("slurm01", 256))


def text(shown: SiteStatus, domains: tuple[Domain, ...] = DOMAINS) -> str:
    return metrics.text(shown, domains, PROOFS, RUNS, at=1_800_000_200.0)


def values(shown: SiteStatus, domains: tuple[Domain, ...] = DOMAINS) -> dict[str, float]:
    lines = [line for line in text(shown, domains).splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


FULL = status(
    RED,
    YELLOW,
    YELLOW,
    Finding("lease-unreadable", "red", 'a "b"\\c\nd', "", ""),
    images=(image("deploy01"), image("proxy01", "free", "")),
    storage=ImageStorage(free=5 << 30, holes=7 << 30),
)
OUT = status(
    RED,
    servers=tuple(ServerStatus(f"snow0{n}", False, "unknown", trouble="it does not answer") for n in (1, 2)),
    domains=(DomainStatus("deploy01", (), None, None, "unknown", None),),
    fencing={"snow01": "unknown"},
)


BEGAN = 1_800_000_000.0
DOWN = replace(
    FULL,
    events=(
        ClusterEvent(BEGAN, "start", "deploy01", "snow01", "ok"),
        ClusterEvent(BEGAN, "start", "proxy01", "snow01", "ok"),
        ClusterEvent(BEGAN + 10, "stop", "proxy01", "snow01", "ok"),
        ClusterEvent(BEGAN + 20, "start", "proxy01", "snow01", "ok"),
        ClusterEvent(BEGAN + 50, "state", "snow01", "", "lost"),
        ClusterEvent(BEGAN + 92.5, "start", "deploy01", "snow02", "ok"),
    ),
)


@pytest.mark.parametrize("shown", [FULL, OUT, status(), DOWN], ids=["full", "out", "well", "down"])
def test_prometheus_reads_them(shown: SiteStatus) -> None:
    """node_exporter drops a whole file for one line that it cannot read."""
    machine.need("promtool")
    ran = subprocess.run(
        ["promtool", "check", "metrics"], input=text(shown), text=True, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_last_downtime_of_a_domain_is_in_them_also_while_it_lasts() -> None:
    """After a night in which a server was lost nobody could say for how long which domain had been off."""
    found = values(DOWN)
    assert found['snow_domain_last_downtime_seconds{domain="deploy01"}'] == 42.5
    assert found['snow_domain_last_downtime_start_timestamp_seconds{domain="deploy01"}'] == BEGAN + 50
    assert found['snow_domain_last_downtime_seconds{domain="proxy01"}'] == 150, "it is off since its server was lost"
    assert not [name for name in found if "downtime" in name and "slurm01" in name]
    assert not [name for name in values(FULL) if "downtime" in name]


def test_the_state_of_a_site_is_in_them() -> None:
    found = values(FULL)
    assert found["snow_healthy"] == 0
    assert found["snow_collected_timestamp_seconds"] == 1_800_000_200
    assert found['snow_server_reachable{server="snow02"}'] == 0
    assert found['snow_server_free_memory_bytes{server="snow01"}'] == 900 << 20
    assert found['snow_link_connected{server="snow01",link="1"}'] == 0
    assert found['snow_domain_state{domain="deploy01",state="running"}'] == 1
    assert found['snow_domain_state{domain="deploy01",state="off"}'] == 0
    assert found['snow_domain_off_on_purpose{domain="proxy01"}'] == 1
    assert found['snow_domain_on_hypervisor{domain="slurm01",server="snow01"}'] == 1
    assert found['snow_fencing_state{server="snow02",state="not running"}'] == 1
    assert found['snow_proof_timestamp_seconds{proof="fence-snow01"}'] == 1_800_000_000
    assert found['snow_finding{code="lease-unreadable",severity="red",where="a \\"b\\"\\\\c\\nd"}'] == 1
    path = "/sNow/domains/deploy01/deploy01-disk"
    assert found[f'snow_image_lease_holder{{domain="deploy01",image="{path}",server="snow01"}}'] == 1
    assert found[f'snow_image_lease_since_timestamp_seconds{{domain="deploy01",image="{path}"}}'] == 1_795_755_305
    assert not any("holder" in name and "proxy01" in name for name in found)


def test_room_for_images_and_runs_are_in_them() -> None:
    """Storage that fills up is seen days before a domain's write fails; a run that nobody ended is seen at all."""
    found = values(FULL)
    assert (found["snow_images_free_bytes"], found["snow_images_holes_bytes"]) == (5 << 30, 7 << 30)
    assert found['snow_runs{outcome="done"}'] == 1 and found['snow_runs{outcome="failed"}'] == 0
    assert found['snow_last_run_outcome{outcome="unfinished"}'] == 1
    assert found['snow_last_run_outcome{outcome="done"}'] == 0
    assert found["snow_last_run_start_timestamp_seconds"] == 1_800_000_000
    assert "snow_last_run_end_timestamp_seconds" not in found
    assert "snow_images_free_bytes" not in values(OUT)
    ended = metrics.text(FULL, DOMAINS, PROOFS, replace(RUNS, last=FIRST), at=1_800_000_200.0)
    assert "snow_last_run_end_timestamp_seconds 1799997600.0" in ended
    assert "snow_runs" not in metrics.text(FULL, DOMAINS, PROOFS, None, at=1_800_000_200.0)


def test_they_are_there_when_nothing_answers() -> None:
    """The night in which all is lost would look like one in which nothing is wrong."""
    found = values(OUT)
    assert found['snow_server_reachable{server="snow01"}'] == 0
    assert found['snow_domain_state{domain="deploy01",state="unknown"}'] == 1
    assert not any(name.startswith(("snow_domain_managed", "snow_domain_off")) for name in found), "it is not known"
    assert not any(name.startswith(("snow_server_free", "snow_survives", "snow_server_quorate")) for name in found)


@pytest.mark.parametrize(
    ("free", "survives", "spare"), [((900, 1000), 1, 1000 - 517 - 259), ((900, 700), 0, 700 - 517 - 259)]
)
def test_whether_a_loss_is_survived(free: tuple[int, int], survives: int, spare: int) -> None:
    """deploy01 and slurm01 run on snow01, and need what libxl adds for paging as well."""
    servers = tuple(
        ServerStatus(f"snow0{n}", True, "online", "4.20", mib, True, LINKS) for n, mib in enumerate(free, 1)
    )
    found = values(status(servers=servers))
    assert found['snow_survives_loss{server="snow01"}'] == survives
    assert found['snow_spare_after_loss_bytes{server="snow01"}'] == spare << 20
    assert found['snow_survives_loss{server="snow02"}'] == 1


@pytest.mark.parametrize("word", ["standby", "maintenance", "offline", "unclean"])
def test_a_server_that_nothing_is_started_on_is_no_room_for_a_lost_one(word: str) -> None:
    """With one server of two in standby, the metric said that the loss of the other one is survived."""
    servers = (
        ServerStatus("snow01", True, "online", "4.20", 900, True, LINKS),
        ServerStatus("snow02", True, word, "4.20", 9000, True, LINKS),
    )
    found = values(status(servers=servers))
    assert found['snow_survives_loss{server="snow01"}'] == 0
    assert found['snow_spare_after_loss_bytes{server="snow01"}'] == -(517 + 259) << 20
    assert 'snow_survives_loss{server="snow02"}' not in found


def test_the_page_has_every_metric_and_is_what_the_code_says() -> None:
    """python -m snowha.operations.metrics > docs/metrics.md."""
    assert (TOP / "docs/metrics.md").read_text() == metrics.document()
    assert all(re.fullmatch(r"snow_[a-z_]+", name) for name in metrics.METRICS)


def test_alert_rules_and_dashboard_ask_for_metrics_that_there_are() -> None:
    """A rule about a metric that was renamed never fires."""
    rules = (SHARE / "prometheus/snow-alerts.yml").read_text()
    board = json.loads((SHARE / "grafana/snow.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += re.findall(r"^ +expr: (.*)$", rules, re.MULTILINE)
    for expression in asked:
        named = re.findall(r"\bsnow_[a-z_]+", expression)
        assert named and set(named) <= set(metrics.METRICS), expression
    for state in re.findall(r'snow_(\w+)_state\{state="([^"]+)"', "\n".join(asked)):
        known = {"domain": metrics.DOMAIN_STATES, "fencing": metrics.FENCING_STATES}[state[0]]
        assert state[1] in known


def test_the_alert_rules_fire_when_they_should() -> None:
    machine.need("promtool")
    for words in (["check", "rules", "snow-alerts.yml"], ["test", "rules", "snow-alerts.test.yml"]):
        ran = subprocess.run(
            ["promtool", *words], cwd=SHARE / "prometheus", text=True, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_newest_proof_counts_and_one_that_cannot_be_read_does_not() -> None:
    """The servers have them in copies; one that was out while something was proven has an older one."""

    def host(name: str, **proofs: str) -> PlaybackHost:
        rows = [
            " ".join(base64.b64encode(one.encode()).decode() for one in (f"{proof_records.PROOFS}/{key}.json", said))
            for key, said in proofs.items()
        ]
        words = ("sh", "-c", file_scripts.READ_FOLDER, "sh", proof_records.PROOFS, ".json")
        return PlaybackHost(name, [Call(words, stdout="".join(f"{row}\n" for row in rows))])

    old, new = '{"when": "2027-01-15T08:00:00Z"}', '{"when": "2027-01-15T08:00:10Z"}'
    hosts = {"a": host("a", fence=old, broken="{"), "b": host("b", fence=new, other=old, broken='{"when": 3}')}
    assert proof_records.times(hosts) == {"fence": 1_800_000_010.0, "other": 1_800_000_000.0}
