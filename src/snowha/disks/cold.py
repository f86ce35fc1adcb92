"""A domain's images copied while it is off: right for small volumes, where a copy takes no longer than a restart, and for what
is on no logical volume.

It is confirmed off first, and starts again from its volumes if anything fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from snowha.disks import cutover, engine_driver, fsck
from snowha.hosts.files import make_dir, write_file
from snowha.hosts.host import Host
from snowha.live import cluster, left_down, starting
from snowha.live.context import SiteContext, read_config
from snowha.plan.step import Reporter, Shielded
from snowha.site.model import Disk
from snowha.xen import xl


def move(context: SiteContext, name: str, tried: cutover.Tried, reporter: Reporter) -> None:
    """Shut the domain down, copy its volumes, start it from the images. If anything fails, it is started from its volumes.

    One that was off before, and not because a run of ours left it down, stays off. Raises SiteError if it is saved.
    """
    host = context.first
    path = context.site.domain(name).config
    text, domain = read_config(host, name, path)
    targets = cutover.targets(context, domain)
    kind = cutover.type_for_migration(host, domain, tried, reporter)
    changed = cutover.on_images(text, domain, targets, kind)
    cutover.check_xl_reads(host, name, path, text, changed)
    engine_driver.install(host)
    make_dir(host, f"{context.site.paths.images}/{name}", mode=0o700)

    starting.refuse_unless_here(context, name)
    cutover.lease_in_place(host, domain, targets, reporter)
    runs = name in xl.running(host)
    stays_off = not runs and not left_down.is_noted(host, name)
    if stays_off:
        cutover.refuse_saved(host, name)
        reporter.say(f"{name} is off, and stays off")
    answering = [address for address in domain.addresses if runs and cluster.answers(host, address)]
    disks = [disk for disk in domain.moved_disks if disk.target != targets[disk.vdev]]
    engine_driver.check_convertible(host, disks, targets)
    every = _every_block(host, disks, reporter) if not runs else dict.fromkeys(targets, ())

    # from here the domain is away: nothing but the safe points inside may end this, and whatever ends it starts it again
    steady = Shielded(reporter)
    with cutover.restart_on_failure(context, name, path, steady, answering=answering, stays_off=stays_off) as away:

        def shut_down() -> None:
            away.begin()
            reporter.say(f"shutting down {name}")
            xl.shut_down(host, name, timeout=cutover.SHUTDOWN_TIMEOUT, report=steady.say)
            if disks:
                reporter.say(f"copying {', '.join(disk.name for disk in disks)} to {context.site.paths.images}/{name}")

        done = engine_driver.run_when_off(
            host,
            name,
            [],
            [engine_driver.into_image(disk, targets[disk.vdev], *every[disk.vdev]) for disk in disks],
            shut_down,
            reporter=reporter,
            remedy="it runs from its volume as before; correct this and run it again: the copy resumes",
        )
        for disk, event in zip(disks, done, strict=True):
            reporter.fact(disk.name, {**engine_driver.facts(event), "image": targets[disk.vdev]})
        if changed != text:
            write_file(host, path, changed)
    if not stays_off:
        steady.say(f"starting {name} from its image")
        cutover.start_from_image(context, name, path, (text, changed), next(iter(targets.values()), ""))
        cluster.wait_for_answers(host, name, answering, reporter, timeout=cutover.BOOT_TIMEOUT)
        reporter.fact("away_s", round(away.seconds, 1))
    reporter.fact("type", kind)


def _every_block(host: Host, disks: Sequence[Disk], reporter: Reporter) -> dict[str, tuple[str, ...]]:
    """What to tell the engine of each disk (by vdev) of a domain that is off: nobody waits while its file systems are checked."""
    found: dict[str, tuple[str, ...]] = {}
    for disk in disks:
        reporter.say(f"checking the file system of {disk.name}")
        sound = fsck.is_sound(host, disk.target)
        found[disk.vdev] = () if sound else (fsck.EVERY_BLOCK,)
        if not sound:
            reporter.say(
                f"the file system of {disk.name} has errors, so every block is copied: e2fsck -f {disk.target}"
            )
    return found
