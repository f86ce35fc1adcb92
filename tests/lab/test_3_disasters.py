"""Disasters on the finished cluster, each from the same snapshot."""

from __future__ import annotations

import time

from conftest import Administrator, on, wait_until
from test_2_migration import nothing_lost

from snowha.lab import client, layout, site
from snowha.lab.layout import DOMAINS


def answering_since(since: float) -> set[str]:
    log = client.read_log(layout.paths().client_log)
    return {attempt.domain for attempt in log.attempts if attempt.number and attempt.t >= since}


def all_answer_since(since: float) -> bool:
    return answering_since(since) == {plan.name for plan in DOMAINS}


def busiest(cluster: Administrator) -> str:
    servers = [row["servers"][0] for row in cluster.status()["domains"]]
    return max(set(servers), key=servers.count)


def test_power_of_the_busiest_server_is_lost(cluster: Administrator) -> None:
    """One of its domains was restarted there just before: with the guide's configuration it never comes back."""
    victim = busiest(cluster)
    other = "snow02" if victim == "snow01" else "snow01"
    restarted = next(row["name"] for row in cluster.status()["domains"] if row["servers"] == [victim])
    on(other, "crm_resource", "--restart", f"--resource={restarted}", timeout=600)
    asked = time.time()
    wait_until(lambda: restarted in answering_since(asked), timeout=300, what=f"{restarted} answers again")

    lost_at = time.time()
    site.power(victim, "off")
    wait_until(
        lambda: (
            "success" in on(other, "stonith_admin", f"--history={victim}", "--verbose", check=False)
            or "requested" not in on(other, "crm_mon", "-1", check=False)
        ),
        timeout=120,
        what=f"{victim} is fenced",
    )
    fenced_at = time.time()
    wait_until(lambda: all_answer_since(fenced_at), timeout=600, what="every domain answers again")
    print(f"all back {time.time() - lost_at:.0f} s after the power was lost")
    nothing_lost()


def test_a_server_cut_off_from_everything_is_fenced_and_nothing_runs_twice(cluster: Administrator) -> None:
    """With the guide's configuration a network cut starts every domain a second time on the same image."""
    site.cable("snow02", "snow", False)
    site.cable("snow02", "mgmt", False)
    cut_at = time.time()
    wait_until(lambda: not machines_on("snow02") or rebooted("snow02"), timeout=120, what="snow02 loses its power")
    wait_until(lambda: all_answer_since(cut_at + 20), timeout=600, what="every domain answers again")
    nothing_lost()


def machines_on(name: str) -> bool:
    from snowha.lab import machines

    return machines.is_on(layout.machine(name), layout.paths())


def rebooted(name: str) -> bool:
    """Whether the machine's QEMU is another one than when the lab was restored."""
    started = (layout.paths().pid(name)).stat().st_mtime
    return started > (layout.paths().sightings_log).stat().st_ctime
