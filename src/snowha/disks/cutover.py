"""What a cold and a warm move of a domain share: whether it is done, what the config becomes, the start from images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from snowha.errors import CommandError, LostLockError, SiteError, SnowError
from snowha.hosts.files import absent, write_file
from snowha.hosts.host import Host
from snowha.live import cluster, lease_adoption, left_down, starting
from snowha.live.context import SiteContext, read_domains
from snowha.plan.step import Reporter
from snowha.site import domain_config
from snowha.site.disk_spec import render_disk, unmovable
from snowha.site.domain_config import replace_disk, set_value
from snowha.site.image_names import image_paths
from snowha.site.model import Domain
from snowha.xen import saved_domains, server_program, xl

SHUTDOWN_TIMEOUT = 300.0
"""Seconds. A domain that does not shut down in this time is left running and the step fails: it is never destroyed."""
BOOT_TIMEOUT = 300.0
"""Seconds. A domain that answered a ping before must answer again: a domain that is created is not yet one that has booted."""

Tried = dict[tuple[str, str], str | None]
"""Kernel and ramdisk to why they do not boot as PVH, None if they do: most domains of a site share them."""


def missing(context: SiteContext, name: str) -> str | None:
    domain = next(
        (one for one in read_domains(context.first, context.site.paths.domain_configs, [name]) if one.name == name),
        None,
    )
    if domain is None:
        raise SiteError(f"the config of {name} is gone", where=context.first.name, remedy="`snow ha init` again")
    images = image_paths(domain, context.site.paths.images)
    for disk in domain.moved_disks:
        if disk.script != server_program.SCRIPT or disk.target != images[disk.vdev]:
            return f"{disk.vdev} is {disk.target}"
    gone = absent(context.first, list(images.values()))
    if gone:
        return f"the image {gone[0]} does not exist"
    if is_pacemakers(context, name) or runs_on(context, name) or not left_down.is_noted(context.first, name):
        return None
    return f"{name} was left down by an earlier run"


def check_xl_reads(host: Host, name: str, path: str, now: str, then: str) -> None:
    """Raise SiteError unless xl reads the config that the domain would be started from again, and the one that it will have.

    Before the domain is shut down, and not while it waits.
    """
    xl.check_reads(host, name, now, what=path)
    if then != now:
        xl.check_reads(host, name, then, what=f"the new {path}")


def refuse_saved(host: Host, name: str) -> None:
    """Raise SiteError for a domain of which ``xl save`` has the memory: it would go on with disks that it does not know."""
    path = saved_domains.files(host).get(name)
    if path:
        raise SiteError(f"{name} is saved in {path}", where=host.name, remedy=saved_domains.remedy(path))


def runs_on(context: SiteContext, name: str) -> str | None:
    """The server that runs the domain. The others are only asked when it is not where it belongs: a new one may be booting."""
    if name in xl.running(context.first):
        return context.first.name
    return next(iter(cluster.domain_locations(context.hosts).get(name, ())), None)


def is_pacemakers(context: SiteContext, name: str) -> bool:
    """Whether Pacemaker has the domain: then nobody else starts or stops it, whatever it does with it just now."""
    state = cluster.cluster_state(context.hosts)
    return state is not None and state.resource(name) is not None


def targets(context: SiteContext, domain: Domain) -> dict[str, str]:
    """Where the image of each disk that is moved belongs, by vdev. Raises SiteError if one cannot be."""
    for disk in domain.moved_disks:
        if reason := unmovable(disk):
            raise SiteError(f"{domain.name}'s {disk.vdev} {reason[0]}", where=domain.config, remedy=reason[1])
    return image_paths(domain, context.site.paths.images)


def lease_in_place(host: Host, domain: Domain, images: Mapping[str, str], reporter: Reporter) -> None:
    """See that each disk that is an image in its place already has a record of its lease: it is not copied, and our block script
    attaches nothing without one. ``images``: where the domain's images belong, by vdev. Raises SiteError, CommandError."""
    there = [disk.target for disk in domain.moved_disks if disk.target == images[disk.vdev] and disk.access != "r"]
    lease_adoption.record({host.name: host}, there, reporter)


def on_images(text: str, domain: Domain, images: Mapping[str, str], kind: str) -> str:
    """The domain's config with its disks on ``images`` (by vdev), attached by our block script, and of type ``kind``."""
    for disk in domain.moved_disks:
        if disk.script != server_program.SCRIPT or disk.target != images[disk.vdev]:
            text = replace_disk(text, disk.spec, render_disk(server_program.with_script(disk, images[disk.vdev])))
    return text if kind == domain.type else set_value(text, "type", kind)


