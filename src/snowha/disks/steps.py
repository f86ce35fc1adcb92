"""Domain images from LVM to files on the shared file system (guide: "Domain Images Migration").

The guide copies all domains while all are down, waits for no guest to be off, and rewrites a config even if its copy failed.
Here each domain is down by itself: with large volumes for what it wrote since they were copied, with small ones for the whole
copy. The logical volumes stay as they are.
"""

from __future__ import annotations

from functools import partial

from snowha.disks import cold, cutover, snapshots, warm
from snowha.live.context import SiteContext, read_config
from snowha.plan.step import Reporter, Step
from snowha.xen import xl


def steps(context: SiteContext) -> list[Step]:
    """A step a domain. One at a time: two copies at once would make both domains wait longer."""
    first = context.site.servers[0].name
    tried: cutover.Tried = {}
    return [
        Step(
            id=f"images.{domain.name}",
            domain=domain.name,
            title=f"Move {domain.name} from LVM to {context.site.paths.images}/{domain.name}",
            section="images",
            check=partial(warm.missing, context, domain.name),
            apply=partial(move, context, domain.name, tried),
            needs=(f"servers.settings.{first}",),
            uses=("images",),
            interrupts=(domain.name,),
        )
        for domain in context.site.domains
    ]


def move(context: SiteContext, name: str, tried: cutover.Tried, reporter: Reporter) -> None:
    """Move the domain: while it runs if its volumes are large, else while it is off."""
    if is_large(context, name):
        warm.move(context, name, warm.CopyOptions(), reporter, tried)
    else:
        cold.move(context, name, tried, reporter)


def is_large(context: SiteContext, name: str) -> bool:
    """Whether the domain runs, and its logical volumes are larger than ha.toml allows for a copy while it is off."""
    host = context.first
    _, domain = read_config(host, name, context.site.domain(name).config)
    found = snapshots.volumes_if_any(host)
    volumes = [volume for disk in domain.moved_disks if (volume := snapshots.volume_of(found, disk.target))]
    size = sum(volume.size for volume in volumes)
    return bool(volumes) and size > context.site.warm_from_mib << 20 and name in xl.running(host)
