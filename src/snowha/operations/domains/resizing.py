"""``snow resize domain``: memory and vCPUs from its next start on, a disk at once. A disk only grows, while the domain is off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from posixpath import dirname

from snowha.errors import InputError, SiteError
from snowha.hosts.files import write_file
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext, read_config
from snowha.operations import domain_state, free_memory, moves, power
from snowha.operations.domains import disks, membership
from snowha.operations.domains.membership import Membership
from snowha.plan.step import Reporter, Step
from snowha.provision import pacemaker
from snowha.site import definition as copies
from snowha.site import domain_config
from snowha.site.disk_spec import unmovable
from snowha.site.model import Disk, Domain
from snowha.site.names import show
from snowha.site.new_config import resized
from snowha.xen import xl


@dataclass(frozen=True)
class SizeRequest:
    """None: stays as it is. ``vdev``: of the disk that grows; empty for the one with the root file system."""

    memory_mib: int | None = None
    vcpus: int | None = None
    disk_mib: int | None = None
    vdev: str = ""


@dataclass(frozen=True)
class Resize:
    """``old`` and ``text``: the config as it is, and as it is to be. ``disk`` grows to ``size`` bytes; None if none does."""

    before: Domain
    domain: Domain
    old: str
    text: str
    disk: Disk | None
    size: int
    site: Membership

    @property
    def context(self) -> SiteContext:
        return self.site.before


def plan(context: SiteContext, ha: HaToml, name: str, request: SizeRequest) -> Resize:
    """What would change. Changes nothing. Raises InputError, SiteError for what forbids it."""
    before = context.site.domain(name)
    where = f"{context.first.name}:{before.config}"
    old, before = read_config(context.first, name, before.config)
    text = resized(old, memory_mib=request.memory_mib, vcpus=request.vcpus, where=where)
    domain = domain_config.parse(text, where=where, path=before.config)
    disk, size = (_disk(before, request.vdev), request.disk_mib << 20) if request.disk_mib is not None else (None, 0)
    domains = [domain if one.name == name else one for one in context.site.domains]
    member = membership.change(ha, context, copies.body(context.definition.text), domains, context.site.apart)
    found = Resize(before, domain, old, text, disk, size, member)
    member.refuse_unapplied()
    xl.check_reads(context.first, name, text, what=f"the planned {before.config}")
    if disk is not None:
        _refuse_disk(found, disk)
    return found


def lines(found: Resize) -> list[str]:
    """The plan for a person to read."""
    before, domain, context = found.before, found.domain, found.context
    text = []
    if domain.memory_mib != before.memory_mib:
        text.append(f"memory: {before.memory_mib} MiB now, {domain.memory_mib} MiB from its next start on")
    if domain.vcpus != before.vcpus:
        text.append(f"vCPUs: {before.vcpus} now, {domain.vcpus} from its next start on")
    if found.disk is not None:
        size = disks.size_of(context.first, found.disk.target)
        text.append(f"{found.disk.vdev}, {found.disk.target}: {size >> 20} MiB now, {found.size >> 20} MiB then")
    if domain.memory_mib == before.memory_mib:
        return text or ["nothing to change"]
    if found.site.is_cluster:
        placement = moves.placement_state(
            context.hosts, {one.name: one for one in context.site.domains}, context.site.apart
        )
        free_memory.refuse_too_large(placement.capacity(), domain)
        text += free_memory.lines(placement, domain, pacemaker.planned(found.site.after)[domain.name])
    else:
        free_memory.refuse_too_large(free_memory.of_single(context.first), domain)
    return text


def next_steps(found: Resize) -> list[str]:
    """What is left for a person."""
    text, name = [], found.domain.name
    if found.domain != found.before:
        text.append(f"the new size takes effect at the next start: snow shutdown {name}, then snow boot {name}")
    if found.disk is not None:
        device = f"/dev/{found.disk.vdev}"
        text.append(
            f"the file system on {device} keeps its old size: after `snow boot {name}`, in the domain: resize2fs {device} "
            "(ext), or xfs_growfs on where it is mounted (XFS)"
        )
    return text


def steps(found: Resize) -> list[Step]:
    """What makes it so, one after the other."""
    name = found.domain.name
    result = []
    if found.disk is not None:
        result.append(
            Step(
                id=f"resize.disk.{name}",
                title=f"Enlarge {found.disk.target}",
                section="domains",
                check=partial(_too_small, found, found.disk),
                apply=partial(_grow, found, found.disk),
            )
        )
    if found.domain != found.before:
        result.append(
            Step(
                id=f"resize.config.{name}",
                title=f"Write {found.domain.config}",
                section="domains",
                check=partial(_config_differs, found),
                apply=partial(_write_config, found),
            )
        )
        if found.site.is_cluster:
            result.append(found.site.cib_step("resize", name))
    return membership.in_order(result)


def _disk(domain: Domain, vdev: str) -> Disk:
    grows = [disk for disk in domain.moved_disks if disk.access != "r"]
    wanted = vdev or domain.root_vdev or (grows[0].vdev if len(grows) == 1 else "")
    disk = next((one for one in grows if one.vdev == wanted), None)
    if disk is None:
        what = f"{domain.name} has no writable disk {show(wanted)}" if wanted else f"{domain.name} has several disks"
        raise InputError(what, where=domain.config, remedy=f"give one: --vdev {'|'.join(one.vdev for one in grows)}")
    if reason := unmovable(disk):
        raise SiteError(f"{domain.name}'s {disk.vdev} {reason[0]}", where=domain.config, remedy=reason[1])
    return disk


def _refuse_disk(found: Resize, disk: Disk) -> None:
    """Raise SiteError for a disk that would shrink, has no room, or may be in use."""
    host, name = found.context.first, found.domain.name
    size = disks.size_of(host, disk.target)
    if found.size < size:
        raise SiteError(
            f"{disk.target} has {size >> 20} MiB, and a disk cannot be made smaller: its content would be lost",
            where=host.name,
            remedy=f"add a smaller domain (snow add domain), and copy the files of {name} to it",
        )
    servers = domain_state.Servers(found.context.hosts, lambda domain: None)
    reason = power.not_off(servers, found.before)
    if reason:
        raise SiteError(
            f"the disk of {name} can be enlarged only while the domain is off: {reason}",
            remedy=f"snow shutdown {name}, then run this again",
        )
    place = dirname(disk.target)
    disks.refuse_no_room(host, place, found.size - size)


def _too_small(found: Resize, disk: Disk) -> str | None:
    size = disks.size_of(found.context.first, disk.target)
    return f"it has {size >> 20} MiB" if size < found.size else None


def _grow(found: Resize, disk: Disk, reporter: Reporter) -> None:
    _refuse_disk(found, disk)
    disks.grow(found.context.first, disk.target, found.size, reporter)
    reporter.fact(disk.target, found.size)


def _config_differs(found: Resize) -> str | None:
    text, _ = read_config(found.context.first, found.domain.name, found.domain.config)
    return None if text == found.text else "it has the old size"


def _write_config(found: Resize, reporter: Reporter) -> None:
    host, domain = found.context.first, found.domain
    now, _ = read_config(host, domain.name, domain.config)
    if now != found.old:
        raise SiteError(f"{domain.config} was changed meanwhile", where=host.name, remedy="run this again")
    write_file(host, domain.config, found.text)
    reporter.fact("memory_mib", domain.memory_mib)
    reporter.fact("vcpus", domain.vcpus)
