"""``snow remove domain``: a domain that is off leaves the site. Its images stay, unless they are to go as well.

sNow!'s own two files keep its entry, as with sNow!'s own command: without the line, the addresses of all domains behind it would
be others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from posixpath import dirname, join

from snowha.errors import SiteError
from snowha.hosts.files import absent, exists, remove_file
from snowha.live import autostart, left_down
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext, read_domains_and_errors
from snowha.operations import domain_state, power
from snowha.operations.domains import adding, disks, membership
from snowha.operations.domains.membership import Membership
from snowha.plan.step import Reporter, Step
from snowha.site import definition as copies
from snowha.site import ha_edit
from snowha.site.model import Domain
from snowha.site.rules import image_key


@dataclass(frozen=True)
class Removal:
    """``images``: what is removed with it. ``kept``: disks that stay."""

    domain: Domain
    images: tuple[str, ...]
    kept: tuple[str, ...]
    site: Membership

    @property
    def context(self) -> SiteContext:
        return self.site.before


def plan(context: SiteContext, ha: HaToml, domain: Domain, *, with_images: bool) -> Removal:
    """What would go. Changes nothing. Raises SiteError for what forbids it."""
    site, name = context.site, domain.name
    body = copies.body(context.definition.text)
    after = ha_edit.without_domain(body, name, where=str(ha.path)) if name in ha.content.domains else body
    groups = (tuple(one for one in group if one != name) for group in site.apart)
    apart = tuple(group for group in groups if len(group) > 1)
    left = [one for one in site.domains if one.name != name]
    member = membership.change(ha, context, after, left, apart)
    there = [disk.target for disk in domain.moved_disks]
    ours = [target for target in there if _is_its_own(context, domain, target, in_cluster=member.is_cluster)]
    images = tuple(ours) if with_images else ()
    removal = Removal(domain, images, tuple(target for target in there if target not in images), member)
    member.refuse_unapplied()
    _refuse_unless_off(removal)
    if images:
        _named_by_others(removal)
    return removal


def lines(removal: Removal) -> list[str]:
    """The plan for a person to read."""
    text = [f"{removal.domain.name} leaves the site; its config is kept under /var/lib/snow-ha/kept"]
    text += [f"removed for good: {image}" for image in removal.images]
    text += [f"stays: {image}" for image in removal.kept]
    return text


def steps(removal: Removal) -> list[Step]:
    """What takes it out, one after the other. Its config goes last: until then the same command knows what there is to do."""
    name = removal.domain.name
    first, *others = [
        Step(
            id=f"remove.autostart.{name}",
            title=f"Do not start {name} at boot",
            section="domains",
            check=partial(autostart.missing, _alone(removal)),
            apply=partial(_remove_autostart, removal),
        ),
        *removal.site.steps("remove", name),
        Step(
            id=f"remove.config.{name}",
            title=f"Remove {removal.domain.config}",
            section="domains",
            check=partial(_config_left, removal),
            apply=partial(_remove_config, removal),
        ),
    ]
    images = Step(
        id=f"remove.images.{name}",
        title=f"Remove the images of {name}",
        section="domains",
        check=partial(_images_left, removal),
        apply=partial(_remove_images, removal),
    )
    at = 1 if removal.site.is_cluster else 0
    found = [first, *others[:at], *([images] if removal.images else []), *others[at:]]
    return membership.in_order([replace(step, apply=partial(_guarded, removal, step)) for step in found])


def _guarded(removal: Removal, step: Step, reporter: Reporter) -> None:
    """Somebody may have started it meanwhile, with sNow!'s own command or by hand."""
    _refuse_unless_off(removal)
    step.apply(reporter)


def _refuse_unless_off(removal: Removal) -> None:
    servers = domain_state.Servers(removal.context.hosts, lambda domain: None)
    reason = power.not_off(servers, removal.domain)
    if reason:
        name = removal.domain.name
        raise SiteError(f"{name} is not removed: {reason}", remedy=f"snow shutdown {name}, then run this again")


def _is_its_own(context: SiteContext, domain: Domain, target: str, *, in_cluster: bool) -> bool:
    """What another domain, or the administrator, may use is not: an image outside its folder."""
    if disks.is_volume(target):
        return not in_cluster
    return dirname(target) == join(context.site.paths.images, domain.name)


def _named_by_others(removal: Removal) -> list[str]:
    """The disks of all other domains. Raises SiteError if one of them is to go, or where that cannot be said."""
    context = removal.context
    found, left = read_domains_and_errors(context.first, context.site.paths.domain_configs)
    if left:
        raise SiteError(
            f"a config cannot be read, so the images of its domain are unknown: {left[0].message}",
            where=left[0].where,
            remedy=left[0].remedy or "correct it, or move it out of the folder",
        )
    others = [
        (one.name, disk.target) for one in found if one.name != removal.domain.name for disk in one.disks if disk.target
    ]
    mine = {image_key(image) for image in removal.images}
    shared = next(((name, target) for name, target in others if image_key(target) in mine), None)
    if shared is not None:
        raise SiteError(f"{shared[1]} is also a disk of {shared[0]}", remedy="remove --images")
    return [target for _, target in others]


def _alone(removal: Removal) -> SiteContext:
    context = removal.context
    return replace(context, site=replace(context.site, domains=(removal.domain,)))


def _remove_autostart(removal: Removal, reporter: Reporter) -> None:
    alone = _alone(removal)
    for server, paths in alone.on_all(lambda host: autostart.remove(host, alone)).items():
        for path in paths:
            reporter.say(f"{server}: removed {path}")


def _images_left(removal: Removal) -> str | None:
    gone = absent(removal.context.first, removal.images)
    return next((f"{image} exists" for image in removal.images if image not in gone), None)


def _remove_images(removal: Removal, reporter: Reporter) -> None:
    named = _named_by_others(removal)
    for image in removal.images:
        disks.remove(removal.context.first, image, named, reporter)
        reporter.fact(image, "removed")


def _config_left(removal: Removal) -> str | None:
    return "it still exists" if exists(removal.context.first, removal.domain.config) else None


def _remove_config(removal: Removal, reporter: Reporter) -> None:
    host = removal.context.first
    adding.forget(removal.context, removal.domain.name)
    left_down.forget(host, removal.domain.name)
    remove_file(host, removal.domain.config)
    reporter.fact("config", "removed, and kept")
