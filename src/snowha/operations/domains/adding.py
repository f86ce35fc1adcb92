"""``snow add domain``: a new domain from an image, a size, or a copy of another, and one of the site's at once.

Nothing that is there is overwritten. What is new is looked for over the whole site first, and again under the site's lock. The
domain stays off: its system may still have another one's name and address. A run that was interrupted is gone on with by the same
command: what it makes is noted on the first server until it is done.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from posixpath import join

from snowha.cluster import cib
from snowha.errors import InputError, SiteError
from snowha.hosts.files import absent, exists, make_dir, read_text, remove_file, stat, write_file
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext, read_config, read_domains_and_errors, read_snow_conf
from snowha.operations import domain_state, free_memory, moves
from snowha.operations.domains import addresses, disks, membership
from snowha.operations.domains.addresses import Addresses
from snowha.operations.domains.disks import NewDisk
from snowha.operations.domains.membership import Membership
from snowha.operations.domains.request import Request
from snowha.plan.step import Reporter, Step
from snowha.provision import pacemaker
from snowha.site import anti_affinity, domain_config, ha_edit, rules
from snowha.site import definition as copies
from snowha.site.disk_spec import unmovable
from snowha.site.image_names import SUFFIXES, check_images
from snowha.site.model import Disk, Domain
from snowha.site.names import listed
from snowha.site.new_config import derived, resized
from snowha.xen import server_program, xl

NOTES = "/var/lib/snow-ha/adding"
"""On the first server: a note of each domain that is being added."""


@dataclass(frozen=True)
class Addition:
    """A domain that is to be: its config, its disks, and what has to name it."""

    request: Request
    pattern: Domain
    domain: Domain
    text: str
    disks: tuple[NewDisk, ...]
    addresses: Addresses
    site: Membership

    @property
    def context(self) -> SiteContext:
        return self.site.before

    @property
    def note(self) -> str:
        """What is noted while it is being made: a run that has it goes on, any other begins anew."""
        return json.dumps({"request": asdict(self.request), "config": self.text}, indent=2) + "\n"


def plan(context: SiteContext, ha: HaToml, request: Request) -> Addition:
    """What would be made. Changes nothing. Raises InputError, SiteError for what forbids it."""
    site = context.site
    name = request.name
    path = site.domain(request.pattern or site.domains[0].name).config
    text, pattern = read_config(context.first, request.pattern or site.domains[0].name, path)
    found = addresses.of(context, request)
    in_cluster = membership.is_cluster(context)
    new = _disks(context, request, pattern, in_cluster=in_cluster)
    where = f"{context.first.name}:{path}"
    fixed = [disk for disk in pattern.disks if disk.is_cdrom] if request.copy_of else []
    text = derived(text, pattern, name, [*(one.disk for one in new), *fixed], found.vifs, where=where)
    text = resized(text, memory_mib=request.memory_mib, vcpus=request.vcpus, where=where)
    config = join(site.paths.domain_configs, f"{name}.cfg")
    domain = domain_config.parse(text, where=f"the config of {name}", path=config)
    body = copies.body(context.definition.text)
    pair = _partners(context, name, found)
    after = ha_edit.with_domain(body, name, pair, where=str(ha.path))
    groups = (*site.apart, pair) if pair else site.apart
    member = membership.change(ha, context, after, (*site.domains, domain), groups)
    addition = Addition(request, pattern, domain, text, new, found, member)
    member.refuse_unapplied()
    xl.check_reads(context.first, name, text, what=f"the planned {config}")
    refuse_taken(addition)
    return addition


def lines(addition: Addition) -> list[str]:
    """The plan for a person to read."""
    domain, context = addition.domain, addition.context
    sizes = f"{domain.memory_mib} MiB memory, {domain.vcpus} vCPU{'s' if domain.vcpus > 1 else ''}"
    text = [f"{domain.name}: {sizes}; all else like {addition.pattern.name}"]
    text += addresses.lines(domain.vifs)
    text += [
        f"{one.target}: {f'a copy of {one.source}' if one.source else 'empty'}, {-(-one.size >> 20)} MiB"
        for one in addition.disks
    ]
    partners = {one for group in addition.site.after.site.apart if domain.name in group for one in group} - {
        domain.name
    }
    if partners:
        text.append(f"kept on another server than {listed(sorted(partners))}")
    if addition.site.is_cluster:
        placement = moves.placement_state(
            context.hosts, {one.name: one for one in context.site.domains}, context.site.apart
        )
        free_memory.refuse_too_large(placement.capacity(), domain)
        text += free_memory.lines(placement, domain, pacemaker.planned(addition.site.after)[domain.name])
    else:
        free_memory.refuse_too_large(free_memory.of_single(context.first), domain)
    return text


def next_steps(addition: Addition) -> list[str]:
    """What is left for a person."""
    request, name = addition.request, addition.domain.name
    if request.size_mib is not None:
        return [f"{name} is off, and its disk is empty: install a system on it before `snow boot {name}`"]
    source = request.copy_of or request.image
    return [f"{name} is off. Its system has host name and address of {source}: change both before `snow boot {name}`"]


def steps(addition: Addition) -> list[Step]:
    """What makes it, one after the other."""
    name, context = addition.domain.name, addition.context
    found = [
        Step(
            id=f"add.disks.{name}",
            title=f"Make the disks of {name}",
            section="domains",
            check=partial(disks.missing, context.first, addition.disks),
            apply=partial(_make_disks, addition),
        ),
        Step(
            id=f"add.config.{name}",
            title=f"Write {addition.domain.config}",
            section="domains",
            check=partial(_config_missing, addition),
            apply=partial(_write_config, addition),
        ),
    ]
    if addition.addresses.files:
        found.append(
            Step(
                id=f"add.names.{name}",
                title="Keep its addresses in sNow!'s own files",
                section="domains",
                check=partial(_names_missing, addition),
                apply=partial(_write_names, addition),
            )
        )
    *first, last = [*found, *addition.site.steps("add", name)]
    return membership.in_order([*first, replace(last, apply=partial(_finish, addition, last))])


def refuse_changed(addition: Addition) -> None:
    """Once nobody else can change anything: raise SiteError if somebody has since the plan was made. sNow!'s own files change
    without the lock, too."""
    addition.site.refuse_changed()
    again = addresses.of(addition.context, addition.request).vifs
    if again != addition.addresses.vifs:
        said = "; ".join(addresses.lines(again))
        raise SiteError(
            f"the site has changed since the plan was made: its addresses by sNow!'s files are others: {said}",
            remedy="run this again: it shows the new plan",
        )


def refuse_taken(addition: Addition) -> None:
    """Raise InputError or SiteError for a name, path or address that is somebody's already. What an interrupted run of the same
    command has made is not."""
    context, domain = addition.context, addition.domain
    host, site = context.first, context.site
    resumed = read_text(host, _note_path(domain.name)) == addition.note
    found, left = read_domains_and_errors(host, site.paths.domain_configs)
    if left:
        raise SiteError(
            f"a config cannot be read, so the resources of its domain are unknown: {left[0].message}",
            where=left[0].where,
            remedy=left[0].remedy or "correct it, or move it out of the folder",
        )
    others = [one for one in found if not (resumed and one.config == domain.config)]
    cib.check_names(addition.site.after.site)
    every = [*others, domain]
    findings = [*rules.check_site(site, every), *check_images(every, site.paths.images)]
    rules.raise_on_stop(finding for finding in findings if domain.config in finding.where.split(", "))
    if not resumed:
        suffixes = [suffix for suffix in SUFFIXES if suffix != ".undone"]
        wanted = [domain.config]
        for one in addition.disks:
            wanted += [one.target] if disks.is_volume(one.target) else [f"{one.target}{suffix}" for suffix in suffixes]
        gone = absent(host, wanted)
        there = next((path for path in wanted if path not in gone), None)
        if there is not None:
            raise SiteError(
                f"{there} exists already, and nothing is overwritten",
                where=host.name,
                remedy="check what it belongs to; move it away, or choose another name",
            )
    addresses.refuse_used(context, domain.name, addition.addresses)
    if addition.request.copy_of:
        _refuse_unless_off(addition)
    gone = absent(host, [one.target for one in addition.disks])
    disks.check_room(host, [one for one in addition.disks if one.target in gone])


def _partners(context: SiteContext, name: str, found: Addresses) -> tuple[str, ...]:
    """The group that it is kept apart in, as `snow ha init` finds it; empty for none, and where ha.toml does not keep the others
    apart: somebody has decided so."""
    known = [domain.name for domain in context.site.domains]
    group = next((group for group in anti_affinity.pairs([*known, name], found.roles) if name in group), ())
    others = set(group) - {name}
    return group if len(others) == 1 or any(others <= set(one) for one in context.site.apart) else ()


def _disks(context: SiteContext, request: Request, pattern: Domain, *, in_cluster: bool) -> tuple[NewDisk, ...]:
    host, name = context.first, request.name
    if request.copy_of:
        for disk in pattern.moved_disks:
            if reason := unmovable(disk):
                raise SiteError(f"{pattern.name}'s {disk.vdev} {reason[0]}", where=pattern.config, remedy=reason[1])
        sources = [(disk, _called(disk, pattern.name, name), disk.target) for disk in pattern.moved_disks]
    else:
        vdev = pattern.root_vdev or next((disk.vdev for disk in pattern.moved_disks), "xvda2")
        sources = [(Disk("", "", vdev), f"{name}-disk", request.image)]
    if request.image:
        _refuse_used_image(context, request.image)
    counts = Counter(called for _, called, _ in sources)
    found = []
    for disk, called, source in sources:
        unique = called if counts[called] == 1 else f"{called}-{disk.vdev}"
        size = disks.size_of(host, source) if source else (request.size_mib or 0) << 20
        found.append(NewDisk(_placed(context, name, disk, unique, in_cluster=in_cluster), source, size))
    empty = next((one for one in found if not one.size), None)
    if empty is not None:
        raise InputError("it is empty", where=empty.source, remedy="give an image that is not empty, or a size: --size")
    return tuple(found)


def _called(disk: Disk, source: str, name: str) -> str:
    """``new01-swap`` of ``deploy01-swap``."""
    return name + disk.name[len(source) :] if disk.name.startswith(f"{source}-") else f"{name}-{disk.vdev}"


def _placed(context: SiteContext, name: str, disk: Disk, called: str, *, in_cluster: bool) -> Disk:
    """The same disk as an image of the site, or as a volume where there is no cluster yet. Raises SiteError."""
    if in_cluster:
        return replace(server_program.with_script(disk, join(context.site.paths.images, name, called)), spec="")
    host, path = context.first, context.site.paths.snow_conf
    destination = read_snow_conf(host, path).image_destination()
    if destination.kind != "lvm":
        raise SiteError(
            f"before `snow ha apply` a domain is added to a volume group, but IMG_DST is {destination.kind}=",
            where=f"{host.name}:{path}",
            remedy="finish the migration first: snow ha apply",
        )
    target = f"/dev/{destination.value}/{called}"
    return replace(disk, spec=f"phy:{target},{disk.vdev},{disk.access}", target=target, backend="phy", script=None)


def _refuse_used_image(context: SiteContext, image: str) -> None:
    """Raise SiteError for an image that a domain has, or that is not raw."""
    for domain in read_domains_and_errors(context.first, context.site.paths.domain_configs)[0]:
        if any(rules.image_key(disk.target) == rules.image_key(image) for disk in domain.disks if disk.target):
            raise SiteError(
                f"{image} is a disk of {domain.name}", remedy=f"use --copy-of {domain.name} while that domain is off"
            )
    disks.size_of(context.first, image)
    disks.refuse_other_formats(context.first, image)


def _refuse_unless_off(addition: Addition) -> None:
    servers = domain_state.Servers(addition.context.hosts, lambda domain: None)
    state = domain_state.state_of(servers, addition.pattern.name)
    reason = None if state.is_off else state.where
    reason = reason or domain_state.image_in_use(servers, state, addition.pattern)
    if reason:
        raise SiteError(
            f"{addition.pattern.name} cannot be copied: {reason}",
            remedy=f"snow shutdown {addition.pattern.name}; boot it again when the copy is complete",
        )


def _make_disks(addition: Addition, reporter: Reporter) -> None:
    host = addition.context.first
    refuse_taken(addition)
    make_dir(host, NOTES, mode=0o700)
    write_file(host, _note_path(addition.domain.name), addition.note, keep=False)
    disks.make(host, addition.disks, reporter)


def _config_missing(addition: Addition) -> str | None:
    text = read_text(addition.context.first, addition.domain.config)
    return None if text == addition.text else "it is not there"


def _write_config(addition: Addition, reporter: Reporter) -> None:
    host, path = addition.context.first, addition.domain.config
    if exists(host, path):
        raise SiteError(
            f"{path} was created meanwhile",
            where=host.name,
            remedy="check what it belongs to, and move it away; then run this again",
        )
    facts = stat(host, addition.pattern.config)
    mode, owner = (facts.mode, f"{facts.owner}:{facts.group}") if facts else (0o644, "root:root")
    write_file(host, path, addition.text, mode=mode, owner=owner)
    reporter.fact("config", path)


def _names_missing(addition: Addition) -> str | None:
    """Looked at by its entries, not by the whole text: sNow! or an administrator may add others."""
    again = addresses.of(addition.context, addition.request)
    return f"{again.files[0].path} does not have it" if again.files else None


def _write_names(addition: Addition, reporter: Reporter) -> None:
    again = addresses.of(addition.context, addition.request)
    if again.vifs != addition.addresses.vifs:
        raise SiteError(
            "sNow!'s files were changed meanwhile: its number has changed",
            remedy=f"take back what was made: snow remove domain {addition.domain.name} --images; then run this again",
        )
    for change in again.files:
        reporter.say(f"writing {change.path}")
        write_file(addition.context.first, change.path, change.text)


def _finish(addition: Addition, last: Step, reporter: Reporter) -> None:
    last.apply(reporter)
    forget(addition.context, addition.domain.name)


def forget(context: SiteContext, name: str) -> None:
    """Nothing is being made of it any more."""
    remove_file(context.first, _note_path(name), keep=False)


def _note_path(name: str) -> str:
    return f"{NOTES}/{name}.json"
