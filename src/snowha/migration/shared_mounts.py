"""The shared file systems of a single server, for all servers: as they are mounted there, with what its /etc/fstab says."""

from __future__ import annotations

import json
import re

from snowha.errors import SiteError
from snowha.hosts.files import read_text
from snowha.hosts.host import Host
from snowha.site import fstab
from snowha.site.model import Mount

SHARED = ("/sNow", "/home")
_KEPT = ("vers=", "proto=", "port=", "sec=", "nconnect=", "noac", "nosharecache")
"""Options of nfs(5) without which another server might not get to the storage, or see other files there."""
_USUAL = ("proto=tcp", "sec=sys", "port=0")


def shared_mounts(host: Host) -> tuple[Mount, ...]:
    """/sNow and /home as they are mounted. Raises SiteError when /sNow is not on NFS: images there could not be shared."""
    found = []
    for target in SHARED:
        entry = _topmost(host, target)
        if entry.get("fstype") == "autofs":
            host.run(["ls", "-d", f"{target}/."], check=False, timeout=150)  # it is mounted when it is looked into
            entry = _topmost(host, target)
        if entry.get("fstype") not in ("nfs", "nfs4"):
            if target == "/sNow":
                raise SiteError(
                    f"/sNow is not on NFS but on {entry.get('fstype', 'nothing')} ({entry.get('source', 'not mounted')})",
                    where=host.name,
                    remedy='put /sNow on a shared file system first (guide, "This guide assumes that")',
                )
            continue
        _check_mounted_itself(host, target, entry["source"], entry["target"])
        found.append(Mount(entry["source"], entry["target"], entry["fstype"], _fstab_options(host, entry["target"])))
    return tuple(found)


def _topmost(host: Host, target: str) -> dict[str, str]:
    """The file system that counts: an automounter's own is below what it has mounted. Empty if there is none."""
    completed = host.run(["findmnt", "--json", "--output", "SOURCE,FSTYPE,TARGET", "--target", target], check=False)
    mounted = json.loads(completed.stdout)["filesystems"] if completed.ok and completed.stdout else [{}]
    found: dict[str, str] = next((one for one in reversed(mounted) if one.get("fstype") != "autofs"), mounted[-1])
    return found


def _check_mounted_itself(host: Host, wanted: str, source: str, target: str) -> None:
    """Raise SiteError for a folder that is here by a link or a bind mount: what the others' fstab gets mounts an export."""
    part = re.fullmatch(r"(.+)\[(/.*)\]", source)
    is_elsewhere = wanted != target and not wanted.startswith(f"{target.rstrip('/')}/")
    if not part and not is_elsewhere:
        return
    raise SiteError(
        f"{wanted} is a bind mount of the folder {part[2]} of {part[1]}"
        if part
        else f"{wanted} is a link into {target}, where {source} is mounted",
        where=host.name,
        remedy=f"mount {f'{part[1].rstrip(chr(47))}{part[2]}' if part else 'its export'} on {wanted} itself, by /etc/fstab, "
        "then run this again",
    )


def _fstab_options(host: Host, target: str) -> str:
    """For all servers: ``clientaddr`` is this one's own, and two clients with one are one to NFS 4.0, which takes the first one's
    locks when the second comes (nfs(5)). What is mounted by hand or a script here (``noauto``) has nobody to do so there."""
    entry = fstab.entry_of(read_text(host, "/etc/fstab") or "", target)
    options = entry.options.split(",") if entry else _mounted_with(host, target)
    by_hand = "noauto" if not fstab.comes_at_boot(options) else ""
    return ",".join(one for one in options if not one.startswith("clientaddr=") and one != by_hand) or "defaults"


def _mounted_with(host: Host, target: str) -> list[str]:
    """Of the options that the kernel shows, what says how the storage is reached: for what an automounter or a unit mounts."""
    words = ["findmnt", "--noheadings", "--raw", "--output", "OPTIONS", "--mountpoint", target]
    shown = host.run(words, check=False).stdout.split("\n")
    options = next((line for line in reversed(shown) if "vers=" in line), "").split(",")
    kept = [one for one in options if one.startswith(_KEPT) and one not in _USUAL]
    version = [] if any(one.startswith("vers=") for one in kept) else ["vers=4.2"]
    return [*version, *kept, "hard", "_netdev"]
