"""A domain's images copied while it is off: right for small volumes, where a copy takes no longer than a restart, and for what
is on no logical volume.

It is seen to be off first, and starts again from its volumes if anything fails.
"""

from __future__ import annotations

from snowha.hosts.files import make_dir, write_file
from snowha.migration import image_engine, moving, starting
from snowha.migration.ground import Ground, read_config
from snowha.operations import live
from snowha.plan.step import Reporter, Unstoppable
from snowha.xen import xl


def move(ground: Ground, name: str, tried: moving.Tried, reporter: Reporter) -> None:
    """Shut the domain down, copy its volumes, start it from the images. If anything fails, it is started from its volumes."""
    host = ground.first
    path = ground.site.domain(name).config
    text, domain = read_config(host, name, path)
    targets = moving.targets(ground, domain)
    kind = moving.type_for_migration(host, domain, tried, reporter)
    changed = moving.on_images(text, domain, targets, kind)
    image_engine.bring(host)
    make_dir(host, f"{ground.site.paths.images}/{name}", mode=0o700)

    starting.refuse_unless_here(ground, name)
    answering = [address for address in domain.addresses if live.answers(host, address)]

    # from here the domain is away: nothing but the safe points inside may end this, and whatever ends it starts it again
    steady = Unstoppable(reporter)
    disks = [disk for disk in domain.moved_disks if disk.target != targets[disk.vdev]]
    with moving.else_start_again(ground, name, path, steady) as away:

        def shut_down() -> None:
            away.begin()
            reporter.say(f"shutting down {name}")
            xl.shut_down(host, name, timeout=moving.SHUTDOWN_TIMEOUT, report=steady.say)
            if disks:
                reporter.say(f"copying {', '.join(disk.name for disk in disks)} to {ground.site.paths.images}/{name}")

        done = image_engine.run_when_off(
            host,
            name,
            [],
            [["copy", disk.target, targets[disk.vdev]] for disk in disks],
            shut_down,
            reporter=reporter,
            remedy="it runs from its volume as before; correct this and run again, the copy goes on where it was",
        )
        for disk, event in zip(disks, done, strict=True):
            reporter.fact(disk.name, {**image_engine.facts(event), "image": targets[disk.vdev]})
        if changed != text:
            write_file(host, path, changed)
    steady.say(f"starting {name} from its image")
    moving.start_from_image(ground, name, path, (text, changed), next(iter(targets.values()), ""))
    live.wait_for_answers(host, name, answering, reporter, timeout=moving.BOOT_TIMEOUT)
    reporter.fact("away_s", round(away.seconds, 1))
    reporter.fact("type", kind)
