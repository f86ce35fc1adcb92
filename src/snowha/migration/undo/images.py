"""A domain back onto its volumes, with everything that it wrote since: its images are copied back, verified.

The other way round of ``disks``, with the same promises: it is confirmed off first, nothing is replaced before its
copy is verified, and if anything fails it is started from its image as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snowha.disks import engine_driver, file_leases
from snowha.disks.cutover import BOOT_TIMEOUT, SHUTDOWN_TIMEOUT, check_xl_reads, refuse_saved, restart_on_failure
from snowha.errors import CommandError, InputError, SiteError
from snowha.hosts.files import KEPT, absent, stat, write_file
from snowha.hosts.host import Host
from snowha.live import cluster, left_down, starting
from snowha.live.context import SiteContext, read_config
from snowha.migration.undo import return_check
from snowha.migration.undo.kept_files import before, not_kept
from snowha.plan.step import Reporter, Shielded
from snowha.site import domain_config
from snowha.site.disk_spec import render_disk
from snowha.site.domain_config import replace_disk, set_value
from snowha.site.image_names import image_paths
from snowha.site.model import Disk, Domain
from snowha.site.names import listed
from snowha.site.rules import image_key
from snowha.xen import server_program, xl

ASIDE = ".undone"
"""What is added to the name of an image that was copied back."""


@dataclass(frozen=True)
class ReturnPlan:
    """How a domain gets back: its config now and as it will be, each image with the volume that it belongs into, the images
    that nothing names any more then, and the files (no volumes) that the domain runs from then."""

    now: str
    then: str
    volumes: tuple[tuple[Disk, Disk], ...]
    images: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def is_due(self) -> bool:
        return self.then != self.now


def from_image(domain: Domain) -> bool:
    """Whether a disk of it is attached by our script."""
    return any(disk.script == server_program.SCRIPT for disk in domain.disks)


def plan_return(context: SiteContext, name: str) -> ReturnPlan:
    """Raises SiteError if no earlier version of the config was kept."""
    host, path = context.first, context.site.domain(name).config
    text, domain = read_config(host, name, path)
    if not from_image(domain):
        return ReturnPlan(text, text, (), _left_over(context, domain, domain), file_leases.files_of(domain))
    sources = _sources(host, domain)
    original = before(context, path, lambda version: _is_ours(version, path) or not _names(version, path, sources))
    if original is None and before(context, path, lambda version: _is_ours(version, path)) is not None:
        raise SiteError(
            f"no kept config of {name} names what its images were copied from: "
            + ", ".join(f"{vdev} {source}" for vdev, source in sources.items()),
            where=f"{host.name}:{KEPT}{path}",
            remedy="look in the images' manifests which volume each disk belongs into, and put a config that names these there, "
            "under any name",
        )
    if original is None:
        raise not_kept(
            path,
            host.name,
            otherwise=f"shut {name} down, copy each of its images into its volume (images.pyz copy IMAGE VOLUME), and only then "
            "put its config back from your backup",
        )
    then, volumes = back(domain, text, original, path)
    after = domain_config.parse(then, where=path, path=path)
    return ReturnPlan(text, then, volumes, _left_over(context, domain, after), file_leases.files_of(after))


def _sources(host: Host, domain: Domain) -> dict[str, str]:
    """What each image was copied from, as its manifest says, by vdev. Where there is no manifest, nothing is known."""
    found = {}
    for disk in domain.disks:
        record = engine_driver.manifest(host, disk.target) if disk.script == server_program.SCRIPT else None
        if source := engine_driver.source_of(record or {}):
            found[disk.vdev] = source
    return found


def _names(text: str, path: str, sources: Mapping[str, str]) -> bool:
    """Whether the config ``text`` names these volumes: kept versions may be of another time, or of another domain's disks."""
    targets = {disk.vdev: image_key(disk.target) for disk in domain_config.parse(text, where=path, path=path).disks}
    return all(targets.get(vdev) == image_key(source) for vdev, source in sources.items())


def _left_over(context: SiteContext, now: Domain, then: Domain) -> tuple[str, ...]:
    """The images of a domain that its config as it will be does not name: it may have run from files all along."""
    used = {disk.target for disk in then.disks}
    found = image_paths(now, context.site.paths.images).values()
    return tuple(image for image in dict.fromkeys(found) if image not in used)


