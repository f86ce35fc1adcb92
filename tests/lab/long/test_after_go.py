"""A live migration that loses its connection once the target was told to go on."""

from __future__ import annotations

import time

from broken_connection import cut_at
from conftest import Administrator, shell, wait_until
from test_3_one_image import GIVEN, answers_since, at_once, holder_of, nothing_is_left, other

from snowha.lab import client, layout

_LOG = "/run/snow-lease/migrate/slurm01.log"


def test_a_migration_that_loses_its_connection_after_go_ends_with_one_domain(cluster: Administrator) -> None:
    """xl says here that the domain's state is undefined and that two copies would lose data. Its leases know which one it is."""
    here = holder_of("slurm01")
    there = other(here)
    shell(
        here,
        f"rm -f {_LOG}; crm_resource --move --resource=slurm01 --node={there}; {cut_at(GIVEN, _LOG, there)}",
        timeout=200,
    )
    cut = time.time()
    wait_until(lambda: answers_since("slurm01", cut), timeout=180, what="slurm01 answers")
    shell(here, "crm_resource --clear --resource=slurm01; crm_resource --wait --timeout=100s || true", timeout=200)
    nothing_is_left("slurm01")
    assert sum("slurm01" in shell(server, "xl list") for server in (here, there)) == 1
    assert at_once() == []
    stale = client.stale(client.read_log(layout.paths().client_log))
    assert (stale.stale, stale.errors) == (0, 0)
    print(shell(here, f"cat {_LOG}"))
