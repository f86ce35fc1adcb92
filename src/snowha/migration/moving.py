"""What a cold and a warm move of a domain share: whether it is done, what the config becomes, the start from images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from snowha.errors import CommandError, SiteError, SnowError
from snowha.hosts.api import Host
from snowha.hosts.files import absent, write_file
from snowha.migration.ground import Ground, read_domains
from snowha.operations import live
from snowha.plan.step import Reporter
from snowha.site.disk_spec import render_disk, unmovable
from snowha.site.domain_config import replace_disk, set_value
from snowha.site.image_names import image_paths
from snowha.site.model import Domain
from snowha.xen import block_script, xl

SHUTDOWN_TIMEOUT = 300.0
"""Seconds. A domain that does not shut down in this time is left running and the step fails: it is never destroyed."""
BOOT_TIMEOUT = 300.0
"""Seconds. A domain that answered a ping before must answer again: a domain that is created is not yet one that has booted."""

_PATIENCE, _LOOK_EVERY = 60.0, 2.0
"""Seconds that a domain may take to end after its move was given up, and between two looks at it."""

Tried = dict[tuple[str, str], str | None]
"""Kernel and ramdisk to why they do not boot as PVH, None if they do: most domains of a site share them."""


def missing(ground: Ground, name: str) -> str | None:
    domain = next(
        (one for one in read_domains(ground.first, ground.site.paths.domain_configs, [name]) if one.name == name), None
    )
    if domain is None:
        raise SiteError(f"the config of {name} is gone", where=ground.first.name, remedy="`snow ha init` again")
    images = image_paths(domain, ground.site.paths.images)
    for disk in domain.moved_disks:
        if disk.script != block_script.NAME or disk.target != images[disk.vdev]:
            return f"{disk.vdev} is {disk.target}"
    gone = absent(ground.first, list(images.values()))
    if gone:
        return f"the image {gone[0]} is not there"
    if is_pacemakers(ground, name) or runs_on(ground, name):
        return None
    return f"{name} is not running"


def runs_on(ground: Ground, name: str) -> str | None:
    """The server that runs the domain. The others are only asked when it is not where it belongs: a new one may be booting."""
    if name in xl.running(ground.first):
        return ground.first.name
    return next(iter(live.places(ground.hosts).get(name, ())), None)


def is_pacemakers(ground: Ground, name: str) -> bool:
    """Whether Pacemaker has the domain: then nobody else starts or stops it, whatever it does with it just now."""
    state = live.cluster_state(ground.hosts)
    return state is not None and state.resource(name) is not None


def targets(ground: Ground, domain: Domain) -> dict[str, str]:
    """Where the image of each disk that is moved belongs, by vdev. Raises SiteError if one cannot be."""
    for disk in domain.moved_disks:
        if reason := unmovable(disk):
            raise SiteError(f"{domain.name}'s {disk.vdev} {reason[0]}", where=domain.config, remedy=reason[1])
    return image_paths(domain, ground.site.paths.images)


def refuse_pacemakers(ground: Ground, name: str) -> None:
    """Raise SiteError for a domain that Pacemaker has: it must not be shut down behind its back."""
    if is_pacemakers(ground, name):
        raise SiteError(
            f"Pacemaker already runs {name}, so it cannot be moved from LVM here",
            where=ground.first.name,
            remedy="take it out of the cluster's configuration first, or correct its config by hand",
        )


def on_images(text: str, domain: Domain, images: Mapping[str, str], kind: str) -> str:
    """The domain's config with its disks on ``images`` (by vdev), attached by our block script, and of type ``kind``."""
    for disk in domain.moved_disks:
        if disk.script != block_script.NAME or disk.target != images[disk.vdev]:
            text = replace_disk(text, disk.spec, render_disk(block_script.with_script(disk, images[disk.vdev])))
    return text if kind == domain.type else set_value(text, "type", kind)


def start_from_image(host: Host, name: str, path: str, before: str, image: str) -> None:
    """Start the domain from its new config. If xl refuses, its old config and volumes are what it runs from, as before.

    Not after a timeout: the guest may have begun to write to the image. ``image``: one of its images, if it has any: a domain
    that is there although xl refused may be one that somebody else started, from its volumes.
    """
    done = host.run(["xl", "create", path], check=False, timeout=300)
    is_there = not done.ok and name in xl.running(host)
    if done.ok or (is_there and xl.uses(host, name, image)):
        return
    write_file(host, path, before)
    if not is_there:
        xl.create(host, path, timeout=300)
    raise CommandError(
        f"{name} does not start from its image: {done.stderr.strip()}",
        where=host.name,
        remedy="it runs from its volumes as before; correct the cause and run this again",
    )


@dataclass
class Away:
    """``since`` when the domain was asked to shut down (time.monotonic); None if it was not yet."""

    since: float | None = None

    def begin(self) -> None:
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since


@contextmanager
def else_start_again(servers: Sequence[Host], name: str, config: str, steady: Reporter) -> Iterator[Away]:
    """Whatever ends the block, the domain is not left off: it is started again on the first of ``servers`` from what its config
    still names. Was it asked to shut down already, and is there still, then it may be about to end: that is waited for."""
    away = Away()
    try:
        yield away
    except BaseException as error:
        try:
            if not _stays(servers, name, steady, patience=0.0 if away.since is None else _PATIENCE):
                steady.say(f"starting {name} again from what its config names")
                xl.create(servers[0], config, timeout=300)
        except SnowError as second:
            note = f"{name} may be off, and could not be started again: {second.message}; xl create {config}"
            if isinstance(error, SnowError):
                error.message += f"\n{note}"
            else:
                error.add_note(note)
        raise


def _stays(servers: Sequence[Host], name: str, steady: Reporter, *, patience: float) -> bool:
    """Whether the domain runs on one of ``servers``, and still does after ``patience`` seconds. That the first cannot say is no
    reason not to start it there: xl starts no domain twice. Another one that cannot say may run it."""
    began = time.monotonic()
    while True:
        there = False
        for host in servers:
            try:
                there = there or name in xl.running(host)
            except SnowError:
                there = there or host is not servers[0]
        if not there or time.monotonic() - began >= patience:
            return there
        steady.say(f"waiting for {name}, which was asked to shut down, to be gone or to stay")
        time.sleep(_LOOK_EVERY)


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
    if not domain.kernel:
        # nothing that could be tried: it is taken out of the domain's own disk when it starts
        why = f"it stays PV: its kernel is in its own disk, where {domain.bootloader or 'a bootloader'} finds it"
        reporter.say(f"{domain.name}: {why}")
        reporter.fact("no_live_migration", why)
        return "pv"
    key = (domain.kernel, domain.ramdisk)
    if key not in tried:
        reporter.say(f"trying whether {domain.name}'s kernel boots as PVH")
        tried[key] = xl.boots_as_pvh(host, domain)
    reason = tried[key]
    if reason:
        reporter.fact("no_live_migration", f"{domain.kernel} cannot be built as PVH: {reason}")
        return "pv"
    return "pvh"