def back(domain: Domain, text: str, original: str, path: str) -> tuple[str, tuple[tuple[Disk, Disk], ...]]:
    """The way back to a config as it was, byte for byte unless somebody has changed it since; and what is copied into what."""
    old = domain_config.parse(original, where=path, path=path)
    volumes = []
    for disk in domain.disks:
        if disk.script != server_program.SCRIPT:
            continue
        volume = next((one for one in old.disks if one.vdev == disk.vdev), None)
        if volume is None:
            raise SiteError(
                f"{domain.name}'s {disk.vdev} had no volume before",
                where=path,
                remedy="it was added later: copy it by hand, and correct the config",
            )
        volumes.append((disk, volume))
    then = original if text in _ours_of(original, old, domain) else _edited(text, domain, old, volumes)
    return then, tuple((disk, volume) for disk, volume in volumes if disk.target != volume.target)


def _is_ours(text: str, path: str) -> bool:
    try:
        return from_image(domain_config.parse(text, where=path, path=path))
    except InputError:
        return True  # whatever it is, the domain could not be started from it


def _ours_of(original: str, old: Domain, now: Domain) -> tuple[str, ...]:
    """What the migration makes of a config: with the domain's type as it was, or as it is now."""
    changed = original
    for disk in now.disks:
        volume = next((one for one in old.disks if one.vdev == disk.vdev), None)
        if volume is not None and volume.script != server_program.SCRIPT and disk.script == server_program.SCRIPT:
            changed = replace_disk(changed, volume.spec, render_disk(server_program.with_script(volume, disk.target)))
    return changed, set_value(changed, "type", now.type)


def _edited(text: str, now: Domain, old: Domain, volumes: list[tuple[Disk, Disk]]) -> str:
    """Only what we changed put back, in a config that somebody has changed since."""
    for disk, volume in volumes:
        text = replace_disk(text, disk.spec, volume.spec)
    return text if now.type == old.type else set_value(text, "type", old.type)


def missing(context: SiteContext, name: str) -> str | None:
    """What there is to undo of a domain's migration; None if nothing is."""
    _, domain = read_config(context.first, name, context.site.domain(name).config)
    if from_image(domain):
        return f"{name} runs from its image"
    images = _left_over(context, domain, domain)
    gone = absent(context.first, images)
    for image in images:
        if image not in gone:
            return f"{image} is still in its place"
    return None  # an image is moved aside after its domain was started: nothing else can be left to do


def move_back(context: SiteContext, name: str, reporter: Reporter) -> None:
    """Shut down, copy every image into its volume, put the config back, start. Raises SnowError."""
    host, path = context.first, context.site.domain(name).config
    plan = plan_return(context, name)
    state = cluster.cluster_state(context.hosts)
    if state is not None and state.resource(name) is not None:
        raise SiteError(
            f"Pacemaker has {name}", where=host.name, remedy="take it out first: snow ha undo, without --to"
        )
    return_check.check(host, name, [(disk.target, volume.target) for disk, volume in plan.volumes])
    return_check.check_converter(host, name, [volume for _, volume in plan.volumes])
    if not plan.is_due and (where := cluster.domain_locations(context.hosts).get(name, ())) not in ((), (host.name,)):
        raise SiteError(f"{name} runs on {listed(where)}", where=host.name, remedy=f"xl shutdown {name} there")
    if not plan.is_due:
        _refuse_in_use(context, name, plan.images)
    check_xl_reads(host, name, path, plan.now, plan.then)
    if plan.volumes:
        engine_driver.install(host)
        file_leases.lease(host, [volume.target for _, volume in plan.volumes if volume.target in plan.files], reporter)

    runs = bool(cluster.domain_locations(context.hosts).get(name))
    stays_off = not runs and not left_down.is_noted(host, name)
    if stays_off:
        refuse_saved(host, name)
    addresses = context.site.domain(name).addresses if plan.is_due and runs else ()
    answering = [address for address in addresses if cluster.answers(host, address)]

    # from here the domain is away, as in `images`
    steady = Shielded(reporter)
    # from whichever config is there: the new one stands only if every copy was verified
    with restart_on_failure(context, name, path, steady, answering=answering, stays_off=stays_off) as away:

        def shut_down() -> None:
            away.begin()
            _confirm_off(context, name, reporter, steady)
            for disk, volume in plan.volumes:
                reporter.say(f"copying {disk.target} back into {volume.target}")

        if plan.is_due:
            done = engine_driver.run_when_off(
                host,
                name,
                [],
                [copy_words(host, disk.target, volume) for disk, volume in plan.volumes],
                shut_down,
                reporter=reporter,
                remedy="the domain runs from its image as before; correct this and run it again",
            )
            for (_, volume), event in zip(plan.volumes, done, strict=True):
                reporter.fact(volume.name, {**engine_driver.facts(event), "volume": volume.target})
            write_file(host, path, plan.then)
    if stays_off:
        reporter.say(f"{name} was off, and stays off")
    elif name not in xl.running(host):
        steady.say(f"starting {name} from its volumes")
        _start(context, name, path, plan)
    left_down.forget(host, name)
    cluster.wait_for_answers(host, name, answering, reporter, timeout=BOOT_TIMEOUT)
    if plan.is_due and not stays_off:
        reporter.fact("away_s", round(away.seconds, 1))
    file_leases.forget(host, plan.files, reporter)  # before the images are put aside: what is missing is told by these
    _put_aside(host, plan.images, reporter)


