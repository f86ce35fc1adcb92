"""The shared file systems on a server, mounted as on the first one."""

from __future__ import annotations

from snowha.errors import SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import make_dir, read_text, write_file
from snowha.migration.ground import Ground
from snowha.plan.step import Reporter
from snowha.site.model import Mount


def _mounted(host: Host, mount: Mount) -> str | None:
    """What is mounted at ``mount.target``, None if nothing is."""
    completed = host.run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", mount.target], check=False)
    return completed.stdout.strip() or None


def missing(ground: Ground, host: Host) -> str | None:
    """Which shared file system ``host`` lacks, now or in its fstab; None if none."""
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in ground.site.mounts:
        source = _mounted(host, mount)
        if source is None:
            return f"{mount.target} is not mounted"
        if source != mount.source:
            return f"{mount.target} is {source}, not {mount.source}"
        if not _fstab_entry(fstab, mount.target):
            return f"{mount.target} is not in /etc/fstab"
    return None


def _fstab_entry(text: str, target: str) -> str | None:
    return next(
        (line for line in text.splitlines() if not line.startswith("#") and line.split()[1:2] == [target]), None
    )


def mount(ground: Ground, host: Host, reporter: Reporter) -> None:
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in ground.site.mounts:
        source = _mounted(host, mount)
        entry = _fstab_entry(fstab, mount.target)
        if (source and source != mount.source) or (entry and entry.split()[0] != mount.source):
            raise SiteError(
                f"{mount.target} is already something else: {source or entry}",
                where=host.name,
                remedy=f"the other servers have {mount.source} there; unmount it and correct /etc/fstab",
            )
        make_dir(host, mount.target)
        if not entry:
            fstab += f"{mount.source} {mount.target} {mount.fstype} {mount.options} 0 0\n"
            write_file(host, "/etc/fstab", fstab)
        if not source:
            reporter.say(f"mounting {mount.target} on {host.name}")
            host.run(["mount", mount.target], timeout=150)
