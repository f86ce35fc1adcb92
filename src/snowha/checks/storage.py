"""Rules about the shared file systems and the room on them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from snowha.checks.catalogue import found
from snowha.checks.facts import Facts, Mounted, ServerFacts
from snowha.errors import InputError
from snowha.health import image_space
from snowha.site import fstab, snow_conf
from snowha.site.disk_spec import CONVERTED
from snowha.site.image_names import image_paths
from snowha.site.model import Disk, Domain, Site
from snowha.site.names import agreed, listed
from snowha.site.rules import Finding, image_key

SPACE_RESERVE = 64 << 20
"""Bytes that must stay free on the shared file system after the copies."""
_ALIKE = ("vers=", "proto=", "sec=", "timeo=", "retrans=")
_ALIKE_WORDS = ("hard", "soft", "nolock", "lock", "noac")


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Mounts, locks, room, and where sNow! would put the next image."""
    yield from _not_nfs(facts)
    yield from _not_shared(site, facts)
    yield from _mounts(site, facts)
    yield from _permissions(site, facts)
    yield from _locks(site, facts)
    yield from _lock_options(site, facts)
    yield from _client_ids(site, facts)
    yield from _space(site, facts)
    yield from _holes(site, facts)
    yield from _sectors(site, facts)
    if facts.first.undone:
        size = sum(size for _, size in facts.first.undone)
        where = str(PurePosixPath(facts.first.undone[0][0]).parent.parent)
        yield found(
            "undone-images", f"{facts.first.name}:{where}", f"{len(facts.first.undone)} images take {size >> 20} MiB"
        )
    yield from _syntax(site, facts)
    yield from _destination(site, facts)


def _permissions(site: Site, facts: Facts) -> Iterator[Finding]:
    """A config names scripts and files that root uses on every server; whoever can write a folder can replace what is in it."""
    itself = {site.paths.domain_configs, site.paths.images}
    for server in facts.answering:
        for one in server.permissions:
            if one.is_open and not (one.is_sticky and one.path not in itself):
                yield found(
                    "writable-by-others",
                    f"{server.name}:{one.path}",
                    f"mode {one.mode:o}, {one.owner}:{one.group}: users other than root can write to it",
                )


def _not_nfs(facts: Facts) -> Iterator[Finding]:
    """Of the first server: on a new one it is mounted by the migration."""
    first = facts.first
    if not first.answers:
        return
    mount = first.mount_of("/sNow")
    if mount is None or not mount.is_nfs:
        what = f"on {mount.fstype} ({mount.source})" if mount else "on nothing (not mounted)"
        yield found("not-nfs", first.name, f"/sNow is not on NFS, but {what}")


def _not_shared(site: Site, facts: Facts) -> Iterator[Finding]:
    """Images and configs that only the first server has: a domain could be started nowhere else. Links are followed."""
    first = facts.first
    if not first.answers:
        return
    names = ("images", "domain_configs")
    asked = [getattr(site.paths, name) for name in names]
    real = first.folders if len(first.folders) == len(names) else asked
    for name, path, folder in zip(names, asked, real, strict=True):
        mount = first.mount_of(folder)
        where = f"{first.name}:{path}"
        leads = f" (a link to {folder})" if folder != path else ""
        if mount is None or not mount.is_nfs:
            if mount is not None and mount == first.mount_of("/sNow"):
                continue  # not-nfs says so of all that is there
            what = f"{mount.fstype} ({mount.source})" if mount else "an unknown file system"
            yield found("not-shared", where, f"paths.{name} is on {what} of {first.name} alone{leads}")
        # one of its own may be mounted below what ha.toml gives to every server
        elif not any(one.target == mount.target for one in site.mounts):
            missing = [
                server.name for server in facts.answering if server is not first and not _has(server, folder, mount)
            ]
            if missing:
                yield found(
                    "not-shared",
                    where,
                    f"paths.{name} is on {mount.source}{leads}, which is not mounted on {listed(missing)} and has no "
                    "[[mount]] in ha.toml",
                    remedy=f"add a [[mount]] of {mount.source} on {mount.target} to ha.toml",
                )


