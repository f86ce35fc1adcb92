"""Whether an image can be brought back into what it was copied from: checked before anything is taken apart for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from snowha.errors import SiteError
from snowha.hosts.files import FileFacts, stat
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.provision.packages import CONVERTER
from snowha.site.disk_spec import CONVERTED
from snowha.site.model import Disk
from snowha.site.names import listed
from snowha.site.rules import image_key

Pairs = Sequence[tuple[str, str]]
"""Image, and the volume or file that it belongs into."""


def check(host: Host, name: str, pairs: Pairs) -> None:
    """Raise SiteError for an image of ``name`` that is not there, or does not fit into what it belongs into."""
    check_shared(host.name, {name: pairs})
    needed: dict[str, int] = {}
    for image, source in pairs:
        facts = stat(host, image)
        if facts is None:
            raise SiteError(
                f"the image {image} of {name} does not exist",
                where=host.name,
                remedy="check whether its storage is mounted; otherwise restore the config that names the volumes by hand",
            )
        size = _size(host, image, facts)
        there = stat(host, source)
        if there is None and source.startswith("/dev/"):
            raise SiteError(
                f"the volume {source} does not exist",
                where=host.name,
                remedy="make it available: vgchange -ay",
            )
        if there is not None and there.kind == "block special file":
            _check_fits(host, image, size, source, _size(host, source, there))
        elif there is not None and not there.kind.startswith("regular"):
            raise SiteError(
                f"{source} is a {there.kind}, and {name} ran from it as a disk",
                where=host.name,
                remedy="find out what happened to it: the image is copied into it",
            )
        else:
            folder = str(PurePosixPath(source).parent)
            needed[folder] = needed.get(folder, 0) + (size or 0)
    for folder, size in needed.items():
        _check_room(host, name, folder, size)


# Without it the domain would be down, and no image brought back.
_CONVERTER = read_only_script("command -v qemu-img > /dev/null")


def check_converter(host: Host, name: str, disks: Iterable[Disk]) -> None:
    """Raise SiteError if one of the ``disks`` that images of ``name`` belong into is made by a program that is not there."""
    kinds = sorted({disk.format for disk in disks} & CONVERTED)
    if kinds and not host.run(["sh", "-c", _CONVERTER], check=False).ok:
        raise SiteError(
            f"{name} ran from a disk in the format {kinds[0]}, and qemu-img, which converts its image back, is not installed",
            where=host.name,
            remedy=f"apt-get install --no-install-recommends {CONVERTER}",
        )


def check_shared(where: str, pairs: Mapping[str, Pairs]) -> None:
    """Raise SiteError for a volume that two images belong into, and for an image of two disks: one would be written over the
    other."""
    for number, what in ((0, "is the image of"), (1, "would be written for")):
        seen: dict[str, str] = {}
        for name, mine in pairs.items():
            for pair in mine:
                key = image_key(pair[number])
                if key in seen:
                    raise SiteError(
                        f"{pair[number]} {what} two disks (of {listed(dict.fromkeys((seen[key], name)))})",
                        where=where,
                        remedy="one would be written over the other: look in the manifests beside the images which is which, "
                        "and correct the domains' configs",
                    )
                seen[key] = name


def _size(host: Host, path: str, facts: FileFacts) -> int | None:
    """Bytes; None if a device does not say."""
    if facts.kind != "block special file":
        return facts.size
    done = host.run(["blockdev", "--getsize64", path], check=False, timeout=60)
    return int(done.stdout) if done.ok else None


def _check_fits(host: Host, image: str, size: int | None, volume: str, room: int | None) -> None:
    if size is not None and room is not None and size > room:
        raise SiteError(
            f"the image {image} has {size} bytes, and {volume} only {room}: it was enlarged since",
            where=host.name,
            remedy=f"enlarge the volume first: lvextend --size {size}b {volume}",
        )


def _check_room(host: Host, name: str, folder: str, size: int) -> None:
    """A file is written beside the old one, which stays until the new one is verified."""
    done = host.run(["stat", "-f", "-c", "%a %S", folder], check=False, timeout=60)
    if not done.ok:
        raise SiteError(
            f"the folder {folder} does not exist, and {name} ran from a file in it",
            where=host.name,
            remedy="mount or create it: the image is copied into it",
        )
    blocks, unit = map(int, done.stdout.split())
    if blocks * unit < size:
        raise SiteError(
            f"{blocks * unit >> 20} MiB are free in {folder}, and the images of {name} that belong there need "
            f"{-(-size >> 20)} MiB",
            where=host.name,
            remedy="free some space there: the old files stay until the new ones are verified",
        )
