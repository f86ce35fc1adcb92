"""Domains that are off when a run begins, on real Xen: on purpose, or because the run before was killed."""

from __future__ import annotations

import signal

from conftest import Administrator, on, shell
from test_warm import nothing_lost

CONFIG = "cat /sNow/etc/domains/{0}.cfg /sNow/*/etc/domains/{0}.cfg 2> /dev/null"
HAS_ROOM = "stat -c '%b %B %s' /sNow/domains/{0}/{0}-disk"


def runs(domain: str) -> bool:
    return domain in on("snow01", "xl", "list")


def test_a_domain_that_is_off_on_purpose_is_moved_and_stays_off_both_ways(fresh: Administrator) -> None:
    """It was started by the move, whatever its administrator had shut it down for."""
    on("snow01", "xl", "shutdown", "-w", "deploy01", timeout=600)
    ended = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01")
    assert ended.code == 0 and "stays off" in ended.output, ended.output
    assert not runs("deploy01")
    assert "block-snow" in shell("snow01", CONFIG.format("deploy01"), check=False)
    blocks, unit, size = map(int, shell("snow01", HAS_ROOM.format("deploy01")).split())
    assert blocks * unit >= size, "NFS 4.2 can give it all of its room"
    again = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01")
    assert again.code == 0 and not runs("deploy01"), again.output
    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    assert not runs("deploy01")
    assert "phy:/dev/snow_vg/deploy01-disk" in shell("snow01", CONFIG.format("deploy01"), check=False)


def test_a_domain_that_a_killed_run_left_down_comes_back_before_the_checks(fresh: Administrator) -> None:
    """The storage is full: nothing could be migrated, and the domain stayed down behind the check that says so."""
    killed = fresh.interrupted(
        lambda line: "copying the final changes" in line, "images", "copy", "slurm01", signal_number=signal.SIGKILL
    )
    assert killed.code == -signal.SIGKILL and not runs("slurm01")
    free = int(shell("snow01", "stat -f -c '%a' /sNow")) * int(shell("snow01", "stat -f -c '%S' /sNow"))
    on("snow01", "fallocate", "--length", str(free - (8 << 20)), "/sNow/ballast")
    ended = fresh.snow("ha", "apply", "--yes")
    assert ended.code != 0 and "MiB are free" in ended.output, ended.output
    assert "which an earlier run had left down" in ended.output and runs("slurm01")
    on("snow01", "rm", "/sNow/ballast")
    assert fresh.snow("images", "copy", "slurm01").code == 0
    nothing_lost("slurm01")


def test_a_saved_domain_is_refused(fresh: Administrator) -> None:
    """Restored later, it would write what it remembers of disks that it no longer has."""
    on("snow01", "mkdir", "-p", "/var/lib/xen/save")
    on("snow01", "xl", "save", "deploy01", "/var/lib/xen/save/deploy01", timeout=600)
    ended = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01")
    assert ended.code != 0 and "is saved in /var/lib/xen/save/deploy01" in ended.output, ended.output
    assert "phy:/dev/snow_vg/deploy01-disk" in shell("snow01", CONFIG.format("deploy01"), check=False)
