"""The shared file systems on a server, mounted as on the first one."""

from __future__ import annotations

import re

from snowha.errors import SiteError
from snowha.hosts.files import make_dir, read_text, write_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.site import fstab
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


def _unfit(entry: fstab.Entry) -> str:
    """The option of an entry that was there before with which a domain loses writes, or does not find its images after a boot."""
    options = entry.options.split(",")
    by_hand = "" if fstab.comes_at_boot(options) else "noauto"
    return by_hand or fstab.gives_up(options) or fstab.locks_locally(options)


def missing(context: SiteContext, host: Host) -> str | None:
    """Which shared file system ``host`` lacks, now or in its fstab; None if none."""
    text = read_text(host, "/etc/fstab") or ""
    for mount in context.site.mounts:
        source = mounted(host, mount)
        if source is None:
            return f"{mount.target} is not mounted"
        if not fstab.same_source(source, mount.source):
            return f"{mount.target} is {source}, not {mount.source}"
        entry = fstab.entry_of(text, mount.target)
        if not entry:
            return f"{mount.target} is not in /etc/fstab"
        if wrong := _unfit(entry):
            return f"{mount.target} has {wrong} in /etc/fstab"
    return None


def mount(context: SiteContext, host: Host, reporter: Reporter) -> None:
    text = read_text(host, "/etc/fstab") or ""
    for mount in context.site.mounts:
        source = mounted(host, mount)
        entry = fstab.entry_of(text, mount.target)
        others = [one for one in (source, entry and entry.source) if one and not fstab.same_source(one, mount.source)]
        if others:
            raise SiteError(
                f"{mount.target} is already in use: {others[0]}",
                where=host.name,
                remedy=f"the other servers have {mount.source} there; unmount it and correct /etc/fstab",
            )
        if entry and (wrong := _unfit(entry)):
            raise SiteError(
                f"{mount.target} has {wrong} in /etc/fstab",
                where=host.name,
                remedy=f"write {mount.options} there, as ha.toml says, or remove the line; unmount it if it is mounted",
            )
        make_dir(host, mount.target)
        if not entry:
            text += "" if not text or text.endswith("\n") else "\n"
            text += f"{mount.source} {mount.target} {mount.fstype} {mount.options} 0 0\n"
            write_file(host, "/etc/fstab", text)
        if not source:
            reporter.say(f"mounting {mount.target} on {host.name}")
            host.run(["mount", mount.target], timeout=150)
