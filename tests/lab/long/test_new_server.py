"""``snow init`` on a server with nothing but Debian, beside one whose domains run: what sNow!'s own command is feared for."""

from __future__ import annotations

import shlex

from conftest import Administrator, on, shell

from snowha.lab.layout import DOMAINS

SHARED = "/export/sNow/snow-configspace/system_files/etc"
NODES = '{"compute": {"knl01": {"image": "centos-7.4-custom", "template": "centos-7.4", "last_deploy": "yesterday"}}}'


def shared_files() -> str:
    """Every small file on the shared storage: owner, mode, content."""
    return shell(
        "nfs01",
        "cd /export/sNow; find . -type f -size -1M -exec stat -c '%n %a %U' {} + | sort; "
        "find . -type f -size -1M -exec sha256sum {} + | sort",
    )


def test_a_new_server_is_set_up_and_nothing_shared_is_written(fresh: Administrator) -> None:
    """Compute nodes would boot with another image the next day, and nobody know why."""
    shell("nfs01", f"mkdir -p {SHARED}; echo '192.168.8.101 knl01' > {SHARED}/static_hosts")
    shell("nfs01", f"echo {shlex.quote(NODES)} > /export/sNow/etc/nodes.json")
    before, domains = shared_files(), shell("snow01", "xl vm-list")

    refused = fresh.snow("init", "snow01", "--yes")
    assert refused.code == 2 and "snow01 is the first server" in refused.output
    unanswered = fresh.snow("init", "snow02")
    assert unanswered.code == 4 and "[W] sNow! configuration had been initiated before." in unanswered.output
    assert "knl01" not in on("snow02", "cat", "/etc/hosts")

    ended = fresh.snow("init", "snow02", "--yes")
    assert ended.code == 0, ended.output
    assert "knl01" in on("snow02", "getent", "hosts", "knl01")
    assert "Domain-0" in on("snow02", "xl", "list")
    assert "/sNow" in on("snow02", "findmnt", "--noheadings", "/sNow")
    assert shared_files() == before
    assert shell("snow01", "xl vm-list") == domains and all(plan.name in domains for plan in DOMAINS)
    assert "knl01" not in on("snow01", "cat", "/etc/hosts")

    again = fresh.snow("init", "snow02", "--yes")
    assert again.code == 0 and "nothing to do" in again.output
