"""``snow images``: what images there are, whether they are what was copied, the way back, and the old volumes' end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snowha.disks import engine_driver, snapshots
from snowha.errors import InputError, SiteError, UnreachableError
from snowha.hosts.files import KEPT, read_folder, write_file
from snowha.hosts.host import Host
from snowha.hosts.wait import wait_for
from snowha.live import cluster, starting
from snowha.live.context import SiteContext, read_domains_and_errors, site_domains
from snowha.plan.step import Reporter
from snowha.site import domain_config
from snowha.site.image_names import image_paths
from snowha.site.model import Domain
from snowha.site.names import check_path, listed
from snowha.site.rules import image_key

_DAY = 86400
STAT = 'for path; do stat -L -c "%s %b %Y" -- "$path" 2>/dev/null || echo absent; done'


@dataclass(frozen=True)
class Image:
    """An image beside the volume that it was copied from."""

    domain: str
    vdev: str
    path: str
    size: int
    """Bytes, 0 if it is not there."""
    allocated: int
    """Bytes that it takes on the storage."""
    volume: str
    """Where it was copied from; empty if that is not known."""
    volume_there: bool | None
    """None where the first server, whose volume it is, does not answer."""
    verified: str
    """UTC, when it was copied and verified; empty if there is no manifest."""
    in_use: bool
    """The domain's config names it."""
    written: bool
    """It was written since it was verified."""

    @property
    def state(self) -> str:
        """One word or two for a table."""
        if not self.size:
            return "not there"
        if not self.verified:
            return "not verified"
        if not self.in_use:
            return "verified, not used"
        return "in use" if self.written else "verified"


def images(
    context: SiteContext, *, host: Host | None = None, domains: Sequence[Domain] | None = None
) -> tuple[Image, ...]:
    """Every disk of every domain, as image. ``host``: the server that is asked, else the first one. ``domains``: what their
    configs say, where they were read already."""
    host = host or context.first
    if domains is None:
        domains = site_domains(context)
    disks = [(domain, disk) for domain in domains for disk in domain.moved_disks]
    paths = [image_paths(domain, context.site.paths.images)[disk.vdev] for domain, disk in disks]
    if not disks:
        return ()
    stats = host.run(["sh", "-c", STAT, "sh", *paths], timeout=60).stdout.splitlines()
    try:
        there = snapshots.volumes(context.first)
    except UnreachableError:
        there = None
    found = []
    for (domain, disk), path, line in zip(disks, paths, stats, strict=True):
        record = engine_driver.manifest(host, path) or {}
        size, blocks, changed = (0, 0, 0) if line == "absent" else (int(word) for word in line.split())
        volume = engine_driver.source_of(record)
        found.append(
            Image(
                domain=domain.name,
                vdev=disk.vdev,
                path=path,
                size=size,
                allocated=blocks * 512,
                volume=volume,
                volume_there=None if there is None else snapshots.volume_of(there, volume) is not None,
                # the image of a snapshot was verified too, but is not what the domain has: a warm copy did not end
                verified="" if record.get("point") else str(record.get("finished", "")),
                in_use=disk.target == path,
                written=changed * 10**9 != record.get("image_mtime_ns"),
            )
        )
    return tuple(found)


def verify(context: SiteContext, name: str, reporter: Reporter) -> None:
    """Read the domain's images from the storage and compare them with their manifests. Raises SiteError if one is not there or
    never was a whole copy, or is in use (it then differs, rightly); ProofError if one differs."""
    mine = _of(context, name)
    lacking = [one for one in mine if not (one.size and one.verified)]
    if lacking:
        raise SiteError(
            "; ".join(f"{one.path} is {one.state}" for one in lacking) + ": there is nothing to compare",
            where=context.first.name,
            remedy=f"`snow images list` shows all; `snow images copy {name}` copies the missing ones from the volumes",
        )
    used = next((one for one in mine if one.verified and one.written and one.size), None)
    if used:
        raise SiteError(
            f"{used.path} was written since it was copied, so there is nothing to compare it with",
            where=context.first.name,
            remedy="verify images before their domain runs from them",
        )
    engine_driver.install(context.first)
    for one in mine:
        reporter.say(f"reading {one.path} back")
        event = engine_driver.run(context.first, ["verify", one.path], reporter=reporter)
        reporter.fact(one.path, engine_driver.facts(event))


def restore(context: SiteContext, name: str, reporter: Reporter) -> None:
    """Bring the domain's images, with everything written since, back into their volumes, and the config that named these.

    The domain must be off, and stay off: it is not started. Volumes are written; images stay as they are.
    """
    host = context.first
    _must_be_off(context, name, reporter)
    mine = _of(context, name)
    there = snapshots.volumes(host)
    for one in mine:
        if not one.size or not one.volume:
            raise SiteError(
                f"the source volume of {one.path} is unknown" if one.size else f"{one.path} does not exist",
                where=host.name,
                remedy="only images that snow-ha has copied can be copied back",
            )
        volume = snapshots.volume_of(there, one.volume)
        if volume is None or volume.size < one.size:
            raise SiteError(
                f"the volume {one.volume} is {'gone' if volume is None else 'too small'}",
                where=host.name,
                remedy=f"create it: lvcreate --size {one.size}b --name NAME VG, with the name it had",
            )
        if any(image_key(other.volume) == image_key(one.volume) for other in mine if other is not one):
            raise SiteError(
                f"two images of {name} were copied from {one.volume}",
                where=host.name,
                remedy="copy the right one back by hand: images.pyz copy IMAGE VOLUME",
            )
    path = context.site.domain(name).config
    text = kept_config(host, name, path, {one.vdev: one.volume for one in mine})
    engine_driver.install(host)
    for one in mine:
        reporter.say(f"copying {one.path} back into {one.volume}")
        event = engine_driver.run(host, ["copy", one.path, one.volume], reporter=reporter)
        reporter.fact(one.path, engine_driver.facts(event))
    write_file(host, path, text)


