"""Rules about the domains: what they need, where they run, what the hypervisors can do for them."""

from __future__ import annotations

from collections.abc import Iterator

from snowha.checks.catalogue import found
from snowha.checks.facts import Facts, PathFact, ServerFacts, half_migrated
from snowha.cluster import cib, placement
from snowha.errors import InputError
from snowha.live import autostart
from snowha.provision.servers import kernels
from snowha.site import rules as site_rules
from snowha.site.cpu_affinity import can_run
from snowha.site.disk_spec import unmovable
from snowha.site.image_names import check_images, image_paths
from snowha.site.model import Site
from snowha.site.names import listed, show
from snowha.site.rules import Finding
from snowha.xen import saved_domains, xl

_GONE = ("destroy", "coredump-destroy")
"""Values of ``on_poweroff`` (xl.cfg(5)) after which a domain that has shut down is gone."""


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Duplicates first: what two domains share is worse than what one lacks."""
    yield from site_rules.check_site(site, site.domains)
    yield from _resource_names(site)
    yield from check_images(site.domains, site.paths.images)
    yield from _disks(site, facts)
    yield from _one_volume_twice(site, facts)
    yield from _images_there(site, facts)
    yield from _kernels(site, facts)
    yield from _vif_scripts(site, facts)
    yield from _running(site, facts)
    yield from _saved(site, facts)
    yield from _hardware(site, facts)
    yield from _maxmem(site, facts)
    yield from _affinity(site, facts)
    yield from _poweroff(site, facts)
    yield from _migration(site, facts)
    yield from _memory(site, facts)
    yield from _autostart(site, facts)


def _resource_names(site: Site) -> Iterator[Finding]:
    """Else it would be said when all its disks have been moved."""
    try:
        cib.check_names(site)
    except InputError as error:
        yield found("duplicate-name", error.where, error.message, remedy=error.remedy)


def _disks(site: Site, facts: Facts) -> Iterator[Finding]:
    first = facts.first
    if not first.answers:
        return
    for domain in site.domains:
        where = f"{first.name}:{domain.config}"
        for disk in domain.disks:
            what = f"{domain.name}'s {disk.vdev}"
            if reason := unmovable(disk):
                yield found("disk-unmovable", where, f"{what} {reason[0]}", remedy=reason[1])
            if disk.target and disk.target not in first.paths:
                yield found("missing-volume", where, f"{what} is {disk.target}, which does not exist")
            elif disk.is_moved and (nothing := _nothing_to_copy(first.paths[disk.target])):
                yield found(
                    "missing-volume",
                    where,
                    f"{what} is {disk.target}, which is {nothing}",
                    remedy=f"correct the config: ls -lL {disk.target}",
                )
            elif disk.is_cdrom and disk.target:
                yield from _disc_elsewhere(facts, disk.target, domain.name)


def _nothing_to_copy(there: PathFact) -> str:
    """What a disk names that can be no disk; empty if it can."""
    return "neither a volume nor a file" if there.kind == "other" else "" if there.size else "empty"


def _disc_elsewhere(facts: Facts, disc: str, name: str) -> Iterator[Finding]:
    """A disc in a CD drive is not moved."""
    for server in facts.answering:
        if disc not in server.paths:
            yield found(
                "cd-elsewhere", server.name, f"{disc} is missing, which is in {name}'s CD drive on {facts.first.name}"
            )


def _one_volume_twice(site: Site, facts: Facts) -> Iterator[Finding]:
    """What only the server knows to be one: two names of a volume, such as /dev/dm-3 and /dev/vg/lv, or of a file."""
    uses: dict[tuple[int, int], dict[str, tuple[str, bool]]] = {}
    for domain in site.domains:
        for disk in domain.moved_disks:
            there = facts.first.paths.get(disk.target)
            if there and there.kind != "other":
                named = uses.setdefault((there.device, there.inode), {})
                named[site_rules.image_key(disk.target)] = domain.config, disk.access == "w"
    for names in uses.values():
        if len(names) > 1 and any(is_written for _, is_written in names.values()):
            where = ", ".join(dict.fromkeys(config for config, _ in names.values()))
            yield found("shared-disk", where, f"{' and '.join(names)} are one: two writers destroy a file system")


def _images_there(site: Site, facts: Facts) -> Iterator[Finding]:
    """A file under an image's name that nobody says we have copied: it would be replaced."""
    paths = facts.first.paths
    for domain in site.domains:
        images = image_paths(domain, site.paths.images)
        for disk in domain.moved_disks:
            image = images[disk.vdev]
            if image == disk.target or image not in paths or f"{image}.manifest" in paths:
                continue
            itself = _is_one(paths[image], paths.get(disk.target))
            yield found(
                "image-there",
                f"{facts.first.name}:{image}",
                f"it exists, and is {domain.name}'s {disk.vdev} itself ({disk.target}), by another name"
                if itself
                else f"it exists already, and is the place of the image of {domain.name}'s {disk.vdev}",
                remedy=f"leave it there, and write {image} for {disk.target} in {domain.config}" if itself else "",
            )


