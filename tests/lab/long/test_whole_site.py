"""The whole site stopped for work on its storage, and started again; and after a power cut of everything."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from conftest import Administrator, on, shell, wait_until
from test_3_one_image import at_once
from test_4_everyday import SERVERS, running_on
from test_disasters import all_answer_since

from snowha.errors import CommandError
from snowha.lab import layout, lifecycle
from snowha.lab.layout import DOMAINS

NOTE = "/var/tmp/snow-alerts"
PAGER = "/usr/local/sbin/page-us"


def answers(server: str) -> bool:
    try:
        return on(server, "echo", "here", check=False, timeout=30).strip() == "here"
    except CommandError:  # the shared connection from before the power cut does not end by itself
        return False


def test_the_site_is_stopped_and_started_with_nothing_lost(cluster: Administrator) -> None:
    """Whatever writes while the storage is worked on is damaged; whatever Pacemaker starts then, too."""
    ended = cluster.snow("stop", "site", "--yes")
    assert ended.code == 0, ended.output
    for server in SERVERS:
        assert on(server, "xl", "list").count("\n") == 2, "a domain still runs"
        assert on(server, "systemctl", "is-active", "corosync", "pacemaker", check=False).split() == ["inactive"] * 2
        assert "loop" not in on(server, "losetup", "--list", "--noheadings", "--output", "NAME")
    # somebody starts the cluster by hand: the domains stay off
    for server in SERVERS:
        on(server, "systemctl", "start", "corosync", "pacemaker")
    wait_until(
        lambda: on("snow01", "crm_mon", "-1", "--output-as=xml", check=False).count('online="true"') == 2,
        timeout=300,
        what="Pacemaker has both servers",
    )
    on("snow01", "crm_resource", "--wait", "--timeout=60", check=False)
    assert not any(running_on(plan.name) for plan in DOMAINS)
    status = cluster.snow("status")
    assert status.code == 4 and "snow start site" in status.output

    began = time.time()
    ended = cluster.snow("start", "site")
    assert ended.code == 0, ended.output
    wait_until(lambda: all_answer_since(began), timeout=300, what="every domain answers")
    assert at_once() == []
    assert "snow-stop" not in on("snow01", "cibadmin", "--query")
    assert cluster.status()["healthy"]


def test_after_a_power_cut_of_all_servers_one_word_brings_everything_back(cluster: Administrator) -> None:
    """One server gets its power by hand, the other one through its BMC. The storage kept its own."""
    for server in SERVERS:
        lifecycle.power(server, "off")
    lifecycle.power("snow01", "on")
    wait_until(lambda: answers("snow01"), timeout=900, what="snow01 answers")
    began = time.time()
    ended = cluster.snow("start", "site")
    assert ended.code == 0, ended.output
    wait_until(lambda: all_answer_since(began), timeout=600, what="every domain answers")
    assert at_once() == []
    assert all(len(running_on(plan.name)) == 1 for plan in DOMAINS)
    assert cluster.status()["healthy"]
    assert cluster.snow("start", "site").code == 0


def test_somebody_is_told_of_a_lost_server_and_of_its_fence(cluster: Administrator, tmp_path: Path) -> None:
    """By Pacemaker, with no run of ours under way."""
    shutil.copytree(cluster.folder, tmp_path, dirs_exist_ok=True)  # its ha.toml is that of all tests
    cluster = Administrator(tmp_path)
    for server in SERVERS:
        shell(server, f"printf '#!/bin/sh\\nenv >> {NOTE}\\n' > {PAGER}; chmod 755 {PAGER}; rm -f {NOTE}")
    cluster.ha_toml.write_text(f'{cluster.ha_toml.read_text()}\n[alerts]\ncommand = "{PAGER}"\n')
    ended = cluster.snow("ha", "apply", "--yes")
    assert ended.code == 0, ended.output
    for network in layout.NETWORKS:
        lifecycle.cable("snow02", network.name, False)
    wait_until(
        lambda: "SNOW_ALERT=snow02 was fenced" in shell("snow01", f"cat {NOTE}", check=False),
        timeout=900,
        what="somebody is told of the fence",
    )
    said = shell("snow01", f"cat {NOTE}")
    assert "SNOW_ALERT=snow02 is lost" in said and "CRM_alert_kind=fencing" in said
    assert "password" not in said.lower() and "PCMK_" not in said
    for network in layout.NETWORKS:
        lifecycle.cable("snow02", network.name, True)
    wait_until(lambda: answers("snow02"), timeout=900, what="snow02 answers")
    ended = cluster.snow("start", "site")
    assert ended.code == 0, ended.output