def _has(server: ServerFacts, folder: str, mount: Mounted) -> bool:
    there = server.mount_of(folder)
    return there is not None and there.target == mount.target and fstab.same_source(there.source, mount.source)


def _mounts(site: Site, facts: Facts) -> Iterator[Finding]:
    for wanted in site.mounts:
        if gives_up := fstab.gives_up(wanted.options.split(",")):
            yield found("mount-soft", "ha.toml", f"{wanted.target} is to be mounted with {gives_up}")
        reference: tuple[ServerFacts, Mounted] | None = None
        for server in facts.answering:
            here = server.mount_of(wanted.target)
            if here is None or here.target != wanted.target:
                continue  # not mounted: the migration does it on a new server, and not-nfs is said of the first
            if not fstab.same_source(here.source, wanted.source):
                yield found(
                    "mount-differs",
                    server.name,
                    f"{wanted.target} is {here.source} there, and ha.toml says {wanted.source}",
                )
                continue
            if gives_up := fstab.gives_up(here.options):
                yield found("mount-soft", server.name, f"{wanted.target} is mounted with {gives_up}")
            if wanted.target == "/sNow" and wanted.target not in server.writable:
                yield found("not-writable", server.name, f"root cannot write in {wanted.target}")
            if reference is None:
                reference = server, here
            elif _compared(here) != _compared(reference[1]):
                mine, theirs = _compared(here), _compared(reference[1])
                yield found(
                    "mount-options",
                    server.name,
                    f"{wanted.target} has {','.join(sorted(mine - theirs)) or 'nothing more'}, "
                    f"and on {reference[0].name} {','.join(sorted(theirs - mine)) or 'nothing more'}",
                )
        # the export's own folder: files in it are replaced now and then, and a client may remember the old one for a while
        inodes = {
            server.name: server.paths[wanted.target].inode
            for server in facts.answering
            if wanted.target in server.paths
            and (here := server.mount_of(wanted.target)) is not None
            and here.target == wanted.target
            and fstab.same_source(here.source, wanted.source)
        }
        if len(set(inodes.values())) > 1:
            yield found("mount-differs", ", ".join(inodes), f"{wanted.target} is not the same folder on all servers")


def _compared(mount: Mounted) -> frozenset[str]:
    """The options that must be alike: not those that the kernel derives, such as the client's address."""
    return frozenset(
        {option for option in mount.options if option.startswith(_ALIKE) or option in _ALIKE_WORDS}
        | {option for option in mount.options if option.startswith("local_lock=")}
    )


def _locks(site: Site, facts: Facts) -> Iterator[Finding]:
    """Only where both servers have /sNow from NFS: a folder on a local disk locks for itself."""
    both = facts.servers[:2]
    on_nfs = [(mount := server.mount_of(site.paths.snow_conf)) is not None and mount.is_nfs for server in both]
    if len(both) < 2 or not all(on_nfs):
        return
    where = ", ".join(server.name for server in both)
    if facts.locks == "broken":
        yield found("locks", where, facts.locks_said)
    elif facts.locks == "unknown":
        yield found("locks-unknown", where, facts.locks_said)


def _lock_options(site: Site, facts: Facts) -> Iterator[Finding]:
    """On every server that has it mounted: the locks are tried between two of them."""
    for server in facts.answering:
        for wanted in site.mounts:
            here = server.mount_of(wanted.target)
            if here is None or here.target != wanted.target or not here.is_nfs:
                continue
            if local := fstab.locks_locally(here.options):
                yield found(
                    "locks", server.name, f"{wanted.target} is mounted with {local}: its locks are visible only there"
                )
            elif (0, 0) < here.version < (4, 1):
                version = here.version[0] if here.version[0] < 4 else "4.0"
                yield found("nfs-version", server.name, f"{wanted.target} is mounted with NFS {version}")


def _client_ids(site: Site, facts: Facts) -> Iterator[Finding]:
    """With NFS 4.0 the id has the server's address in it, and with NFS 3 there is none (Linux fs/nfs/nfs4proc.c)."""
    by_id: dict[str, list[str]] = {}
    for server in facts.answering:
        mounted = [server.mount_of(wanted.target) for wanted in site.mounts]
        if server.nfs_client and any(mount is not None and mount.version >= (4, 1) for mount in mounted):
            by_id.setdefault(server.nfs_client, []).append(server.name)
    for client, names in by_id.items():
        if len(names) > 1:
            unique, _, host = client.partition("/")
            said = f"the unique id {unique}" if unique else "no unique id"
            yield found(
                "nfs-client-id",
                ", ".join(names),
                f"the NFS clients of all of them have the host name {host} and {said}",
            )


