"""What must be so before anything is changed. Each trouble is one message with its place and its remedy."""

from __future__ import annotations

import stat as modes
from pathlib import Path

from snowha.cluster import fencing
from snowha.errors import InputError, SiteError, UnreachableError
from snowha.hosts.api import Host
from snowha.hosts.files import absent, exists, stat
from snowha.migration.ground import Ground, image_path, release_of
from snowha.migration.init import shared_mounts
from snowha.migration.packages import server_packages
from snowha.site import rules
from snowha.site.model import Server

SPACE_RESERVE = 64 << 20
"""Bytes that must stay free on the shared file system after the copies."""


def read_secret(path: str, *, base: Path) -> str:
    """A BMC's password from its file: mode 0600, one line. Raises InputError."""
    file = base / path
    try:
        facts = file.stat()
        text = file.read_text()
    except OSError as error:
        raise InputError(
            f"cannot read a BMC's password: {error.strerror}", where=str(file), remedy="`snow ha init` writes it"
        ) from error
    if modes.S_IMODE(facts.st_mode) & 0o077:
        raise InputError("a BMC's password that others can read", where=str(file), remedy=f"chmod 600 {file}")
    password = text.split("\n", 1)[0]
    if not password:
        raise InputError("no password in it", where=str(file), remedy="write the BMC's password into its first line")
    return password


def check(ground: Ground, *, base: Path) -> None:
    """Raise the first trouble. ``base`` is the folder that ha.toml is in. Nothing is changed."""
    ground.on_all(lambda host: host.run(["true"], timeout=30))
    ground.on_all(lambda host: server_packages(release_of(host)))
    rules.raise_on_stop(rules.check_site(ground.site, ground.site.domains))
    shared_mounts(ground.first)
    _check_volumes(ground)
    _check_space(ground)
    secrets = {server.name: read_secret(_fence(server).secret, base=base) for server in ground.site.servers}
    ground.on_all(lambda host: check_bmc(ground.first, ground.site.server(host.name), secrets[host.name]))


def _fence(server: Server) -> fencing.FenceDevice:
    if server.fence is None:
        raise InputError(
            f"{server.name} has no fence device",
            where="ha.toml",
            remedy="add `fence = {…}` to its [[server]]: without one nothing is made highly available",
        )
    return server.fence


def _check_volumes(ground: Ground) -> None:
    disks = [(domain, disk) for domain in ground.site.domains for disk in domain.disks]
    gone = absent(ground.first, [disk.target for _, disk in disks])
    for domain, disk in disks:
        if disk.target in gone:
            raise SiteError(
                f"{domain.name}'s {disk.vdev} is {disk.target}, and that is not there",
                where=f"{ground.first.name}:{domain.config}",
                remedy="make the volume available (lvs, vgchange -ay) or correct the config",
            )


def _check_space(ground: Ground) -> None:
    """Whether the images fit, counted in full: a later write into a hole must not find the file system full."""
    images = {
        image_path(ground.site, domain, disk): disk.target for domain in ground.site.domains for disk in domain.disks
    }
    missing = absent(ground.first, [image for image, source in images.items() if image != source])
    needed = sum(size_of(ground.first, images[image]) for image in missing)
    if not needed:
        return
    folder = ground.site.paths.images
    parent = folder if exists(ground.first, folder) else str(Path(folder).parent)
    free = int(ground.first.run(["stat", "--file-system", "--format=%a %S", parent]).stdout.split()[0])
    free *= int(ground.first.run(["stat", "--file-system", "--format=%S", parent]).stdout)
    if free < needed + SPACE_RESERVE:
        raise SiteError(
            f"the images need {needed >> 20} MiB and {free >> 20} MiB are free",
            where=f"{ground.first.name}:{parent}",
            remedy=f"free {(needed + SPACE_RESERVE - free >> 20) + 1} MiB there",
        )


def size_of(host: Host, path: str) -> int:
    """Bytes of a volume or a file."""
    facts = stat(host, path)
    if facts and facts.kind == "block special file":
        return int(host.run(["blockdev", "--getsize64", path]).stdout)
    return facts.size if facts else 0


def check_bmc(host: Host, server: Server, password: str) -> None:
    """See that the BMC answers to the password, with its power on. Raises UnreachableError.

    Asked from this machine's side of the management network with nothing installed: an IPMI session is left to the fence
    agent once the packages are there; before that, ``ipmitool`` here or on the server is used where it exists.
    """
    fence = _fence(server)
    script = (
        'command -v ipmitool >/dev/null || exit 127; ipmitool -I lanplus -H "$1" -U "$2" -f /dev/stdin power status'
    )
    failure: UnreachableError | None = None
    for asking in _askers(host):
        completed = asking.run(
            ["sh", "-c", script, "sh", fence.address, fence.username], input=password, check=False, timeout=60
        )
        if completed.returncode == 127:
            continue
        if completed.ok and "is on" in completed.stdout:
            return
        if completed.ok:
            raise SiteError(
                f"the BMC {fence.address} says {completed.stdout.strip()!r}, but {server.name} answers",
                where=server.name,
                remedy="it is another machine's BMC: correct `address` of its fence in ha.toml",
            )
        said = (completed.stderr or completed.stdout).strip().splitlines()
        failure = UnreachableError(
            f"the BMC {fence.address} refuses user {fence.username} or does not answer: {said[-1] if said else 'no answer'}",
            where=server.name,
            remedy=f"check address, user and the password in {fence.secret}",
        )
    if failure:
        raise failure


def _askers(host: Host) -> list[Host]:
    from snowha.hosts.local import LocalHost

    return [LocalHost(), host]