def start_from_image(context: SiteContext, name: str, path: str, texts: tuple[str, str], image: str) -> None:
    """Start the domain from its new config. If that may not be or xl refuses, its old config and volumes are what it runs from,
    as before. ``texts``: the old config and the new one.

    Not after a timeout: the guest may have begun to write to the image. ``image``: one of its images, if it has any: a domain
    that is there although xl refused may be one that somebody else started, from its volumes. Raises SiteError for a domain that
    is another server's or Pacemaker's by now: its config stays.
    """
    host = context.first
    before, after = (domain_config.parse(text, where=path, path=path) for text in texts)
    hindered = starting.obstacle(context, name, after)
    reason = hindered.reason if hindered else ""
    if not hindered:
        done = host.run(["xl", "create", path], check=False, timeout=300)
        if done.ok:
            left_down.forget(host, name)
            return
        reason = done.stderr.strip()
    is_here = name in xl.running(host)
    if is_here and xl.uses(host, name, image):
        left_down.forget(host, name)
        return
    if hindered and hindered.is_there and not is_here:
        raise SiteError(
            f"{name} is not started from its image: {reason}",
            where=host.name,
            remedy="find out what started it: `snow ha status`",
        )
    write_file(host, path, texts[0])
    if not is_here:
        starting.start(context, name, path, before)
    left_down.forget(host, name)
    raise CommandError(
        f"{name} does not start from its image: {reason}",
        where=host.name,
        remedy="it runs from its volumes as before; correct the cause and run this again",
    )


@dataclass
class Downtime:
    """``since`` when the domain was asked to shut down (time.monotonic); None if it was not yet. ``before`` is called before."""

    since: float | None = None
    before: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self.before()
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since


@contextmanager
def restart_on_failure(
    context: SiteContext,
    name: str,
    config: str,
    steady: Reporter,
    *,
    answering: Sequence[str] = (),
    stays_off: bool = False,
) -> Iterator[Downtime]:
    """Whatever ends the block, the domain is not left off: it is started again on the first server from what its config still
    names, if it may be (live/starting.py). Was it asked to shut down already, and is there still, then it may be about to
    end: that is waited for. A run that lost its lock starts nothing: whoever took it sees to the domain.

    What this run cannot do any more when it is killed, the next one does: see ``left_down``. ``answering``: addresses that the
    domain answered on. ``stays_off``: it was off before, on purpose, and is never started.
    """
    if stays_off:
        yield Downtime()
        return
    note = left_down.Note(name, config, tuple(answering))
    away = Downtime(before=partial(left_down.note, context.first, note))
    try:
        yield away
    except LostLockError:
        raise
    except BaseException as error:
        try:
            context.verify_lock()  # the other run may have ended what failed, and moves the domain itself
            if starting.may_start(
                context, name, config, steady.wait, patience=0.0 if away.since is None else starting.PATIENCE_S
            ):
                steady.say(f"starting {name} again from the disks in its config")
                xl.create(context.first, config, timeout=300)
            if away.since is not None:
                left_down.forget(context.first, name)
        except LostLockError as lost:
            raise lost from error
        except SnowError as second:
            by_hand = second.remedy if isinstance(second, SiteError) else f"xl create {config}"
            added = f"{name} may be off, and could not be started again: {second.message}; {by_hand}"
            if isinstance(error, SnowError):
                error.message += f"\n{added}"
            else:
                error.add_note(added)
        raise


def type_for_migration(host: Host, domain: Domain, tried: Tried, reporter: Reporter) -> str:
    """``pvh`` for a PV domain that could not be live-migrated else, if hypervisor and kernel can; else what it is."""
    able = xl.hypervisor(host)
    if able is None:
        raise SiteError("it does not run under Xen", where=host.name, remedy="boot it into Xen first")
    if domain.type != "pv" or able.migrates_pv:
        return domain.type
    if not able.migrates_pvh:
        reporter.fact(
            "no_live_migration",
            f"Xen {able.version} on {host.name} migrates neither PV nor PVH: {sorted(able.capabilities)}",
        )
        return "pv"
    if domain.hardware:
        why = f"it stays PV: it depends on its server ({', '.join(domain.hardware)}), which PVH does not support"
        reporter.say(f"{domain.name}: {why}")
        reporter.fact("no_live_migration", why)
        return "pv"
    if not domain.kernel:
        # nothing that could be tried: it is taken out of the domain's own disk when it starts
        why = f"it stays PV: its kernel is in its own disk, where {domain.bootloader or 'a bootloader'} finds it"
        reporter.say(f"{domain.name}: {why}")
        reporter.fact("no_live_migration", why)
        return "pv"
    key = (domain.kernel, domain.ramdisk)
    if key not in tried:
        reporter.say(f"testing whether {domain.name}'s kernel boots as PVH")
        tried[key] = xl.boots_as_pvh(host, domain)
    reason = tried[key]
    if reason:
        reporter.fact("no_live_migration", f"{domain.kernel} cannot be built as PVH: {reason}")
        return "pv"
    return "pvh"