def _is_one(one: PathFact, other: PathFact | None) -> bool:
    return other is not None and (one.kind, one.device, one.inode) == (other.kind, other.device, other.inode)


def _kernels(site: Site, facts: Facts) -> Iterator[Finding]:
    first = facts.first
    if not first.answers:
        return
    needed: dict[str, list[str]] = {}
    for domain in site.domains:
        for path in domain.server_files:
            needed.setdefault(path, []).append(domain.name)
    for path, names in needed.items():
        if path not in first.paths:
            yield found("missing-kernel", first.name, f"{path} is missing; needed by {', '.join(names)}")
            continue
        for server in facts.answering:
            if path in server.paths and _alike(path, server, first):
                continue
            if path in server.booted:
                said = f"its own boot files have the name {path}, and {first.name} has a different file there"
                yield found("kernel-booted", server.name, said, remedy=kernels.remedy(path, first.name))
                continue
            what = "is not the same file as on" if path in server.paths else "does not exist, but it does on"
            yield found(
                "kernel-differs",
                server.name,
                f"{path} {what} {first.name}; needed by {', '.join(names)}",
                severity=None if server.is_active("pacemaker.service") else "note",
            )


def _alike(path: str, *servers: ServerFacts) -> bool:
    return len({(server.paths[path].size, server.kernels.get(path)) for server in servers}) == 1


def _vif_scripts(site: Site, facts: Facts) -> Iterator[Finding]:
    """A script of the site's own is not copied: it may be meant to be another one on each server."""
    needed: dict[str, list[str]] = {}
    for domain in site.domains:
        for path in dict.fromkeys(vif.own_script for vif in domain.vifs if vif.own_script):
            needed.setdefault(path, []).append(domain.name)
    for path, names in needed.items():
        for server in facts.answering:
            if path not in server.paths:
                yield found(
                    "vif-script",
                    server.name,
                    f"{path} is missing, which sets up a network interface of {listed(names)}",
                )


def _running(site: Site, facts: Facts) -> Iterator[Finding]:
    alive: dict[str, list[str]] = {}
    broken = half_migrated(facts.answering)
    for server in facts.answering:
        for name, domain in server.running.items():
            if name.endswith((xl.INCOMING, xl.AWAY)):
                if (server.name, name) in broken:
                    yield found(
                        "half-migrated",
                        server.name,
                        f"{name} exists, and no migration of it is under way: one has failed",
                    )
            elif domain.is_alive:
                alive.setdefault(name, []).append(server.name)
            elif set(domain.state) & set("cd"):
                state = "has crashed" if "c" in domain.state else "is dying and does not go away"
                yield found("crashed", server.name, f"{name} {state}")
    for name, servers in alive.items():
        if len(servers) > 1:
            yield found("runs-twice", ", ".join(servers), f"{name} runs on {listed(servers)} at once")


def _saved(site: Site, facts: Facts) -> Iterator[Finding]:
    """Of one that runs the file is old: it was restored, or started anew."""
    running = {name for server in facts.answering for name in server.running}
    names = {domain.name for domain in site.domains} - running
    for server in facts.answering:
        for name, path in server.saved.items():
            if name in names:
                yield found("saved", server.name, f"{name} is saved in {path}", remedy=saved_domains.remedy(path))


