"""Live migrations that break half-way: afterwards there is one live domain that has its leases and its disks, wherever it is; or
none, and Pacemaker starts it anew."""

from __future__ import annotations

import time

import pytest
from broken_connection import RELAY, install_relay
from conftest import Administrator, shell, wait_until
from test_3_one_image import GIVEN, answers_since, at_once, holder_of, nothing_is_left, other
from test_one_image import alive, every_lease_is_held

from snowha.lab import domain_probe, layout, lifecycle

SERVERS = ("snow01", "snow02")

# Until the migration is where it is to break; then the connection that it goes over is cut.
_BREAK = """\
xl migrate slurm01 {there} > /run/broken.log 2>&1 &
{cut}
wait
cat /run/broken.log
"""
_LOG = "/run/broken.log"
_CUT = "pkill -KILL -f '[s]sh.*{there}.*migrate-receive'"
_MEMORY = f"until grep -q 'Saving domain' {_LOG}; do sleep 0.2; done; sleep 2; {_CUT}"
_UNTIL_SUSPENDED = """until xl list | awk '$1 == "slurm01" && $5 ~ /s/ {found = 1} END {exit !found}'; do :; done"""
_SUSPENDED = f"{_UNTIL_SUSPENDED}; {_CUT}"


@pytest.mark.parametrize(("phase", "cut"), [("memory is sent", _MEMORY), ("the domain is suspended", _SUSPENDED)])
def test_a_connection_that_dies_leaves_the_domain_where_it_was(cluster: Administrator, phase: str, cut: str) -> None:
    """Else it hangs with its disks held back, or runs twice."""
    here = holder_of("slurm01")
    there = other(here)
    shell(here, "crm_resource --resource=slurm01 --meta --set-parameter=is-managed --parameter-value=false")
    said = shell(here, _BREAK.format(there=there, cut=cut.replace("{there}", there)), timeout=300)
    print(f"cut while {phase}:\n{said}")
    then = time.time()
    wait_until(
        lambda: alive("slurm01", here) and answers_since("slurm01", then),
        timeout=120,
        what="slurm01 answers where it was",
    )
    wait_until(lambda: "slurm01" not in shell(there, "xl list"), timeout=120, what="nothing is left on the target")
    every_lease_is_held()
    assert '"frozen": "yes"' not in shell(here, "snow-lease list")
    stale = domain_probe.stale(domain_probe.read_log(layout.paths().client_log))
    assert (stale.stale, stale.errors) == (0, 0)
    assert at_once() == []


def test_a_holder_that_died_refuses_the_migration_before_it_begins(cluster: Administrator) -> None:
    """The domain is not suspended for a migration that cannot end; Pacemaker restarts it on the other server instead."""
    here = holder_of("slurm01")
    there = other(here)
    shell(here, "pkill -KILL -f '^snow-lease: [0-9].*slurm01-disk'")
    every_lease_is_held()
    began = time.time()
    shell(here, f"crm_resource --move --resource=slurm01 --node={there}")
    wait_until(lambda: alive("slurm01", there), timeout=400, what=f"slurm01 runs on {there}")
    shell(here, "crm_resource --clear --resource=slurm01")
    wait_until(lambda: answers_since("slurm01", began), timeout=200, what="slurm01 answers")
    # Pacemaker logs the reason, and does not keep it for crm_mon
    status = cluster.status()
    assert "has died" in " ".join(one["message"] for one in status["findings"] if one["code"] == "migration-failed")
    every_lease_is_held()
    assert at_once() == []


def test_what_is_left_after_go_is_resolved_by_the_verb(cluster: Administrator) -> None:
    """By hand, so that no agent is there to look: one copy is the domain, or none; never both, and never none for good."""
    here = holder_of("slurm01")
    there = other(here)
    # not looked at either, else the agent takes away what is certain
    shell(here, "crm_resource --resource=slurm01 --meta --set-parameter=maintenance --parameter-value=true")
    shell(here, "crm_resource --wait --timeout=100s || true", timeout=200)
    shell(here, install_relay())
    print(shell(here, f"xl migrate -s {RELAY} slurm01 {there} > {_LOG} 2>&1; cat {_LOG}", timeout=300))
    shown = cluster.snow("ha", "resolve")
    assert shown.code == 4 and "slurm01" in shown.output
    assert "migration-left" in {one["code"] for one in cluster.status()["findings"]}
    # what is left may be changing still: then nothing is done, and it is asked for again
    wait_until(lambda: cluster.snow("ha", "resolve", "--yes").code == 0, timeout=180, what="nothing is left")
    nothing_is_left("slurm01")
    resolved = time.time()
    shell(here, "crm_resource --resource=slurm01 --meta --delete-parameter=maintenance")
    wait_until(lambda: answers_since("slurm01", resolved), timeout=400, what="slurm01 answers")
    assert sum(alive("slurm01", server) for server in SERVERS) == 1
    assert at_once() == []
    every_lease_is_held()


