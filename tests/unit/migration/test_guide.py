"""docs/guide.md: every step is beside what it replaces."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated import SECRET, single_server

from snowha.migration.steps import all_steps

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"


def test_the_guide_names_every_step() -> None:
    """An administrator who knows the guide would not learn what a step of the plan is for."""
    context, _, hosts = single_server()
    text = GUIDE.read_text()
    # a step for each server or domain is named once, with the upper-case word in place of the name
    names = {server.name: "SERVER" for server in context.site.servers} | {
        domain.name: "DOMAIN" for domain in context.site.domains
    }
    kinds = set()
    for step in all_steps(context, {host.name: SECRET for host in hosts}):
        head, _, last = step.id.rpartition(".")
        kinds.add(f"{head}.{names[last]}" if last in names else step.id)
    assert sorted(kind for kind in kinds if f"`{kind}`" not in text) == []


@pytest.mark.parametrize(
    "command",
    [
        "snow shutdown domains",
        "for domain in $(snow list domains",
        "mkdir -p /sNow/domains/$domain",
        "dd if=/dev/snow_vg/${domain}-disk",
        "dd if=/dev/snow_vg/${domain}-swap",
        "sed -i ",
        "./migrate_lvm2loopback",
        "snow boot domain_name",
        "cd ${SNOW_ROOT}",
        "./install.sh",
        "reboot",
        "snow init",
        "apt update",
        "apt install libqb0 fence-agents pacemaker corosync pacemaker-cli-utils crmsh drbd-utils -y",
        "systemctl disable corosync",
        "systemctl disable pacemaker",
        "corosync-keygen",
        "chmod 400 /etc/corosync/authkey",
        "scp -p /etc/corosync/authkey snow02:",
        'egrep -v "^$\\|#" /etc/corosync/corosync.conf',
        "scp -p /etc/corosync/corosync.conf snow02:",
        "systemctl start corosync",
        "corosync-cfgtool -s",
        "pcs status corosync",
        "/etc/default/xendomains",
        "snow boot deploy01",
        "xl migrate deploy01 snow02",
        "chown -R hacluster:haclient /var/lib/pacemaker",
        "chmod 750 /var/lib/pacemaker",
        "crm cluster health",
        "setup_domains_ha.sh",
        "crm configure < pacemaker.cfg",
        "property stonith-enabled=no",
        "property no-quorum-policy=ignore",
        "property default-resource-stickiness=100",
        "crm_attribute --type op_defaults --attr-name timeout --attr-value 120s",
        "primitive deploy01 ocf:heartbeat:Xen",
        "crm_mon",
        "crm resource move deploy01 snow01",
        "primitive xsnow-vip ocf:heartbeat:IPaddr2",
        "location cli-prefer-maui01 maui01 role=Started inf: snow01",
        "`commit`, `bye`",
    ],
)
def test_every_command_of_the_guide_is_beside_ours(command: str) -> None:
    """Somebody in the middle of the guide would look for the command that he is at, and not find it."""
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("|")]
    assert any(command in line.split(" | ")[0] for line in rows)
