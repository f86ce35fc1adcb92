"""Snapshots for a warm copy: enlarged before they overflow, and nothing else is ever removed in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from lvm_server import LvmServer
from recorded import MIB, snapshot, volume

from snowha.disks import snapshots
from snowha.disks.snapshots import SnapshotMonitor, parse_lvs
from snowha.disks.warm_disks import split_by_snapshot
from snowha.errors import CommandError, SiteError
from snowha.site.model import Disk

NAME = "snow_vg/snow-ha-1-deploy01-disk"


def test_a_snapshot_that_fills_up_is_enlarged_or_everything_stops() -> None:
    server = LvmServer(snapshot(1, "70.00"), room=(256 + 256) * MIB)
    monitor = SnapshotMonitor(server, [NAME], now=lambda: 0.0)
    monitor.check()
    assert server.done == [f"extend {NAME} +{256 * MIB}b"]
    monitor.check()  # there is no room any more, and it is not too full yet
    assert len(server.done) == 1
    server.volumes[-1]["data_percent"] = "91.00"
    with pytest.raises(SiteError, match="91 % full"):
        monitor.check()


def test_it_looks_only_every_few_seconds() -> None:
    """The engine tells twice a second how far it is; each look is a command on a busy server."""
    server = LvmServer(snapshot(1))
    clock = 0.0
    monitor = SnapshotMonitor(server, [NAME], now=lambda: clock)
    looks: list[Sequence[str]] = []
    server.world.fail = lambda host, words: looks.append(words)
    for _ in range(8):
        monitor()
        clock += 0.5
    assert len(looks) == 1


def test_nothing_but_a_snapshot_of_ours_is_ever_removed() -> None:
    """A name alone is not enough: the volume of a domain that is called like one would be lost."""
    server = LvmServer(
        volume("snow-ha-1-deploy01-disk"),
        volume("backup", origin="deploy01-disk"),
        volume("snow-ha-1-other", origin="deploy01-disk"),
        volume("snow-ha-before-upgrade-deploy01-disk", origin="deploy01-disk"),
        volume("snow-ha-1-old-disk", origin="disk"),
    )
    found = snapshots.volumes(server)
    assert snapshots.remove_left(server, found) == []
    for one in found:
        with pytest.raises(ValueError, match="not made by snow-ha"):
            snapshots.remove(server, one)
    assert server.done == []


@pytest.mark.parametrize(
    "named",
    [
        "/dev/snow_vg//deploy01-disk",
        "/dev/mapper/snow_vg-deploy01--disk",
        "/dev/disk/by-id/dm-name-snow_vg-deploy01--disk",
    ]
    + ["/dev/dm-3", "/srv/volumes/deploy01"],
)
def test_a_volume_that_a_config_names_otherwise_is_not_removed(named: str) -> None:
    """A domain that is off has nothing open: its volume was removed as the old one of another domain."""
    server = LvmServer()
    server.links |= dict.fromkeys(("/dev/snow_vg/deploy01-disk", "/srv/volumes/deploy01"), "/dev/dm-3")
    found = [replace(one, attributes="-wi-a-----") for one in snapshots.volumes(server)]
    with pytest.raises(SiteError, match="snow_vg/deploy01-disk is in use"):
        snapshots.refuse_in_use(server, found[0], found, ["/dev/snow_vg/other", named])
    snapshots.refuse_in_use(server, found[0], found, ["/dev/snow_vg/other", "/sNow/domains/deploy01/deploy01-disk"])


def test_a_domain_that_runs_from_a_snapshot_is_copied_once_it_is_off() -> None:
    """LVM refuses a snapshot of one: such a domain, if it was large, could never be moved."""
    server = LvmServer(volume("of-template", origin="template"), volume("thin", attributes="Vwi-aotz--"))
    disks = [Disk("", f"/dev/snow_vg/{name}", vdev) for name, vdev in (("of-template", "xvda2"), ("thin", "xvdb"))]
    targets = {disk.vdev: f"/sNow/domains/deploy01/{disk.name}" for disk in disks}
    warm, rest = split_by_snapshot(server, disks, snapshots.volumes(server), targets)
    assert [disk.vdev for disk, _ in warm] == ["xvdb"]
    assert [one.disk.vdev for one in rest] == ["xvda2"]


def test_what_lvs_says_is_understood_or_refused() -> None:
    with pytest.raises(CommandError, match="cannot be parsed"):
        parse_lvs('{"report": [{"lv": [{"vg_name": "a"}]}]}')
    with pytest.raises(CommandError, match="cannot be parsed"):
        parse_lvs("WARNING: something")
