"""The main job, once, interrupted on the way: the snapshot of what it made is where the later tests begin."""

from __future__ import annotations

import base64
import difflib
import json
import re
import shlex
import time
from pathlib import Path

import pytest
from conftest import CLUSTER, Administrator, on

from snowha.hosts.local import LocalHost
from snowha.lab import demo, domain_probe, first_boot, layout, lifecycle, placement_log, records
from snowha.lab.layout import DOMAINS, PREPARED

MASTER_PASSWORD = 'HPCN0w!! "quoted" $5'
"""Of the lab's snow.conf."""


def test_a_single_server_becomes_a_cluster_even_if_interrupted(lab: None, cluster_folder: Path) -> None:
    """What would be lost: everything. Nothing acknowledged is, no image is ever open twice, and Ctrl-C is no disaster."""
    lifecycle.restore(PREPARED)
    began = time.time()
    before = on("nfs01", "cat", "/export/sNow/etc/snow.conf")
    volumes = on("snow01", "sh", "-c", "'for v in /dev/snow_vg/*-swap; do head -c 8192 $v | sha256sum; done'")
    administrator = Administrator(cluster_folder)
    administrator.init()

    first = administrator.interrupted(lambda line: "copying proxy01-disk" in line, "ha", "apply", "--yes")
    assert first.code == 130
    second = administrator.snow("ha", "apply", "--yes")
    assert second.code == 0, second.output

    status = administrator.status()
    assert status["healthy"], status
    assert {row["name"] for row in status["domains"]} == {plan.name for plan in DOMAINS}
    on_servers = {row["name"]: row["servers"] for row in status["domains"]}
    assert on_servers["slurm01"] != on_servers["slurm02"], "the pair shares a server"

    after = on("nfs01", "cat", "/export/sNow/etc/snow.conf")
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert len(changed) == 8, changed
    assert {re.split(r"[= ]", line[2:])[0] for line in changed} == {"SNOW_NODES", "IMG_DST", "NET_SNOW", "NET_COMP"}
    assert on("snow01", "sh", "-c", "'for v in /dev/snow_vg/*-swap; do head -c 8192 $v | sha256sum; done'") == volumes

    nothing_lost()
    secrets_hidden(cluster_folder)
    lifecycle.save(CLUSTER)

    # and on from here, as the demonstration does: a domain is restarted, then its server loses its power
    code = demo.inside(administrator.ha_toml, administrator.journal, cluster_folder, began)
    report = json.loads((cluster_folder / "report.json").read_text())
    assert code == 0, report
    assert {row["lost"] for row in report["domains"].values()} == {0}
    assert report["two_places_at_once"] is False
    assert report["stale_reads"] == 0
    assert report["corosync"] == {"links": 2, "encrypted": True, "quorate": True}
    assert all(row["proved_s"] for row in report["fencing"].values())
    assert (cluster_folder / "report.html").stat().st_size > 10_000


def nothing_lost(*, records_each: int = 20, stale_checks: int = 50) -> None:
    """Every acknowledged record is on the disk; no domain was seen in two places; no read was stale.

    There must have been so many of them: nothing that was looked at is nothing that was proven.
    """
    paths = layout.paths()
    log = domain_probe.read_log(paths.client_log)
    acknowledged = domain_probe.acknowledged(log)
    for plan in DOMAINS:
        found = demo.found_on_disk(f"/sNow/domains/{plan.name}/{plan.name}-disk")
        assert len(acknowledged[plan.name]) >= records_each
        assert records.compare(acknowledged[plan.name], found.records) == []
        assert [problem for problem in found.problems if problem.kind != "torn"] == []
    stays = placement_log.placements(paths.sightings_log.read_text().splitlines())
    assert {stay.domain for stay in stays} == {plan.name for plan in DOMAINS}
    assert placement_log.at_once(stays) == []
    stale = domain_probe.stale(log)
    assert stale.reads >= stale_checks
    assert (stale.stale, stale.errors) == (0, 0)


def secrets_hidden(folder: Path) -> None:
    """The BMCs' password, snow.conf's, and Corosync's key are in nothing that was printed, logged, reported or configured.

    Where they are: in files that only root can read.
    """
    key = LocalHost().run(
        first_boot.ssh_words("snow01", ["base64", "-w0", "/etc/corosync/authkey"], paths=layout.paths())
    )
    # in one piece only if its place in what was encoded is a multiple of three bytes: from the second byte on as well
    raw = base64.b64decode(key.stdout)
    forms = [base64.b64encode(raw[start : start + 60]) for start in range(3)]
    secrets = [layout.IPMI_PASSWORD.encode(), MASTER_PASSWORD.encode(), raw[:40], *forms]
    for file in folder.rglob("*"):
        if file.is_file() and file.parent.name != "ha.secrets":
            content = file.read_bytes()
            assert not [secret for secret in secrets if secret in content], file
    patterns = b"\n".join(secret for secret in secrets if secret is not secrets[2]) + b"\n"
    for host in ("snow01", "snow02"):
        looking = "grep -rlF -f - /var/lib/snow-ha /var/log /var/lib/pacemaker /etc/corosync /etc/systemd /etc/snow-ha || true"
        words = first_boot.ssh_words(host, ["sh", "-c", shlex.quote(looking)], paths=layout.paths())
        found = LocalHost().run(words, input=patterns).stdout.splitlines()
        allowed = ("/var/lib/snow-ha/kept/", "/etc/snow-ha/fence/")
        assert not [path for path in found if not path.startswith(allowed)], found
        modes = on(host, "stat", "-c", "%a", *found, "/etc/corosync/authkey").split()
        assert all(mode.endswith("00") for mode in modes), list(zip(found, modes, strict=False))


def test_a_finished_site_is_left_alone(cluster: Administrator) -> None:
    """What would be lost: trust in running it again."""
    before = {
        host: on(
            host,
            "sh",
            "-c",
            "'cibadmin --query | grep -o \"epoch=.[0-9]*\" | head -2; find /var/lib/snow-ha/kept -type f | wc -l'",
        )
        for host in ("snow01", "snow02")
    }
    ended = cluster.snow("ha", "apply", "--yes", "--json")
    assert ended.code == 0
    kinds = [json.loads(line)["event"] for line in ended.output.splitlines() if line.startswith("{")]
    assert "step-started" not in kinds, ended.output
    after = {
        host: on(
            host,
            "sh",
            "-c",
            "'cibadmin --query | grep -o \"epoch=.[0-9]*\" | head -2; find /var/lib/snow-ha/kept -type f | wc -l'",
        )
        for host in ("snow01", "snow02")
    }
    assert after == before


def test_status_tells_a_person_where_everything_runs(cluster: Administrator) -> None:
    ended = cluster.snow("ha", "status")
    assert ended.code == 0
    assert "all is well" in ended.output
    for word in ("snow01", "snow02", "deploy01", "ready", "192.168.8.254"):
        assert word in ended.output


@pytest.mark.parametrize("host", ["snow01", "snow02"])
def test_images_are_attached_with_direct_io(cluster: Administrator, host: str) -> None:
    """Without it a live migration loses completed writes."""
    rows = [
        line.split() for line in on(host, "losetup", "--list", "--noheadings", "--output", "BACK-FILE,DIO").splitlines()
    ]
    images = [row for row in rows if row[0].startswith("/sNow/domains/")]
    assert images
    assert all(row[1] == "1" for row in images), rows
