"""What each image of a domain is called, and every other name that is made of it: none may be anybody else's.

An image is called as its volume is (guide, section "Domain Images Migration"). Where that would give two of them one name, in
any case of letters, the device in the domain is added. What cannot be told apart so is a finding, before anything is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import basename, dirname, join

from snowha.site.disk_spec import CONVERTED
from snowha.site.model import Disk, Domain
from snowha.site.rules import Finding, image_key

SUFFIXES = ("", ".partial", ".manifest", ".manifest.new", ".journal", ".journal.new", ".lease", ".undone")
"""What stands beside an image, or in its place, at one time or another (images/manifest.py, xen/server/20-lease-record.pl,
migration/undo/images.py)."""
_NAME_MAX = 255
"""Bytes, of a file's name (limits.h)."""


def image_paths(domain: Domain, images: str) -> dict[str, str]:
    """Where the image of each disk that is moved belongs, by vdev; ``images`` is the site's folder of images.

    A disk that is in the domain's folder already is its own image, unless it is to be converted. The rest follows from the config
    alone: each run, and the way back, come to the same names.
    """
    folder = join(images, domain.name)
    found: dict[str, str] = {}
    wanted: list[tuple[Disk, str]] = []
    for disk in domain.moved_disks:
        if dirname(image_key(disk.target)) == image_key(folder) and disk.format not in CONVERTED:
            found[disk.vdev] = disk.target
        else:
            wanted.append((disk, _base(disk)))
    counts = Counter(name for path in found.values() for name in _folded(path))
    counts.update(name for _, base in wanted for name in _folded(join(folder, base)))
    for disk, base in wanted:
        path = join(folder, base)
        if any(counts[name] > 1 for name in _folded(path)):
            path = f"{path}-{disk.vdev}"
        found[disk.vdev] = path
    return {disk.vdev: found[disk.vdev] for disk in domain.moved_disks}


def _base(disk: Disk) -> str:
    """What is converted has another name than what it was converted from: ``web.qcow2`` becomes ``web.raw``."""
    return f"{disk.name.removesuffix(f'.{disk.format}')}.raw" if disk.format in CONVERTED else disk.name


@dataclass(frozen=True)
class _Claim:
    """A disk that needs a name: for its image and what stands beside that, or because it is called so itself."""

    disk: str
    domain: Domain
    is_image: bool


def check_images(domains: Iterable[Domain], images: str) -> tuple[Finding, ...]:
    """Names of images that are another image's, or a disk's that somebody uses, over all domains of a site; and those that leave
    no room for what stands beside an image."""
    domains = tuple(domains)
    claims: dict[str, dict[str, _Claim]] = {}
    for name, claim in _claims(domains, images):
        users = claims.setdefault(name, {})
        # of one disk in two configs it is said elsewhere that it is shared
        if claim.disk not in users or claim.is_image:
            users[claim.disk] = claim
    found = {
        frozenset(users): tuple(users.values())
        for users in claims.values()
        if len(users) > 1 and any(claim.is_image for claim in users.values())
    }
    return (*map(_finding, found.values()), *_too_long(domains, images))


def _too_long(domains: Iterable[Domain], images: str) -> Iterator[Finding]:
    for domain in domains:
        for path in image_paths(domain, images).values():
            if len(basename(path)) + max(map(len, SUFFIXES)) > _NAME_MAX:
                yield Finding(
                    code="image-name",
                    severity="stop",
                    where=domain.config,
                    message=f"the name of the image {path} is so long that no file system takes what stands beside it",
                    remedy="give the file behind the disk a shorter name, and correct the config that names it",
                )


def _finding(users: tuple[_Claim, ...]) -> Finding:
    named = [f"{claim.disk} of {claim.domain.name}" for claim in users]
    return Finding(
        code="image-name",
        severity="stop",
        where=", ".join(dict.fromkeys(claim.domain.config for claim in users)),
        message=f"the images of {' and '.join(named)} would have the same name, or overwrite each other",
        remedy="rename one of the volumes (lvrename) or files, and correct the config that names it",
    )


def _claims(domains: Iterable[Domain], images: str) -> Iterator[tuple[str, _Claim]]:
    for domain in domains:
        paths = image_paths(domain, images)
        folder = image_key(join(images, domain.name))
        if any(dirname(image_key(path)) == folder for path in paths.values()):
            yield folder.casefold(), _Claim("all disks", domain, True)  # their folder
        for disk in domain.disks:
            if disk.target:
                thing = image_key(disk.target)
                yield thing.casefold(), _Claim(thing, domain, False)
                for name in _folded(paths[disk.vdev]) if disk.vdev in paths else ():
                    yield name, _Claim(thing, domain, True)


def _folded(path: str) -> list[str]:
    return [f"{image_key(path)}{suffix}".casefold() for suffix in SUFFIXES]