def _images(site: Site, domain: Domain) -> Iterator[tuple[Disk, str]]:
    images = image_paths(domain, site.paths.images)
    return ((disk, images[disk.vdev]) for disk in domain.moved_disks)


def _space(site: Site, facts: Facts) -> Iterator[Finding]:
    """Whether the images fit, counted in full: a later write into a hole must not find the file system full."""
    first = facts.first
    if not first.answers or first.space is None:
        return
    sources = {image: disk for domain in site.domains for disk, image in _images(site, domain) if image != disk.target}
    needed = sum(
        max(0, _length(first, disk) - _begun(first, image))
        for image, disk in sources.items()
        if image not in first.paths and disk.target in first.paths
    )
    if needed and first.space < needed + SPACE_RESERVE:
        missing = (needed + SPACE_RESERVE - first.space >> 20) + 1
        aside = sum(size for _, size in first.undone)
        all_of_them = f"{shlex.quote(site.paths.images)}/*/*.undone"
        hint = f"; an undo has moved {aside >> 20} MiB aside, which no domain uses: rm {all_of_them}" if aside else ""
        yield found(
            "space",
            f"{first.name}:{site.paths.images}",
            f"the images need {needed >> 20} MiB, and {first.space >> 20} MiB are free",
            remedy=f"free {missing} MiB there{hint}",
        )


def _length(first: ServerFacts, disk: Disk) -> int:
    """Bytes that the image of a disk will have."""
    size = first.paths[disk.target].size
    return first.virtual.get(disk.target, size) if disk.format in CONVERTED else size


def _begun(first: ServerFacts, image: str) -> int:
    """Bytes that the part of an image takes which a run was in the middle of: the next goes on with it, or frees it first."""
    partial = first.paths.get(f"{image}.partial")
    return partial.allocated if partial else 0


def _holes(site: Site, facts: Facts) -> Iterator[Finding]:
    """Images that are there, and that the storage would not give their room in full (NFS before 4.2)."""
    room = facts.first.room
    said = image_space.short(room.images, room.free) if room else None
    if said:
        yield found("holes", f"{facts.first.name}:{site.paths.images}", said)


def _sectors(site: Site, facts: Facts) -> Iterator[Finding]:
    """A partition table counts in sectors, and a file's are of 512 bytes. A file system on the whole volume does not mind."""
    for domain in site.domains:
        for disk in domain.moved_disks:
            fact = facts.first.paths.get(disk.target)
            if fact and fact.sector != 512 and fact.table:
                yield found(
                    "sector-size",
                    f"{facts.first.name}:{domain.config}",
                    f"{domain.name}'s {disk.vdev} ({disk.target}) has partitions ({fact.table}) that count in sectors of "
                    f"{fact.sector} bytes, but its image would have sectors of 512",
                )


def _syntax(site: Site, facts: Facts) -> Iterator[Finding]:
    """bash carries out what stands before the error, and nothing behind it."""
    if facts.first.conf_error:
        yield found("snow-conf-syntax", facts.first.name, facts.first.conf_error)


def _destination(site: Site, facts: Facts) -> Iterator[Finding]:
    text = facts.first.snow_conf
    if text is None:
        return
    where = f"{facts.first.name}:{site.paths.snow_conf}"
    try:
        destination = snow_conf.parse(text, where=where, environment=facts.first.snow_env).image_destination()
    except InputError:
        return  # the step that edits snow.conf says so, with its line
    if destination.kind != "lvm":
        return
    others = sorted(
        domain.name
        for domain in site.domains
        if domain.moved_disks
        and not any(image_key(disk.target).startswith(f"/dev/{destination.value}/") for disk in domain.moved_disks)
    )
    if others:
        yield found(
            "image-destination",
            where,
            f"IMG_DST is lvm={destination.value}, and {agreed(others, 'has', 'have')} no disk in it",
        )
