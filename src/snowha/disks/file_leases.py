"""Files that a domain ran from before the migration: leased while an image is copied back into them, and not afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from snowha.hosts.files import absent
from snowha.hosts.host import Host
from snowha.live import lease_adoption
from snowha.plan.step import Reporter
from snowha.site.disk_spec import CONVERTED
from snowha.site.model import Domain
from snowha.xen import server_program


def files_of(domain: Domain) -> tuple[str, ...]:
    """What the disks of a config that knows of no leases are written to, and is on no volume. What is converted is made anew
    beside the old file, and needs none."""
    return tuple(
        disk.target
        for disk in domain.disks
        if disk.access != "r" and disk.script != server_program.SCRIPT and disk.target.startswith("/")
        if not disk.target.startswith("/dev/") and disk.format not in CONVERTED
    )


def lease(host: Host, files: Iterable[str], reporter: Reporter) -> None:
    """Write the first record of those that are there: the engine writes into no file of which nobody knows who has it.

    Raises CommandError for one that is attached on ``host``, or locked.
    """
    files = tuple(files)
    gone = absent(host, files)
    lease_adoption.record({host.name: host}, [file for file in files if file not in gone], reporter)


def forget(host: Host, files: Iterable[str], reporter: Reporter) -> None:
    """Remove their records. Raises CommandError for one that somebody has open by its record."""
    files = tuple(files)
    gone = absent(host, [f"{file}.lease" for file in files])
    left = [file for file in files if f"{file}.lease" not in gone]
    if left and server_program.missing(host):
        server_program.install(host)
    for file in left:
        reporter.say(f"removing the lease record of {file}: nothing uses its lease any more")
        host.run([server_program.PATH, "forget", file])