def check_returns(context: SiteContext, names: Sequence[str]) -> None:
    """Look at every way back before the first step of it is taken: afterwards the cluster is dismantled, and a domain down.

    Raises SnowError for the first of these domains that could not be brought back, and for what two of them would write.
    """
    plans = {name: plan_return(context, name) for name in names}
    pairs = {name: [(disk.target, volume.target) for disk, volume in plan.volumes] for name, plan in plans.items()}
    return_check.check_shared(context.first.name, pairs)
    for name, plan in plans.items():
        return_check.check(context.first, name, pairs[name])
        return_check.check_converter(context.first, name, [volume for _, volume in plan.volumes])
        check_xl_reads(context.first, name, context.site.domain(name).config, plan.now, plan.then)


def copy_words(host: Host, image: str, source: Disk) -> list[str]:
    """A file that the image was copied from is replaced when the copy is verified: it holds what the domain had before."""
    facts = stat(host, source.target)
    is_file = facts is not None and facts.kind.startswith("regular")
    return engine_driver.out_of_image(image, source, *(["--replace"] if is_file else []))


def _refuse_in_use(context: SiteContext, name: str, images: tuple[str, ...]) -> None:
    """Raise SiteError for an image that is attached though the config no longer names it: what is written goes there."""
    words = ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]
    attached = context.on_all(lambda host: host.run(words, check=False).stdout.split())
    for server, files in attached.items():
        for image in images:
            if image in files:
                raise SiteError(
                    f"{name} runs from {image}, though its config names its volume",
                    where=server,
                    remedy=f"restore the config that names the image ({KEPT}{context.site.domain(name).config}), then run "
                    "this again: what it wrote is only in the image",
                )


def _confirm_off(context: SiteContext, name: str, reporter: Reporter, steady: Shielded) -> None:
    """Off on every server: it may run on another one by now."""
    for server in cluster.domain_locations(context.hosts).get(name, ()):
        reporter.say(f"shutting down {name} on {server}")
        xl.shut_down(context.hosts[server], name, timeout=SHUTDOWN_TIMEOUT, report=steady.say)


def _start(context: SiteContext, name: str, path: str, plan: ReturnPlan) -> None:
    """From its volumes; from its image as before if xl refuses. Not after a timeout: it may have begun to write."""
    host = context.first
    done = host.run(["xl", "create", path], check=False, timeout=300)
    if done.ok or name in xl.running(host):
        return
    if plan.is_due:
        write_file(host, path, plan.now)
        starting.start(context, name, path, domain_config.parse(plan.now, where=path, path=path))
        left_down.forget(host, name)
    raise CommandError(
        f"{name} does not start from its volumes: {done.stderr.strip()}",
        where=host.name,
        remedy="it runs from its image as before; correct the cause and run this again",
    )


def _put_aside(host: Host, images: tuple[str, ...], reporter: Reporter) -> None:
    """Out of the way of the next migration, and not removed: that is for a person to do."""
    gone = absent(host, images)
    for image in images:
        if image in gone:
            continue
        reporter.say(f"moving {image} aside")
        host.run(["mv", "-f", "-T", "--", image, f"{image}{ASIDE}"], timeout=120)
        host.run(["rm", "-f", "--", f"{image}.manifest", f"{image}.lease"], timeout=120)
