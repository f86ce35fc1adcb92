"""Everyday verbs that take minutes: restarts, a drain, a network that is worked on; and the same words on a single server."""

from __future__ import annotations

from conftest import Administrator, on, wait_until
from test_3_one_image import at_once
from test_4_everyday import SERVERS, running_on

from snowha.lab import lifecycle
from snowha.lab.layout import DOMAINS


def test_a_reboot_and_a_reset_end_when_another_one_answers(cluster: Administrator) -> None:
    """A domain that reboots is gone for a moment: Pacemaker must not start it elsewhere meanwhile."""
    for words in (("reboot", "proxy01"), ("reset", "proxy01", "--yes")):
        (before,) = running_on("proxy01")
        domid = on(before, "xl", "domid", "proxy01").strip()
        ended = cluster.snow(*words)
        assert ended.code == 0, ended.output
        (after,) = running_on("proxy01")
        assert (after, on(after, "xl", "domid", "proxy01").strip()) != (before, domid)
    assert cluster.snow("destroy", "proxy01", "--yes").code == 0
    assert running_on("proxy01") == []


def test_a_server_is_drained_and_the_domains_come_back(cluster: Administrator) -> None:
    """Live: no domain is restarted, and none is ever in two places."""
    before = {name: uuid for server in SERVERS for name, uuid in uuids(server).items()}
    ended = cluster.snow("drain", "snow01", "--yes")
    assert ended.code == 0, ended.output
    assert "would not be survived afterwards" in ended.output
    assert uuids("snow01") == {}
    ended = cluster.snow("undrain", "snow01")
    assert ended.code == 0, ended.output
    ended = cluster.snow("rebalance", "--yes")
    assert ended.code == 0, ended.output
    assert running_on("slurm01") != running_on("slurm02")
    assert {name: uuid for server in SERVERS for name, uuid in uuids(server).items()} == before
    assert "cli-" not in on("snow01", "cibadmin", "--query", "--scope=constraints")
    assert at_once() == []


def test_a_disarmed_cluster_fences_nobody_and_starts_nothing(cluster: Administrator) -> None:
    """A cable is pulled for work on the switch: without it a server is fenced within seconds."""
    booted = {server: on(server, "cat", "/proc/sys/kernel/random/boot_id") for server in SERVERS}
    where = {plan.name: running_on(plan.name) for plan in DOMAINS}
    assert cluster.snow("disarm", "--yes").code == 0
    cables(False)
    on("snow01", "crm_resource", "--wait", "--timeout=60", check=False)
    refused = cluster.snow("arm")
    assert refused.code != 0
    cables(True)
    wait_until(
        lambda: on("snow01", "crm_mon", "-1", "--output-as=xml").count('online="true"') == 2,
        timeout=300,
        what="the servers see each other again",
    )
    said = cluster.snow("status")
    assert said.code == 4 and "disarmed since" in said.output
    ended = cluster.snow("arm")
    assert ended.code == 0, ended.output
    assert {server: on(server, "cat", "/proc/sys/kernel/random/boot_id") for server in SERVERS} == booted
    assert {plan.name: running_on(plan.name) for plan in DOMAINS} == where
    assert at_once() == []


def test_a_server_that_is_lost_while_disarmed_is_fenced_by_name(cluster: Administrator) -> None:
    """It may run its domains still, out of sight: they are started elsewhere only after its power was cut."""
    booted = on("snow02", "cat", "/proc/sys/kernel/random/boot_id")
    there = {plan.name for plan in DOMAINS if running_on(plan.name) == ["snow02"]}
    assert there
    assert cluster.snow("disarm", "--yes").code == 0
    cables(False)
    refused = cluster.snow("arm")
    assert refused.code != 0
    assert not there & set(uuids("snow01"))
    ended = cluster.snow("arm", "--fence", "snow02", "--yes")
    assert ended.code == 0, ended.output
    wait_until(lambda: there <= set(uuids("snow01")), timeout=300, what="snow01 runs what snow02 ran")
    cables(True)
    wait_until(
        lambda: on("snow02", "cat", "/proc/sys/kernel/random/boot_id", check=False) not in ("", booted),
        timeout=300,
        what="snow02 has booted: it stays out of the cluster until somebody has looked at it",
    )
    assert at_once() == []


def cables(plugged: bool) -> None:
    """Of snow02. Unplugged, it ends when snow01 has noticed."""
    for network in ("snow", "mgmt"):
        lifecycle.cable("snow02", network, plugged)
    if not plugged:
        wait_until(
            lambda: 'online="false"' in on("snow01", "crm_mon", "-1", "--output-as=xml"),
            timeout=120,
            what="snow01 has lost sight of snow02",
        )


def uuids(server: str) -> dict[str, str]:
    """Of the domains there: a live migration keeps it."""
    rows = [line.split() for line in on(server, "xl", "vm-list").splitlines()[1:]]
    return {row[2]: row[0] for row in rows if row[2] != "Domain-0"}


def test_the_same_words_work_on_a_single_server(fresh: Administrator) -> None:
    """Before `apply` there is no Pacemaker: everything goes through xl."""
    assert [line.split()[0] for line in fresh.snow("list", "domains").output.splitlines()[2:]] == [
        plan.name for plan in DOMAINS
    ]
    ended = fresh.snow("shutdown", "proxy01")
    assert ended.code == 0, ended.output
    assert "proxy01" not in on("snow01", "xl", "list")
    ended = fresh.snow("boot", "domains")
    assert ended.code == 0, ended.output
    assert "proxy01" in on("snow01", "xl", "list")
    assert fresh.snow("destroy", "slurm[01-02]", "--yes").code == 0
    listed = on("snow01", "xl", "list")
    assert "slurm01" not in listed and "slurm02" not in listed
