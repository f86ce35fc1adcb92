"""Domain images from LVM to files on the shared file system (guide: "Domain Images Migration").

The guide copies all domains while all are down, waits for no guest to be off, and rewrites a config even if its copy failed.
Here each domain is down by itself: with large volumes for what it wrote since they were copied, with small ones for the whole
copy. The logical volumes stay as they are.
"""

from __future__ import annotations

from functools import partial

from snowha.migration import cold, moving, snapshots, warm
from snowha.migration.ground import Ground, read_config
from snowha.plan.step import Reporter, Step
from snowha.xen import xl


def steps(ground: Ground) -> list[Step]:
    """A step a domain. One at a time: two copies at once would make both domains wait longer."""
    first = ground.site.servers[0].name
    tried: moving.Tried = {}
    return [
        Step(
            id=f"images.{domain.name}",
            domain=domain.name,
            title=f"Move {domain.name} from LVM to {ground.site.paths.images}/{domain.name}",
            section="images",
            check=partial(warm.missing, ground, domain.name),
            apply=partial(move, ground, domain.name, tried),
            needs=(f"servers.settings.{first}",),
            uses=("images",),
            interrupts=(domain.name,),
        )
        for domain in ground.site.domains
    ]


def move(ground: Ground, name: str, tried: moving.Tried, reporter: Reporter) -> None:
    """Move the domain: while it runs if its volumes are large, else while it is off."""
    if is_large(ground, name):
        warm.move(ground, name, warm.Wish(), reporter, tried)
    else:
        cold.move(ground, name, tried, reporter)


def is_large(ground: Ground, name: str) -> bool:
    """Whether the domain runs, and its logical volumes are larger than ha.toml allows for a copy while it is off."""
    host = ground.first
    _, domain = read_config(host, name, ground.site.domain(name).config)
    found = snapshots.volumes_if_any(host)
    volumes = [volume for disk in domain.moved_disks if (volume := snapshots.volume_of(found, disk.target))]
    size = sum(volume.size for volume in volumes)
    return bool(volumes) and size > ground.site.warm_from_mib << 20 and name in xl.running(host)
