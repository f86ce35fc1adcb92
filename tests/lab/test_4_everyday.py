"""Everyday work on the finished cluster, first with the command lines of sNow! itself.

They stand in share/common.sh of sNow! 1.1.16 (avail_domains, boot_domain, nshutdown): what it runs with more than one server in
SNOW_NODES, which the migration sets.
"""

from __future__ import annotations

import json
import shlex

import pytest
from conftest import Administrator, on, shell, wait_until

from snowha.lab.layout import DOMAINS

SERVERS = ("snow01", "snow02")
LIST = "ssh -o ConnectTimeout=5 {server} /usr/sbin/xl list -l {domain} | jq  -r '.[].domid'"
BOOT = "crm resource cleanup {domain}\ncrm resource start {domain}"
SHUT_DOWN = "crm resource stop {domain}"


def listed(by: str, domain: str) -> list[str]:
    """The servers that sNow!'s own list finds a domain on, asked on the server ``by``."""
    found = [shell(by, LIST.format(server=server, domain=domain), check=False).strip() for server in SERVERS]
    return [server for server, domid in zip(SERVERS, found, strict=True) if domid.isdigit() and int(domid) > 0]


def running_on(domain: str) -> list[str]:
    """The servers whose hypervisor runs it."""
    return [server for server in SERVERS if domain in on(server, "xl", "list").split()]


@pytest.mark.parametrize("by", SERVERS)
def test_the_old_list_finds_every_domain_from_every_server(cluster: Administrator, by: str) -> None:
    """`snow list domains` of sNow! said `off` of every domain: jq was missing, and no server could log in to itself."""
    assert len(on(by, "which", "crm", "jq").split()) == 2
    status = {row["name"]: row["servers"] for row in cluster.status()["domains"]}
    for name, servers in status.items():
        wait_until(lambda name=name, servers=servers: listed(by, name) == servers, timeout=120, what=f"{name} is found")


def test_the_old_boot_and_shutdown_go_through_pacemaker(cluster: Administrator) -> None:
    """sNow!'s own `snow shutdown` and `snow boot` did nothing on a finished cluster, and said so nowhere: `crm` was missing."""
    (here,) = running_on("proxy01")
    by = next(server for server in SERVERS if server != here)
    shell(by, SHUT_DOWN.format(domain="proxy01"))
    wait_until(lambda: not running_on("proxy01"), timeout=300, what="proxy01 is off")
    wait_until(
        lambda: {row["name"]: row for row in cluster.status()["domains"]}["proxy01"]["on_purpose"],
        timeout=120,
        what="Pacemaker has it off on purpose",
    )
    assert listed(by, "proxy01") == []
    shell(by, BOOT.format(domain="proxy01"))
    wait_until(lambda: running_on("proxy01"), timeout=300, what="proxy01 runs again")
    wait_until(lambda: cluster.status()["healthy"], timeout=300, what="the cluster is well")
    # sNow! gives a server 5 s for its login: one that has just booted a domain may take longer
    wait_until(lambda: listed(by, "proxy01") == running_on("proxy01"), timeout=120, what="sNow! finds where it runs")


def test_the_list_is_what_the_guides_scripts_read(cluster: Administrator) -> None:
    """The same columns, read by the guide's own pipeline, and every domain where the hypervisors have it."""
    ended = cluster.snow("list", "domains")
    assert ended.code == 0, ended.output
    pipeline = r"""egrep -v "Domain|\-\-" | gawk '{print $1}'"""
    names = shell("snow01", f"printf '%s' {shlex.quote(ended.output)} | {pipeline}").split()
    assert names == sorted(plan.name for plan in DOMAINS)
    rows = json.loads(cluster.snow("list", "domains", "--json").output)
    assert {row["name"]: [row["server"]] for row in rows} == {name: running_on(name) for name in names}
    assert "up" in {row["system"] for row in rows}, "the lab's domains answer a ping, and let nobody log in"
    shown = json.loads(cluster.snow("show", "domain", "deploy01", "--json").output)
    assert shown["servers"] == running_on("deploy01") and shown["findings"] == []


def test_a_pair_is_shut_down_and_booted_and_is_what_it_is_said_to_be(cluster: Administrator) -> None:
    """Off, kept off and free when the verb returns; answering when the other one does. Nothing in between is waited for here."""
    ended = cluster.snow("shutdown", "slurm[01-02]")
    assert ended.code == 0, ended.output
    for name in ("slurm01", "slurm02"):
        assert running_on(name) == []
        for server in SERVERS:
            assert f"/{name}-disk" not in on(server, "losetup", "--list", "--noheadings", "--output", "BACK-FILE")
        assert '"state": "free"' in shell("snow01", f"snow-lease list /sNow/domains/{name}/{name}-disk")
    status = cluster.status()
    assert status["healthy"] and {row["name"] for row in status["domains"] if row["on_purpose"]} == {
        "slurm01",
        "slurm02",
    }
    ended = cluster.snow("boot", "slurm[01-02]")
    assert ended.code == 0, ended.output
    for plan in DOMAINS[2:]:
        assert len(running_on(plan.name)) == 1
        assert on("snow01", "ping", "-c", "3", plan.address)


def test_a_disarmed_cluster_says_so_and_is_armed_again(cluster: Administrator) -> None:
    """Forgotten after work on the network, nothing would be recovered any more."""
    assert cluster.snow("disarm", "--yes").code == 0
    said = cluster.snow("status")
    assert said.code == 4 and "the cluster has been disarmed since" in said.output and "snow arm" in said.output
    ended = cluster.snow("arm")
    assert ended.code == 0, ended.output
    assert cluster.snow("status").code == 0
