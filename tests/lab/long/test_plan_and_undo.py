"""Check, plan and undo on real parts: what an administrator relies on before and after he dares."""

from __future__ import annotations

import json
import time

from conftest import Administrator, on, shell, wait_until
from test_2_migration import MASTER_PASSWORD, nothing_lost, secrets_hidden
from test_disasters import all_answer_since

from snowha.lab import layout
from snowha.lab.layout import DOMAINS

CONF = "/sNow/etc/snow.conf"
SECRETS = (layout.IPMI_PASSWORD, MASTER_PASSWORD)


def test_a_plan_changes_nothing_shows_no_secret_and_is_refused_when_the_site_moved_on(fresh: Administrator) -> None:
    """What would be lost: the reason to look before doing."""
    files = (
        "find /etc /root/.ssh /var/lib/snow-ha -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum | sha256sum"
    )
    before = {host: shell(host, files) for host in ("snow01", "snow02")}
    ended = fresh.snow("ha", "plan", "--save", "plan.json")
    assert ended.code == 0, ended.output
    assert {host: shell(host, files) for host in ("snow01", "snow02")} == before
    for word in ("xl shutdown -w deploy01", "script=block-snow", "CIB: property stonith-enabled", "SNOW_NODES"):
        assert word in ended.output
    for secret in SECRETS:
        assert secret not in ended.output
        assert secret not in (fresh.folder / "plan.json").read_text()
    shell("nfs01", "echo >> /export/sNow/etc/domains/slurm02.cfg")
    refused = fresh.snow("ha", "apply", "--yes", "--plan", "plan.json")
    assert refused.code == 4
    assert "slurm02.cfg has changed" in refused.output


def test_there_and_back_and_there_again(cluster: Administrator) -> None:
    """What would be lost: the way back, or what the domains wrote on either side of it."""
    began = time.time()
    undone = cluster.snow("ha", "undo", "--yes")
    assert undone.code == 0, undone.output
    wait_until(lambda: all_answer_since(began), timeout=600, what="every domain answers again")
    for plan in DOMAINS:
        text = on("nfs01", "cat", f"/export/sNow/etc/domains/{plan.name}.cfg")
        assert f"phy:/dev/snow_vg/{plan.name}-disk" in text and "block-snow" not in text
        assert on("snow01", "readlink", f"/etc/xen/auto/{plan.name}.cfg").strip().endswith(f"{plan.name}.cfg")
    assert "SNOW_NODES=( snow01 )" in on("nfs01", "cat", f"/export{CONF}")
    for host in ("snow01", "snow02"):
        assert shell(host, "systemctl is-active corosync pacemaker || true").split() == ["inactive", "inactive"]
        assert shell(host, "find /etc/snow-ha/fence /etc/corosync/authkey -type f 2>/dev/null || true") == ""
    assert cluster.snow("ha", "undo", "--yes").output.strip().endswith("nothing to undo")

    # the storage has no room for both, and says what may go
    refused = cluster.snow("ha", "apply", "--yes")
    assert refused.code == 4 and refused.output.strip().endswith(": rm /sNow/domains/*/*.undone"), refused.output
    shell("snow01", "rm /sNow/domains/*/*.undone")
    again = cluster.snow("ha", "apply", "--yes")
    assert again.code == 0, again.output
    assert cluster.status()["healthy"]
    nothing_lost()
    secrets_hidden(cluster.folder)
    log = cluster.snow("ha", "log", "--commands")
    assert log.code == 0 and "xl shutdown -w deploy01" in log.output
    for secret in SECRETS:
        assert secret not in log.output


def test_another_machine_goes_on(fresh: Administrator) -> None:
    """What would be lost: the rollout, together with the laptop."""
    first = fresh.snow("ha", "apply", "--yes", "--until", "servers.settings.snow01")
    assert first.code == 0, first.output
    fresh.journal = fresh.folder / "another.sqlite"
    second = fresh.snow("ha", "apply", "--yes", "--domain", "slurm02")
    assert second.code == 0, second.output
    assert "continuing with the journal" in second.output
    runs = json.loads(fresh.snow("ha", "log", "--json").output)
    assert [run["outcome"] for run in runs] == ["done", "done"]