def kept_config(host: Host, name: str, path: str, volumes: Mapping[str, str]) -> str:
    """The newest kept version of the domain's config in which its disks are ``volumes`` (by vdev). Raises InputError."""
    kept = read_folder(host, f"{KEPT}{check_path(path, where=name)}", "")
    for version, content in sorted(kept.items(), reverse=True):
        try:
            text = content.decode()
            domain = domain_config.parse(text, where=version, path=path)
        except (InputError, UnicodeDecodeError):
            continue
        if domain.name == name and {disk.vdev: disk.target for disk in domain.moved_disks} == dict(volumes):
            return text
    raise InputError(
        f"no earlier config of {name} is kept that names its volumes",
        where=f"{host.name}:{KEPT}{path}",
        remedy="put a config that names them there, under any name",
    )


def discard(context: SiteContext, name: str, reporter: Reporter, *, now: bool = False) -> None:
    """Remove the domain's old volumes. Raises SiteError unless the domain runs from verified images, for a day at least
    or with ``now``."""
    host = context.first
    mine = _of(context, name)
    for one in mine:
        if not (one.size and one.verified and one.in_use):
            raise SiteError(
                f"{one.path} is {one.state}: the volume may be the only copy",
                where=host.name,
                remedy="let the domain run from verified images first",
            )
    where = cluster.domain_locations(context.hosts).get(name, ())
    if not where or not any(one.written for one in mine):
        raise SiteError(
            f"{name} has not run from its images yet", where=host.name, remedy="start it and check that it works"
        )
    age = min(_age(host, one.verified) for one in mine)
    if age < _DAY and not now:
        raise SiteError(
            f"its images were verified {age // 3600} h ago, not a day yet",
            where=host.name,
            remedy="wait, or use --now: after that there is no way back to the volumes",
        )
    domains, left = read_domains_and_errors(host, context.site.paths.domain_configs)
    if left:
        raise SiteError(
            f"a config cannot be read, so the volumes of its domain are unknown: {left[0].message}",
            where=left[0].where,
            remedy=left[0].remedy or "correct it, or move it out of the folder",
        )
    named = {disk.target for domain in domains for disk in domain.disks}
    there = snapshots.volumes(host)
    gone = []
    for one in mine:
        volume = snapshots.volume_of(there, one.volume)
        if volume is None:
            continue
        snapshots.refuse_in_use(host, volume, there, named)
        gone.append(volume)
    for volume in gone:
        reporter.say(f"removing {volume.full_name}")
        host.run(["lvremove", "--yes", volume.full_name], timeout=300)
        reporter.fact(volume.full_name, "removed")


def _age(host: Host, finished: str) -> int:
    """Seconds since then, by the server's own clock."""
    asked = host.run(["date", "-u", "-d", finished, "+%s"], check=False, timeout=60)
    if not asked.ok:
        raise InputError(f"{finished!r} in a manifest is not a time", where=host.name, remedy="copy the image again")
    return int(host.run(["date", "-u", "+%s"], timeout=60).stdout) - int(asked.stdout)


def _of(context: SiteContext, name: str) -> tuple[Image, ...]:
    mine = tuple(one for one in images(context) if one.domain == name)
    if not mine:
        raise InputError(
            f"there is no domain {name} with disks", where=context.first.name, remedy="`snow images list` shows them"
        )
    return mine


def _must_be_off(context: SiteContext, name: str, reporter: Reporter) -> None:
    def gone() -> bool:
        seen = starting.locate(context, name)
        where = [server for server, domain in seen.running.items() if domain.is_alive]
        if where:
            raise SiteError(f"{name} runs on {listed(where)}", remedy="shut it down first")
        if seen.unknown:
            raise SiteError(seen.unanswered, remedy="make every server answer: any of them can have its images open")
        return not seen.running

    # `xl shutdown -w` is back before the domain's disks are taken off
    wait_for(gone, timeout=120, what=f"the remains of {name} to be removed", report=reporter.wait, error=SiteError)
    hindered = starting.pacemakers(context, name)
    if hindered is None:
        return
    if not hindered.is_there:
        raise SiteError(hindered.reason, remedy="make it answer: systemctl status pacemaker")
    words = ["crm_resource", f"--resource={name}", "--meta", "--get-parameter=target-role"]
    role = cluster.any_member(context.hosts).run(words, check=False, timeout=60).stdout.strip()
    if role != "Stopped":
        raise SiteError(
            f"Pacemaker has {name} and may start it at any time",
            remedy=f"crm_resource --resource={name} --meta --set-parameter=target-role --parameter-value=Stopped",
        )
