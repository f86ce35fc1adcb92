"""The disks of a domain that are copied while it runs, those that are copied once it is down, and the snapshots of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snowha.disks import engine_driver, fsck, snapshots
from snowha.disks.snapshots import Volume
from snowha.hosts.host import Host
from snowha.site.model import Disk, Domain
from snowha.site.rules import image_key
from snowha.xen import server_program


@dataclass(frozen=True)
class WarmDisk:
    """A disk of which an image was made from ``snapshot``."""

    disk: Disk
    volume: Volume
    target: str
    snapshot: Volume
    since: float
    """When the snapshot was made (time.monotonic)."""


@dataclass(frozen=True)
class RemainingDisk:
    """A disk that is copied once the domain is down."""

    disk: Disk
    target: str
    is_swap: bool
    """Nothing of it is copied but its identity, which can be done ahead: then there is nothing left of it to do."""

    @property
    def copy(self) -> list[str]:
        return engine_driver.into_image(self.disk, self.target)


def snapshots_of(host: Host, domain: Domain, found: Sequence[Volume]) -> list[Volume]:
    """Snapshots of ours of the domain's volumes, in any state: of its images it is written down what they were copied from."""
    ours = [one for one in found if one.is_ours]
    if not ours:
        return []
    sources = {
        image_key(
            engine_driver.source_of(engine_driver.manifest(host, disk.target) or {})
            if disk.script == server_program.SCRIPT
            else disk.target
        )
        for disk in domain.moved_disks
    }
    origins = {(one.vg, one.name) for one in found if {image_key(one.path), image_key(one.dm_path)} & sources}
    return [one for one in ours if (one.vg, one.origin) in origins]


def split_by_snapshot(
    host: Host, disks: Sequence[Disk], found: Sequence[Volume], targets: Mapping[str, str]
) -> tuple[list[tuple[Disk, Volume]], list[RemainingDisk]]:
    """Disks that are copied warm, with their volumes, and the others: swap, and what no snapshot can be made of, which is no
    logical volume or one already."""
    warm, rest = [], []
    for disk in disks:
        volume = snapshots.volume_of(found, disk.target)
        is_swap = volume is not None and _is_swap(host, disk.target)
        if volume is None or volume.is_snapshot or is_swap:
            rest.append(RemainingDisk(disk, targets[disk.vdev], is_swap))
        else:
            warm.append((disk, volume))
    return warm, rest


def _is_swap(host: Host, device: str) -> bool:
    """Whether the engine takes it for swap, and for nothing else: it asks for more than a signature."""
    return fsck.kind(host, device) == "swap" and engine_driver.run(host, ["map", device]).get("kind") == "swap"