def _hardware(site: Site, facts: Facts) -> Iterator[Finding]:
    for domain in site.domains:
        if domain.hardware:
            said = f"{domain.name} depends on the server that it is started on ({', '.join(domain.hardware)})"
            yield found("server-hardware", f"{facts.first.name}:{domain.config}", said)


def _maxmem(site: Site, facts: Facts) -> Iterator[Finding]:
    """xl takes it as it is (xl_parse.c), and so does libxl: it builds a PV domain with its memory, any other with maxmem
    (libxl_dom.c, libxl__build_dom)."""
    for domain in site.domains:
        if domain.maxmem_mib is not None and domain.maxmem_mib < domain.memory_mib:
            said = f"{domain.name} has memory = {domain.memory_mib} and maxmem = {domain.maxmem_mib}"
            kind = (
                "it starts" if domain.type != "pv" else "as PVH, which a PV domain becomes if its kernel can, it starts"
            )
            yield found(
                "maxmem-below-memory",
                f"{facts.first.name}:{domain.config}",
                f"{said}: {kind} with {domain.maxmem_mib} MiB",
            )


def _affinity(site: Site, facts: Facts) -> Iterator[Finding]:
    for server in facts.answering:
        count = server.xen.cpus if server.xen else 0 if server.under_xen else server.kernel_cpus
        for domain in site.domains:
            if count and (wrong := [cpus for cpus in domain.cpus if not can_run(cpus, count)]):
                said = f"{domain.name} is bound to CPUs that {server.name} does not have: cpus is {wrong[0]}, and it has {count}"
                yield found("cpus-missing", server.name, said, remedy=f"change cpus in {domain.config}")


def _poweroff(site: Site, facts: Facts) -> Iterator[Finding]:
    for domain in site.domains:
        if domain.on_poweroff not in _GONE:
            said = f"{domain.name} is not gone when it has shut down: on_poweroff is {show(domain.on_poweroff)}"
            yield found("on-poweroff", f"{facts.first.name}:{domain.config}", said)


def _migration(site: Site, facts: Facts) -> Iterator[Finding]:
    hypervisors = [server.xen for server in facts.answering if server.xen]
    if not hypervisors:
        return
    pv, pvh = (all(getattr(xen, name) for xen in hypervisors) for name in ("migrates_pv", "migrates_pvh"))
    for domain in site.domains:
        if domain.never_live:
            yield found("no-live-migration", domain.name, f"{domain.name}: {domain.never_live}")
            continue
        if pv if domain.type == "pv" else pvh:
            continue
        if domain.type == "pv" and pvh:
            message = f"{domain.name} is PV, which this Xen cannot migrate; it becomes PVH if its kernel can"
        else:
            message = f"{domain.name} is {domain.type.upper()}, which this Xen cannot migrate: no shadow or hap paging"
        yield found("no-live-migration", domain.name, message)


def room_mib(server: ServerFacts, dom0_mib: int) -> int:
    """Memory for domains: the hypervisor's total less dom0; where there is no Xen yet, less what dom0 will have."""
    return server.xen.total_memory - server.dom0_mib if server.xen else server.memory_mib - dom0_mib


def _memory(site: Site, facts: Facts) -> Iterator[Finding]:
    if len(facts.answering) < len(facts.servers) or len(facts.servers) < 2:
        return
    dom0 = max((server.dom0_mib for server in facts.servers), default=0)
    memory = {server.name: room_mib(server, dom0) for server in facts.servers}
    where = placement.spread(site.domains, list(memory), site.apart, memory=memory)
    for finding in placement.fits_after_loss(site.domains, where, memory):
        yield found(finding.code, finding.where, finding.message)


def _autostart(site: Site, facts: Facts) -> Iterator[Finding]:
    """Only where Pacemaker runs: before that the links are what starts the domains."""
    if not facts.has_cluster:
        return
    for server in facts.answering:
        for entry in server.autostart.entries:
            if name := autostart.name_of(entry, site.domains):
                yield found("autostart", server.name, f"{entry.path} starts {name} at boot")
