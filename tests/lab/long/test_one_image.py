"""One image, one server, under what breaks tools, networks and storage. Each from the same snapshot of the finished cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Administrator, on, shell, wait_until
from test_2_migration import nothing_lost
from test_3_one_image import XL, answers_since, at_once, holder_of, noted, other
from test_disasters import all_answer_since

from snowha.lab import domain_probe, layout
from snowha.lab.layout import DOMAINS, MACHINES, NFS01

NFS_LEASE_S = 90
"""What the storage waits for a server that is gone before it forgets its locks (nfsd's default)."""


def boot_of(host: str) -> str:
    return on(host, "cat", "/proc/sys/kernel/random/boot_id").strip()


@contextmanager
def never_fenced_and_never_twice(host: str) -> Iterator[None]:
    booted = boot_of(host)
    yield
    assert boot_of(host) == booted, f"{host} was fenced"
    assert at_once() == []


def runs_only_on(domain: str, host: str) -> None:
    assert domain not in shell(other(host), "xl list"), f"{domain} runs on {other(host)}, too"
    assert f"/sNow/domains/{domain}/{domain}-disk" not in shell(other(host), "losetup -l -n -O BACK-FILE")


def pass_time(seconds: float) -> None:
    """Nothing is waited for but time: what must not happen in it is looked at afterwards."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, timeout=seconds + 5, what="time passes")


def test_xl_that_is_away_for_a_minute_leads_to_nothing(cluster: Administrator) -> None:
    here = holder_of("proxy01")
    with never_fenced_and_never_twice(here):
        shell(here, f"for file in {XL}; do mv $file $file.away; done")
        pass_time(60)
        runs_only_on("proxy01", here)
        shell(here, f"for file in {XL}.away; do mv $file ${{file%.away}}; done")
        pass_time(75)
        runs_only_on("proxy01", here)
        assert "proxy01" in shell(here, "xl list")
    assert "returned" not in shell(here, "crm_mon -1 | sed -n '/Failed Resource Actions/,$p'")


def test_xl_that_hangs_for_ten_minutes_leads_to_nothing(cluster: Administrator) -> None:
    """Each look of the agent takes its time, and is not taken for an answer."""
    here = holder_of("proxy01")
    with never_fenced_and_never_twice(here):
        hang = r"printf '#!/bin/sh\nexec sleep 3600\n' > $file; chmod 755 $file"
        shell(here, f"for file in {XL}; do mv $file $file.away; {hang}; done")
        wait_until(lambda: noted(here, "proxy01"), timeout=240, what="the agent has found that xl cannot be used")
        pass_time(600)
        runs_only_on("proxy01", here)
        status = cluster.status()
        assert not status["healthy"]
        assert "xl-unusable" in {finding["code"] for finding in status["findings"]}
        shell(here, f"for file in {XL}.away; do mv $file ${{file%.away}}; done")
        wait_until(
            lambda: not noted(here, "proxy01"), timeout=240, what="the agent has found that xl can be used again"
        )
        runs_only_on("proxy01", here)
    nothing_lost(records_each=10, stale_checks=0)


def test_xenstored_killed_starts_nothing_elsewhere(cluster: Administrator) -> None:
    """Nothing can be asked of Xen then. Its domains go on, and so does their server."""
    here = holder_of("proxy01")
    with never_fenced_and_never_twice(here):
        shell(here, "pkill -9 '^o?xenstored$'")
        wait_until(lambda: noted(here, "proxy01"), timeout=300, what="the agent has found that xl cannot be used")
        pass_time(120)
        runs_only_on("proxy01", here)


def test_without_xl_a_stop_that_is_needed_fences(cluster: Administrator) -> None:
    """The only way in which a missing tool may lead to it: the domain is wanted elsewhere, and cannot be stopped here."""
    here = holder_of("proxy01")
    booted = boot_of(here)
    shell(here, f"for file in {XL}; do mv $file $file.away; done")
    shell(other(here), "crm_attribute --type=rsc_defaults --name=failure-timeout --query || true")
    shell(other(here), f"crm_resource --move --resource=proxy01 --node={other(here)}")
    wait_until(lambda: "proxy01" in shell(other(here), "xl list"), timeout=900, what="proxy01 runs on the other server")
    shell(other(here), "crm_resource --clear --resource=proxy01")
    wait_until(lambda: reachable(here), timeout=300, what="the fenced server answers")
    assert boot_of(here) != booted, "it was started elsewhere without fencing"
    came_back = time.time()
    wait_until(lambda: all_answer_since(came_back, times=10), timeout=600, what="every domain answers")
    assert at_once() == []
    nothing_lost(records_each=10, stale_checks=0)


def reachable(host: str) -> bool:
    return shell(host, "echo yes", check=False).strip() == "yes"


_CARDS = "for card in $(ls -d /sys/class/net/*/device | cut -d/ -f5); do "


@contextmanager
def only(host: str, *, storage: bool) -> Iterator[None]:
    """The server reaches nothing but the storage, or everything but the storage, by filters on its cards. Whoever works from the
    lab's own address reaches it all the same."""
    script = _CARDS + "tc qdisc add dev $card clsact; "
    for direction, side in (("ingress", "src_ip"), ("egress", "dst_ip")):
        add = f"tc filter add dev $card {direction}"
        for plan in layout.NETWORKS:
            spared = (NFS01.number, layout.MANAGER_NUMBER) if storage else (NFS01.number,)
            for number in spared:
                match = f"flower {side} {plan.address(number)} action {'pass' if storage else 'drop'}"
                script += f"{add} prio 1 protocol ip {match}; "
        if storage:
            script += f"{add} prio 2 protocol ip matchall action drop; "
    shell(host, f"set -e; {script}done")
    try:
        yield
    finally:
        shell(host, f"{_CARDS}tc qdisc del dev $card clsact; done", check=False)


def test_a_server_that_reaches_only_the_storage_is_fenced_before_anything_runs_elsewhere(
    cluster: Administrator,
) -> None:
    """With the guide's configuration every domain ran on both servers within a minute, on one image."""
    with only("snow02", storage=True):
        wait_until(lambda: all_run_on("snow01"), timeout=600, what="every domain runs on snow01")
    healed = time.time()
    wait_until(lambda: all_answer_since(healed, times=10), timeout=600, what="every domain answers")
    assert at_once() == []
    nothing_lost(records_each=10, stale_checks=0)


def all_run_on(host: str) -> bool:
    rows = [line.split() for line in shell(host, "xl list", check=False).splitlines()]
    running = {row[0] for row in rows if len(row) > 4 and "p" not in row[4]}
    return {plan.name for plan in DOMAINS} <= running


@pytest.mark.parametrize("seconds", [600])
def test_a_storage_outage_of_ten_minutes_takes_no_lease_away(cluster: Administrator, seconds: float) -> None:
    """Domains wait, and go on; the leases are kept, also by a storage server that counts their time."""
    with never_fenced_and_never_twice("snow01"), never_fenced_and_never_twice("snow02"):
        with only("snow01", storage=False), only("snow02", storage=False):
            pass_time(seconds)
        healed = time.time()
        wait_until(lambda: all_answer_since(healed, times=5), timeout=300, what="every domain answers again")
        every_lease_is_held()
    nothing_lost(records_each=10, stale_checks=0)


def test_the_leases_survive_a_restart_of_the_storage_server(cluster: Administrator) -> None:
    """Locks are reclaimed in its time of grace."""
    with never_fenced_and_never_twice("snow01"), never_fenced_and_never_twice("snow02"):
        on("nfs01", "systemctl", "restart", "nfs-server")
        restarted = time.time()
        wait_until(lambda: all_answer_since(restarted + 1, times=5), timeout=400, what="every domain answers again")
        every_lease_is_held()
        here = holder_of("proxy01")
        said = shell(other(here), "xl create /sNow/etc/domains/proxy01.cfg 2>&1", check=False)
        assert f"{here} has it open" in said, said
    nothing_lost(records_each=10, stale_checks=0)


def every_lease_is_held() -> None:
    for plan in DOMAINS:
        found = shell(holder_of(plan.name), f"snow-lease list /sNow/domains/{plan.name}/{plan.name}-disk")
        assert '"state": "held"' in found and '"lock": "yes"' in found, found


def test_a_server_that_lost_its_lease_can_write_no_more(cluster: Administrator) -> None:
    """A BMC said "off" of a server that runs: where the storage was told to forget it, what it writes fails."""
    here = holder_of("proxy01")
    image = "/sNow/domains/proxy01/proxy01-disk"
    clients = "for c in /proc/fs/nfsd/clients/*; do if grep -q {address} $c/info; then echo $c; fi; done"
    address = next(one.address for one in MACHINES if one.name == here)
    folders = shell("nfs01", clients.format(address=f'"{address}[:.]"')).split()
    assert folders, "the storage does not know the server"
    shell("nfs01", f"for c in {' '.join(folders)}; do echo expire > $c/ctl; done")
    taken = shell(other(here), f"flock -n {image} echo got it", check=False)
    assert "got it" in taken, "the lock was not given up"
    wait_until(lambda: "I/O error" in shell(here, "dmesg"), timeout=120, what="writes of that server fail")


@pytest.mark.parametrize("_round", [1, 2])
def test_ten_live_migrations_under_writers_that_do_not_flush(cluster: Administrator, _round: int) -> None:
    """What a guest was told is written must be there on the other server, though it was never flushed.

    Five at a time: each leaves less memory to the kernel of so small a domain, and after eight nothing can run there.
    """
    for number in range(5):
        print(f"migration {number + 1}: {migrate('slurm01'):.0f} s")
    stale = domain_probe.stale(domain_probe.read_log(layout.paths().client_log))
    assert stale.reads >= 50
    assert (stale.stale, stale.errors) == (0, 0)
    assert at_once() == []


def migrate(domain: str) -> float:
    """Have Pacemaker migrate it to the other server; seconds until it answers there."""
    here = holder_of(domain)
    there = other(here)
    began = time.time()
    shell(here, f"crm_resource --move --resource={domain} --node={there}")
    wait_until(lambda: alive(domain, there), timeout=400, what=f"{domain} runs on {there}")
    arrived = time.time()
    # cleared before Pacemaker knows that it has arrived, it would be wanted where it was
    settled = "crm_resource --wait --timeout=200s"
    shell(here, f"{settled} && crm_resource --clear --resource={domain} && {settled}", timeout=450)
    wait_until(lambda: answers_since(domain, arrived), timeout=200, what=f"{domain} answers")
    return time.time() - began


def alive(domain: str, host: str) -> bool:
    rows = [line.split() for line in shell(host, "xl list", check=False).splitlines()]
    return any(row[0] == domain and not set(row[4]) & set("pscd") for row in rows if len(row) > 4)
