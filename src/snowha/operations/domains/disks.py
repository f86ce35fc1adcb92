"""The disks of a domain that is added, enlarged or removed: images on the shared storage, written with their leases, or logical
volumes of a single server. Sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import dirname

from snowha.disks import engine_driver, snapshots
from snowha.errors import SiteError
from snowha.hosts.files import absent, make_dir, remove_file, stat
from snowha.hosts.host import Host
from snowha.live.first_bytes import first_bytes
from snowha.plan.step import Reporter
from snowha.site.model import Disk
from snowha.xen import leases, server_program

_HOURS = 6 * 3600.0
_NEW = "snow-ha-new-"
"""How a volume is called until it is whole."""

_ALLOCATE = """\
export LC_ALL=C
allocate() {
    said=$(fallocate --offset "$2" --length "$(($3 - $2))" -- "$1" 2>&1) && return
    case $said in *'not supported'*) truncate --size "$3" -- "$1" ;; *) printf '%s\n' "$said" >&2; return 1 ;; esac
}
"""
# Parameters: image, size. What is there stays. Under another name until it is whole.
EMPTY = f"""\
{_ALLOCATE}set -eu; umask 077
[ ! -e "$1" ] || exit 0
new=$1.partial
rm -f -- "$new"
trap 'rm -f -- "$new"' EXIT
set -C
: > "$new"
set +C
allocate "$new" 0 "$2"
sync -- "$new"
mv -n -T -- "$new" "$1"
sync -- "${{1%/*}}"
"""
# Parameters: image, size, snow-lease. The lease is this process's, which has the image open, so no server attaches it meanwhile.
GROW = f"""\
{_ALLOCATE}set -u
exec 9<> "$1" || exit 1
"$3" take "$1" --fd 9 || exit 1
trap '"$3" give "$1"' EXIT
old=$(stat -c %s -- "$1")
[ "$old" -lt "$2" ] || exit 0
allocate "$1" "$old" "$2" || {{ truncate --size "$old" -- "$1"; exit 1; }}
sync -- "$1"
"""
_NOT_RAW = {
    "514649fb": "qcow2",
    "51454400": "qed",
    "4b444d56": "vmdk",
    "7668647866696c65": "vhdx",
    "636f6e6563746978": "vhd",
    "1f8b": "compressed (gzip)",
    "425a68": "compressed (bzip2)",
    "fd377a58": "compressed (xz)",
    "28b52ffd": "compressed (zstd)",
}
"""First bytes of files that hold something else than what a domain is to see."""


@dataclass(frozen=True)
class NewDisk:
    """``source``: what it is a copy of; empty for one that reads as zeros."""

    disk: Disk
    source: str
    size: int

    @property
    def target(self) -> str:
        return self.disk.target


def is_volume(target: str) -> bool:
    return target.startswith("/dev/")


def size_of(host: Host, path: str) -> int:
    """Of a file or device. Raises SiteError if it is not there, or neither."""
    facts = stat(host, path)
    if facts is None:
        raise SiteError(
            "there is no such file or volume", where=f"{host.name}:{path}", remedy="give an existing file or volume"
        )
    if facts.kind == "block special file":
        return int(host.run(["blockdev", "--getsize64", path]).stdout)
    if not facts.kind.startswith("regular"):
        raise SiteError(f"it is a {facts.kind}", where=f"{host.name}:{path}", remedy="give a raw image or a volume")
    return facts.size


def refuse_other_formats(host: Host, path: str) -> None:
    """Raise SiteError for a file that is no raw image: the domain would see its wrapping. Also for one that cannot be read."""
    first = first_bytes(host, path)
    if not first:
        raise SiteError(
            "it is empty, or cannot be read",
            where=f"{host.name}:{path}",
            remedy=f"try on that server: dd if={path} of=/dev/null bs=4096 count=1 iflag=direct",
        )
    kind = next((kind for magic, kind in _NOT_RAW.items() if first.startswith(magic)), "")
    if kind:
        raise SiteError(
            f"it is {kind}, not a raw image",
            where=f"{host.name}:{path}",
            remedy="unpack or convert it first: qemu-img convert -O raw FILE NEW",
        )


def check_room(host: Host, disks: Sequence[NewDisk]) -> None:
    """Raise SiteError unless there is room for all of ``disks``, which are of one kind, and not there yet."""
    needed = sum(one.size for one in disks)
    if not disks:
        return
    place = dirname(disks[0].target) if is_volume(disks[0].target) else dirname(dirname(disks[0].target))
    refuse_no_room(host, place, needed)


def refuse_no_room(host: Host, place: str, needed: int) -> None:
    """The same of ``needed`` bytes in a folder, or in a volume group (``/dev/GROUP``)."""
    if is_volume(place):
        free = snapshots.free_bytes(host, place.removeprefix("/dev/"))
    else:
        free = int(host.run(["df", "--block-size=1", "--output=avail", place]).stdout.split()[-1])
    if needed > free:
        raise SiteError(
            f"{_mib(needed)} MiB are needed, {free >> 20} MiB are free",
            where=f"{host.name}:{place}",
            remedy="free some space there",
        )


def missing(host: Host, disks: Sequence[NewDisk]) -> str | None:
    """The first that is not there, or an image without the record of its lease."""
    targets = [one.target for one in disks]
    gone = absent(host, targets)
    if gone:
        return f"{gone[0]} does not exist"
    images = [target for target in targets if not is_volume(target)]
    answer = leases.ask(host, images) if images else None
    if images and answer is None:
        return f"{server_program.PATH} is not there"
    bare = [lease.image for lease in answer.records if lease.state == "none"] if answer else []
    if bare:
        return f"{bare[0]} has no lease record"
    kept = [_manifest(one) for one in disks if one.source and not is_volume(one.target)]
    gone = absent(host, kept)
    left = [path for path in kept if path not in gone]
    return f"{left[0]} names its source as the volume of this domain" if left else None


def make(host: Host, disks: Sequence[NewDisk], reporter: Reporter) -> None:
    """Make those that are not there. One that is there is left alone. Raises CommandError."""
    if any(one.source or not is_volume(one.target) for one in disks):
        engine_driver.install(host)
    gone = absent(host, [one.target for one in disks])
    for one in disks:
        what = f"copying {one.source} to {one.target}" if one.source else f"making {one.target}, {_mib(one.size)} MiB"
        reporter.say(what)
        if is_volume(one.target):
            if one.target in gone:
                _make_volume(host, one, reporter)
            continue
        make_dir(host, dirname(one.target), mode=0o700)
        if one.source and one.target in gone:
            event = engine_driver.run(host, ["copy", one.source, one.target], reporter=reporter)
            reporter.fact(one.target, engine_driver.facts(event))
        elif one.target in gone:
            host.run(["sh", "-c", EMPTY, "sh", one.target, str(one.size)], timeout=_HOURS)
        if one.source:
            remove_file(
                host, _manifest(one), keep=False
            )  # its source would be taken for the old volume, and be discarded
        else:
            answer = leases.ask(host, [one.target])
            if answer and answer.records and answer.records[0].state == "none":
                host.run([server_program.PATH, "new", one.target])


def grow(host: Host, target: str, size: int, reporter: Reporter) -> None:
    """Make an image or volume larger, to ``size`` bytes. What is in it stays. Raises CommandError."""
    reporter.say(f"enlarging {target} to {_mib(size)} MiB")
    if is_volume(target):
        host.run(["lvextend", "--yes", "--size", f"{size}b", target], timeout=600)
    else:
        host.run(["sh", "-c", GROW, "sh", target, str(size), server_program.PATH], timeout=_HOURS)


def remove(host: Host, target: str, named: Sequence[str], reporter: Reporter) -> None:
    """Remove an image with what stands beside it, or a volume. ``named``: disks of other domains.

    An image's record goes first, which is refused while somebody has it: without one no server attaches it. Raises CommandError,
    SiteError.
    """
    reporter.say(f"removing {target}")
    if is_volume(target):
        there = snapshots.volumes(host)
        volume = snapshots.volume_of(there, target)
        if volume is not None:
            snapshots.refuse_in_use(host, volume, there, named)
            host.run(["lvremove", "--yes", volume.full_name], timeout=300)
        return
    host.run([server_program.PATH, "forget", target])
    beside = ("", ".partial", ".manifest", ".manifest.new", ".journal", ".journal.new")
    host.run(["rm", "-f", "--", *(f"{target}{suffix}" for suffix in beside)], timeout=600)
    host.run(["rmdir", "--ignore-fail-on-non-empty", "--", dirname(target)], check=False)


def _manifest(one: NewDisk) -> str:
    """What the engine writes beside a copy (images/manifest.py)."""
    return f"{one.target}.manifest"


def _make_volume(host: Host, one: NewDisk, reporter: Reporter) -> None:
    group, name = one.target.removeprefix("/dev/").split("/")
    new = f"{_NEW}{name}"
    if snapshots.volume_of(snapshots.volumes(host), f"/dev/{group}/{new}"):  # left by a run that was killed
        host.run(["lvremove", "--yes", f"{group}/{new}"], timeout=300)
    words = ["lvcreate", "--yes", "--wipesignatures", "y", "--size", f"{one.size}b", "--name", new, group]
    host.run(words, timeout=300)
    if one.source:
        event = engine_driver.run(host, ["copy", one.source, f"/dev/{group}/{new}"], reporter=reporter)
        reporter.fact(one.target, engine_driver.facts(event))
    else:
        host.run(
            ["blkdiscard", "--force", "--zeroout", f"/dev/{group}/{new}"], timeout=_HOURS
        )  # it may show what was there before
    host.run(["lvrename", group, new, name], timeout=300)


def _mib(size: int) -> int:
    return -(-size >> 20)
