"""A server's network cards and bridges: which address each has, and which card of a new server belongs in which bridge."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snowha.errors import SiteError
from snowha.hosts.host import Host

_OWN = re.compile(
    r"(docker|virbr|dummy|veth|lxcbr|lxdbr|podman|cni|flannel|cali|cilium|kube|weave|vmnet|tun|tap|wg|ppp|tailscale|vif)"
    r"|(lo|zt[a-z0-9]{8}|br-[0-9a-f]{12})$"
)
"""Names that programs give to networks of one server alone, or that lie over another one."""
_VIRTUAL = frozenset(
    {"dummy", "tun", "wireguard", "vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ipip", "sit"}
    | {"ip6tnl", "vti", "vti6", "xfrm", "veth", "ppp", "ifb", "nlmon", "vcan"}
)
"""Kinds of links (ip-link(8)) that are no wire: of one server alone, or a tunnel over another network."""


@dataclass(frozen=True)
class NetworkInterface:
    """A card or bridge with one of its addresses and that address's network."""

    name: str
    address: ipaddress.IPv4Interface
    device: str = ""
    """The card that a VLAN is on, or that is in a bridge, else the name again."""
    is_link: bool = True
    """Whether other servers can be on it, and its address stays what it is."""

    def __post_init__(self) -> None:
        if not self.device:
            object.__setattr__(self, "device", self.name)


def network_interfaces(host: Host) -> tuple[NetworkInterface, ...]:
    """What has an address on ``host``, in the kernel's order. Secondary addresses (a floating IP) are left out."""
    found = []
    links = {str(link["ifname"]): link for link in json.loads(host.run(["ip", "-j", "-d", "address", "show"]).stdout)}
    for name, link in links.items():
        for info in link.get("addr_info", ()):
            if info.get("family") == "inet" and info.get("scope") == "global" and not info.get("secondary"):
                address = ipaddress.IPv4Interface(f"{info['local']}/{info['prefixlen']}")
                device = _device(name, links)
                stays = not info.get("dynamic") and not address.is_link_local
                found.append(NetworkInterface(name, address, device or name, bool(device) and stays))
    return tuple(found)


def _device(name: str, links: Mapping[str, Mapping[str, Any]], above: frozenset[str] = frozenset()) -> str:
    """The card (or bond) that a VLAN or a bridge is on, its own name if it is neither; empty if it is on no wire at all.
    ``above``: what was followed to it."""
    link = links.get(name, {})
    kind = link.get("linkinfo", {}).get("info_kind", "")
    if name in above or kind in _VIRTUAL or _OWN.match(name):
        return ""
    if below := str(link.get("link") or ""):
        return _device(below, links, above | {name})
    if kind != "bridge":
        return name
    ports = (port for port, one in links.items() if one.get("master") == name)
    devices = [device for port in ports if (device := _device(port, links, above | {name}))]
    # of several it fails with none of them
    return devices[0] if len(devices) == 1 else name if devices else ""


def named(host: Host) -> frozenset[str]:
    """Names of all cards and bridges, with an address or without."""
    return frozenset(str(link["ifname"]) for link in json.loads(host.run(["ip", "-j", "link"]).stdout))


def network_of(bridge: str, pattern: Sequence[NetworkInterface], *, where: str) -> ipaddress.IPv4Network:
    """The network that ``bridge`` is on, on the server that has it. Raises SiteError."""
    for card in pattern:
        if card.name == bridge:
            return card.address.network
    raise SiteError(
        f"the bridge {bridge} has no address there, so its network is unknown",
        where=where,
        remedy=f"create {bridge} on the new servers by hand, then run this again",
    )


def on_network(network: ipaddress.IPv4Network, own: Sequence[NetworkInterface]) -> NetworkInterface | None:
    """The card or bridge among ``own`` with an address in ``network``."""
    return next((card for card in own if card.address.network == network), None)
