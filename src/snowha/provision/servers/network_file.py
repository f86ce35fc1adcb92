"""A server's /etc/network/interfaces with a bridge in it: read with all that it sources, changed, and read back by ifupdown
itself before the server is rebooted with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join

from snowha.errors import SiteError
from snowha.hosts.files import read_folder, read_text
from snowha.hosts.host import Host
from snowha.provision.interfaces_file import PATH, interfaces, sources, with_bridge
from snowha.provision.network_interfaces import NetworkInterface

_PLAIN = re.compile(r"[A-Za-z0-9/._*?-]+", re.ASCII)
_DIRECTORY_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""What run-parts(8) takes, and so ``source-directory`` (interfaces(5))."""
_OTHERS = {
    "netplan": ("netplan", "add the bridge to a file in /etc/netplan (bridges:), then netplan try"),
    "NetworkManager": (
        "NetworkManager",
        "create the bridge with nmcli connection add type bridge, and make the interface its port",
    ),
    "systemd-networkd": (
        "systemd-networkd",
        "write a .netdev of Kind=bridge and two .network files (systemd.network(5))",
    ),
}


def with_its_sources(host: Host) -> dict[str, str]:
    """The file and whatever it sources, by path. Raises SiteError for a ``source`` that cannot be followed."""
    found: dict[str, str] = {}
    waiting = [PATH]
    while waiting:
        path = waiting.pop(0)
        text = found[path] = read_text(host, path) or ""
        for keyword, pattern in sources(text):
            waiting += [name for name in _sourced(host, path, keyword, pattern) if name not in found]
    return found


def _sourced(host: Host, path: str, keyword: str, pattern: str) -> list[str]:
    where = join(dirname(path), pattern)
    folder, name = (where.rstrip("/"), "*") if keyword == "source-directory" else (dirname(where), basename(where))
    if not _PLAIN.fullmatch(where) or set("*?") & set(folder):
        raise SiteError(
            f"the files that {keyword} {pattern} names cannot be determined",
            where=f"{host.name}:{path}",
            remedy="write the path of a folder with * for the files in it, or create the bridge by hand",
        )
    names = sorted(read_folder(host, folder, ""))
    if keyword == "source-directory":
        return [one for one in names if _DIRECTORY_NAME.fullmatch(basename(one))]
    return [one for one in names if fnmatchcase(basename(one), name)]


def bridged(host: Host, before: Mapping[str, str], card: NetworkInterface, bridge: str) -> dict[str, str]:
    """The files ``before``, of ``with_its_sources``, with ``bridge`` in the place of ``card``, as ifquery(8)
    has read them.

    Raises SiteError where something other than ifupdown has the card, or for what is not understood
    (provision/interfaces_file.py).
    """
    if card.name not in interfaces(before):
        raise _not_ifupdown(host, card, bridge)
    after = with_bridge(before, card=card.name, bridge=bridge, where=f"{host.name}:{PATH}")
    if after != before:
        _read_back(host, before, after, card, bridge)
    return after


def _not_ifupdown(host: Host, card: NetworkInterface, bridge: str) -> SiteError:
    asked = host.run(["systemctl", "is-active", "NetworkManager", "systemd-networkd"], check=False).stdout.split()
    active = dict(zip(("NetworkManager", "systemd-networkd"), asked, strict=False))
    if read_folder(host, "/etc/netplan", ".yaml"):
        name = "netplan"
    else:
        name = next((one for one, state in active.items() if state == "active"), "")
    who, way = _OTHERS.get(
        name, ("something other than ifupdown", "create the bridge with the tool that configures the network there")
    )
    return SiteError(
        f"{card.name} is configured by {who}, whose files are not changed here",
        where=host.name,
        remedy=f"{way}: {bridge} with {card.name} in it and the address {card.address} on {bridge}; reboot the server to see "
        "that it comes back, then run this again",
    )


def _read_back(
    host: Host, before: Mapping[str, str], after: Mapping[str, str], card: NetworkInterface, bridge: str
) -> None:
    """Raise SiteError unless ifupdown finds the address on the bridge, the card in it, and all else as it was.

    All files as one: what is sourced is not yet there under its own name.
    """
    said = _asked(host, after, bridge)
    address = str(card.address.ip)
    if said is None or f"address: {address}" not in said or f"bridge_ports: {card.name}" not in said:
        raise _refused(host, f"ifquery does not find {address} on {bridge} in the new configuration")
    for name in interfaces(before):
        if name == card.name or name.startswith(f"{card.name}:") or name == bridge:
            continue
        old, new = _asked(host, before, name), _asked(host, after, name)
        if old != new and _without_commands(old) != _without_commands(new):
            raise _refused(host, f"ifquery reads {name} otherwise in what would be written")


def _asked(host: Host, files: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """What ifupdown knows of an interface; None if it cannot read the file."""
    text = "\n".join(re.sub(r"^\s*source(-directory)?\s.*$", "", text, flags=re.MULTILINE) for text in files.values())
    done = host.run(["ifquery", "--interfaces=/dev/stdin", name], input=f"{text}\n", check=False, timeout=60)
    return tuple(line.strip() for line in done.stdout.splitlines()) if done.ok else None


def _without_commands(said: tuple[str, ...] | None) -> tuple[str, ...]:
    """A route through the card goes through the bridge then."""
    return tuple(line for line in said or () if not line.startswith(("up:", "down:", "pre-", "post-")))


def _refused(host: Host, message: str) -> SiteError:
    return SiteError(
        message,
        where=f"{host.name}:{PATH}",
        remedy="apt-get install ifupdown where it is missing; otherwise create the bridge by hand, then run this again",
    )
