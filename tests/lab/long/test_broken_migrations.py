"""Live migrations that break half-way: afterwards there is one live domain, on the source, that has its leases and its disks."""

from __future__ import annotations

import time

import pytest
from conftest import Administrator, shell, wait_until
from test_3_one_image import at_once, holder_of, other
from test_one_image import alive, answers, every_lease_is_held

from snowha.lab import client, layout

# Until the migration is where it is to break; then the connection that it goes over is cut.
_BREAK = """\
xl migrate slurm01 {there} > /run/broken.log 2>&1 &
{until}
pkill -KILL -f '[s]sh.*{there}.*migrate-receive'
wait
cat /run/broken.log
"""
_MEMORY = "until grep -q 'Saving domain' /run/broken.log; do sleep 0.2; done; sleep 2"
_SUSPENDED = """until xl list | awk '$1 == "slurm01" && $5 ~ /s/ {found = 1} END {exit !found}'; do :; done"""


@pytest.mark.parametrize(("phase", "until"), [("memory is sent", _MEMORY), ("the domain is suspended", _SUSPENDED)])
def test_a_connection_that_dies_leaves_the_domain_where_it_was(cluster: Administrator, phase: str, until: str) -> None:
    """Else it hangs with its disks held back, or runs twice."""
    here = holder_of("slurm01")
    there = other(here)
    shell(here, "crm_resource --resource=slurm01 --meta --set-parameter=is-managed --parameter-value=false")
    said = shell(here, _BREAK.format(there=there, until=until), timeout=300)
    print(f"cut while {phase}:\n{said}")
    cut = time.time()
    wait_until(
        lambda: alive("slurm01", here) and answers("slurm01", cut), timeout=120, what="slurm01 answers where it was"
    )
    wait_until(lambda: "slurm01" not in shell(there, "xl list"), timeout=120, what="nothing is left on the target")
    every_lease_is_held()
    assert '"frozen": "yes"' not in shell(here, "snow-lease list")
    stale = client.stale(client.read_log(layout.paths().client_log))
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
    wait_until(lambda: answers("slurm01", began), timeout=200, what="slurm01 answers")
    # Pacemaker logs the reason, and does not keep it for crm_mon
    status = cluster.status()
    assert "has died" in " ".join(one["message"] for one in status["findings"] if one["code"] == "migration-failed")
    every_lease_is_held()
    assert at_once() == []
