"""One image, one server: what is tried here must never make a domain run twice. The longer ones are in long/test_one_image.py."""

from __future__ import annotations

import re
import time

from broken_connection import cut_at
from conftest import Administrator, on, shell, wait_until

from snowha.lab import domain_probe, layout, placement_log
from snowha.lab.layout import DOMAINS

GIVEN = "Giving target permission to start"
"""What xl says on the source of a live migration when the domain must not go on there any more."""
XL = "/usr/lib/xen-*/bin/xl"


def holder_of(domain: str) -> str:
    """The server that runs it."""
    return next(host for host in ("snow01", "snow02") if domain in names_on(host))


def names_on(host: str) -> list[str]:
    """What its hypervisor has; half of a migration has another name than the domain."""
    return [line.split()[0] for line in shell(host, "xl list", check=False).splitlines() if line.strip()]


def other(host: str) -> str:
    return "snow02" if host == "snow01" else "snow01"


def at_once() -> object:
    return placement_log.at_once(placement_log.placements(layout.paths().sightings_log.read_text().splitlines()))


def test_a_domain_cannot_be_started_by_hand_on_the_wrong_server(cluster: Administrator) -> None:
    """What would be lost: the image, written to by two servers. It was so for as long as anybody looked."""
    here = holder_of("proxy01")
    began = time.monotonic()
    said = shell(other(here), "xl create /sNow/etc/domains/proxy01.cfg 2>&1", check=False)
    print(f"refused after {time.monotonic() - began:.1f} s:\n{said}")
    assert f"{here} has it open for proxy01" in said
    assert "proxy01" not in shell(other(here), "xl list")
    # not even by somebody who calls the script himself
    assert here in shell(other(here), "snow-lease list /sNow/domains/proxy01/proxy01-disk")
    assert at_once() == []
    status = cluster.status()
    assert status["healthy"], status


def test_a_server_without_xl_keeps_its_domains_and_is_not_fenced(cluster: Administrator) -> None:
    """Its agent asks the kernel. The stock one said that nothing ran there, and everything was started a second time."""
    here = holder_of("proxy01")
    booted = on(here, "cat", "/proc/sys/kernel/random/boot_id")
    shell(here, f"for file in {XL}; do mv $file $file.away; done")
    wait_until(
        lambda: noted(here, "proxy01"), timeout=120, what="Pacemaker has looked, and the agent found that xl is gone"
    )
    # and what it looks at when it is told to forget all that it knows
    shell(
        other(here),
        "crm_resource --refresh --resource=proxy01; crm_resource --wait --timeout=100s || true",
        timeout=300,
    )
    status = cluster.status()
    assert not status["healthy"]
    assert "xl-unusable" in {finding["code"] for finding in status["findings"]}
    assert on(here, "cat", "/proc/sys/kernel/random/boot_id") == booted, "it was fenced"
    assert "proxy01" not in shell(other(here), "xl list")
    assert "/proxy01-disk" not in shell(other(here), "losetup --list --noheadings --output BACK-FILE")
    shell(here, f"for file in {XL}.away; do mv $file ${{file%.away}}; done")
    assert "proxy01" in shell(here, "xl list")
    assert at_once() == []


def test_nothing_that_only_looks_makes_other_servers_wait_for_an_image(cluster: Administrator) -> None:
    """What reads an image in the usual way gets an NFS delegation of it. When its server then loses its power, no other one can
    open the image for up to 90 s: a check made the next power loss 30 s longer."""
    # whatever has some already gives them back, when somebody else opens the image to write to it
    shell(
        "nfs01",
        "for file in /export/sNow/domains/*/*-disk; do dd if=/dev/null of=$file conv=notrunc count=0; done 2>&1",
    )
    assert delegated() == []
    for words in (("ha", "check"), ("ha", "plan"), ("ha", "status"), ("images", "list")):
        said = cluster.snow(*words)
        assert said.code == 0, said.output
        assert delegated() == [], words


def delegated() -> list[str]:
    """Images that the NFS server has given a client a delegation of (Linux fs/nfsd/nfs4state.c, client_states_open)."""
    said = shell("nfs01", "cat /proc/fs/nfsd/clients/*/states")
    assert "type: open" in said
    return re.findall(r'type: deleg,.*filename: "(\S+/\S+-disk)"', said)


def noted(host: str, domain: str) -> str:
    """What the agent has to say of a domain, for status."""
    return shell(host, f"cat /run/snow-lease/agent/{domain} 2>/dev/null || true").strip()


def test_every_disk_has_a_lease(cluster: Administrator) -> None:
    """What is attached without one can be attached twice."""
    for plan in DOMAINS:
        found = shell(holder_of(plan.name), f"snow-lease list /sNow/domains/{plan.name}/{plan.name}-disk")
        assert '"state": "held"' in found and '"lock": "yes"' in found, found


def nothing_is_left(domain: str) -> None:
    """No half of a migration on either server."""
    for server in ("snow01", "snow02"):
        listed = shell(server, "xl list")
        assert f"{domain}--" not in listed, listed
    assert '"frozen": "yes"' not in "".join(shell(server, "snow-lease list") for server in ("snow01", "snow02"))


def answers_since(domain: str, since: float) -> bool:
    """It acknowledged something, more than once."""
    log = domain_probe.read_log(layout.paths().client_log)
    return sum(1 for one in log.attempts if one.domain == domain and one.number and one.t >= since) >= 3


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
    stale = domain_probe.stale(domain_probe.read_log(layout.paths().client_log))
    assert (stale.stale, stale.errors) == (0, 0)
    print(shell(here, f"cat {_LOG}"))