_SAID = {
    "memory is sent": "Saving domain",
    "the target was told to go": GIVEN,
}
_UNTIL = "until grep -qs '{text}' /run/snow-lease/migrate/slurm01.log; do :; done"


@pytest.mark.parametrize("phase", ["memory is sent", "the domain is suspended", "the target was told to go"])
@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_server_that_loses_its_power_half_way_leaves_one_domain(
    cluster: Administrator, victim: str, phase: str
) -> None:
    """Fenced, and what it had half of is on the other server: the whole domain, or none of it and a start."""
    here = holder_of("slurm01")
    there = other(here)
    dies, stays = (here, there) if victim == "source" else (there, here)
    shell(here, "rm -f /run/snow-lease/migrate/slurm01.log")
    shell(here, f"crm_resource --move --resource=slurm01 --node={there}")
    until = _UNTIL.format(text=_SAID[phase]) if phase in _SAID else _UNTIL_SUSPENDED
    shell(here, until, timeout=300)
    lifecycle.power(dies, "off")
    lost = time.time()
    wait_until(
        lambda: alive("slurm01", stays) and answers_since("slurm01", lost),
        timeout=900,
        what=f"slurm01 answers on {stays}",
    )
    shell(stays, "crm_resource --clear --resource=slurm01")
    wait_until(lambda: "slurm01--" not in shell(stays, "xl list"), timeout=120, what="nothing is left of it")
    assert at_once() == []
    stale = domain_probe.stale(domain_probe.read_log(layout.paths().client_log))
    assert (stale.stale, stale.errors) == (0, 0)


_STALLED = f"{_UNTIL.format(text='Saving domain')}; pkill -STOP -f '^ssh .*migrate-receive'"


def test_a_migration_that_does_not_end_is_given_up_and_the_domain_goes_on(cluster: Administrator) -> None:
    """Nothing goes through its connection any more. `status` shows it; at its limit the domain is where it was, unharmed."""
    here = holder_of("slurm01")
    there = other(here)
    shell(here, "crm_resource --resource=slurm01 --meta --set-parameter=is-managed --parameter-value=false")
    began = time.time()
    shell(here, f"rm -f /run/snow-lease/migrate/slurm01.log; ({_STALLED}) > /dev/null 2>&1 &")
    words = "OCF_RESKEY_xmfile=/sNow/etc/domains/slurm01.cfg OCF_RESKEY_name=slurm01 OCF_RESKEY_CRM_meta_timeout=165000"
    agent = f"{words} OCF_RESKEY_CRM_meta_migrate_target={there} /usr/lib/ocf/resource.d/snow-ha/domain migrate_to"
    shell(here, f"({agent}; echo ended with $?) > /run/given-up.log 2>&1 &")
    wait_until(
        lambda: "domain-migrating" in {one["code"] for one in cluster.status()["findings"]},
        timeout=60,
        what="status shows the migration",
    )
    print([one for one in cluster.status()["findings"] if one["code"] == "domain-migrating"])
    wait_until(lambda: "ended with" in shell(here, "cat /run/given-up.log"), timeout=200, what="it has ended")
    said = shell(here, "cat /run/given-up.log")
    print(said)
    assert "given up after" in said and "ended with 1" in said
    ended = time.time()
    assert alive("slurm01", here)
    wait_until(lambda: answers_since("slurm01", ended), timeout=60, what="slurm01 answers where it was")
    wait_until(lambda: "slurm01" not in shell(there, "xl list"), timeout=120, what="nothing is left on the target")
    log = domain_probe.read_log(layout.paths().client_log)
    assert domain_probe.downtime(log, "slurm01", began, ended) < 30, "it was suspended meanwhile"
    every_lease_is_held()
    assert at_once() == []
