"""The shared file systems on a server, mounted as on the first one."""

from __future__ import annotations

import re

from snowha.errors import SiteError
from snowha.hosts.files import make_dir, read_text, write_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.site.fstab import entry_of, same_source
from snowha.site.model import Mount


def mounted(host: Host, mount: Mount) -> str | None:
    """What is mounted at ``mount.target``, None if nothing is. Of several the topmost counts: an automounter's own is below."""
    if (found := _topmost(host, mount.target)) and found[1] == "autofs":
        host.run(["ls", "-d", f"{mount.target}/."], check=False, timeout=150)  # it is mounted when it is looked at
        found = _topmost(host, mount.target)
    return found[0] if found else None


def _topmost(host: Host, target: str) -> tuple[str, str] | None:
    """Source and type of the file system that counts."""
    words = ["findmnt", "--noheadings", "--raw", "--output", "SOURCE,FSTYPE", "--mountpoint", target]
    lines = host.run(words, check=False).stdout.split("\n")
    rows = [line.split(" ") for line in lines if line.count(" ") == 1]
    return (
        (re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), rows[-1][0]), rows[-1][1]) if rows else None
    )


def missing(context: SiteContext, host: Host) -> str | None:
    """Which shared file system ``host`` lacks, now or in its fstab; None if none."""
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in context.site.mounts:
        source = mounted(host, mount)
        if source is None:
            return f"{mount.target} is not mounted"
        if not same_source(source, mount.source):
            return f"{mount.target} is {source}, not {mount.source}"
        if not entry_of(fstab, mount.target):
            return f"{mount.target} is not in /etc/fstab"
    return None


def mount(context: SiteContext, host: Host, reporter: Reporter) -> None:
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in context.site.mounts:
        source = mounted(host, mount)
        entry = entry_of(fstab, mount.target)
        others = [one for one in (source, entry and entry.source) if one and not same_source(one, mount.source)]
        if others:
            raise SiteError(
                f"{mount.target} is already in use: {others[0]}",
                where=host.name,
                remedy=f"the other servers have {mount.source} there; unmount it and correct /etc/fstab",
            )
        make_dir(host, mount.target)
        if not entry:
            fstab += "" if not fstab or fstab.endswith("\n") else "\n"
            fstab += f"{mount.source} {mount.target} {mount.fstype} {mount.options} 0 0\n"
            write_file(host, "/etc/fstab", fstab)
        if not source:
            reporter.say(f"mounting {mount.target} on {host.name}")
            host.run(["mount", mount.target], timeout=150)
