"""What xl.conf(5) says of network cards whose domain config leaves it open, and the bridges that follow from both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snowha.hosts.files import read_text
from snowha.hosts.host import Host
from snowha.site.model import Vif
from snowha.site.names import check_vif_bridge
from snowha.site.xl_syntax import Atom, parse_settings

PATH = "/etc/xen/xl.conf"
_BRIDGE, _SCRIPT = "xenbr0", "vif-bridge"
"""libxl's own (libxl_nic.c)."""
_KEYS = {
    "bridge": ("vif.default.bridge", "defaultbridge"),
    "script": ("vif.default.script", "vifscript"),
    "backend": ("vif.default.backend",),
    "gatewaydev": ("vif.default.gatewaydev",),
}
"""Today's name of each, and that of before (tools/xl/xl.c)."""
_DOM0 = ("0", "Domain-0")
_BRIDGING = ("vif-bridge", "vif-openvswitch")


@dataclass(frozen=True)
class Defaults:
    """For a vif that does not say it itself."""

    bridge: str = _BRIDGE
    script: str = _SCRIPT
    backend: str = ""
    """The domain that serves the card; empty for dom0."""
    gatewaydev: str = ""
    """The card of the server behind which the scripts that route put it; empty if none is named."""

    def __str__(self) -> str:
        more = [f"served by the domain {self.backend}"] if self.backend else []
        more += [f"gatewaydev {self.gatewaydev}"] if self.gatewaydev else []
        return ", ".join([f"{self.script} on {self.bridge}", *more])


def parse(text: str, *, where: str) -> Defaults:
    """Raises InputError for what xl could not read."""
    found = {
        setting.key: setting.value.text
        for setting in parse_settings(text, where=where)
        if isinstance(setting.value, Atom)
    }
    named = {name: next((found[key] for key in keys if found.get(key)), "") for name, keys in _KEYS.items()}
    return Defaults(
        bridge=check_vif_bridge(named["bridge"] or _BRIDGE, where=where),
        script=named["script"].removeprefix("/etc/xen/scripts/") or _SCRIPT,  # where libxl looks
        backend="" if named["backend"] in _DOM0 else named["backend"],
        gatewaydev=named["gatewaydev"],
    )


def defaults(host: Host) -> Defaults:
    """Those of a server. Raises InputError."""
    return parse(read_text(host, PATH) or "", where=f"{host.name}:{PATH}")


@dataclass(frozen=True)
class Bridges:
    """``own``: Linux bridges. ``switches``: of Open vSwitch, which are made by its own tools."""

    own: frozenset[str]
    switches: frozenset[str]


def needed(vifs: Iterable[Vif], default: Defaults) -> Defaults:
    """What of ``default`` has a say in where these cards are put; the rest as if xl.conf did not say it."""
    cards = tuple(vifs)
    words = [{word for word, value in vif.options if value} for vif in cards]
    # xl takes netdev for it, with a warning; no script that bridges looks at it
    routed = [
        said.isdisjoint({"gatewaydev", "netdev"})
        for vif, said in zip(cards, words, strict=True)
        if (vif.script or default.script).rpartition("/")[2] not in _BRIDGING
    ]
    return Defaults(
        bridge=default.bridge if any(not vif.bridge for vif in cards) else _BRIDGE,
        script=default.script if any(not vif.script for vif in cards) else _SCRIPT,
        backend=default.backend if any("backend" not in said for said in words) else "",
        gatewaydev=default.gatewaydev if any(routed) else "",
    )


def bridges(vifs: Iterable[Vif], default: Defaults) -> Bridges:
    """The bridges that a server needs for these network cards.

    ``ovsbr0.100`` and ``ovsbr0:100:200`` are a switch with VLANs for the script vif-openvswitch, and a name for any other. Cards
    with a script that routes need no bridge.
    """
    own, switches = set(), set()
    for vif in vifs:
        script = (vif.script or default.script).rpartition("/")[2]
        name = vif.bridge or default.bridge
        if script == "vif-openvswitch":
            switches.add(name.partition(":")[0].partition(".")[0])
        elif script in ("vif-route", "vif-nat"):
            continue
        elif name.partition(".")[0].startswith("ovs") and "." in name:
            # a switch by its name, whatever script puts the card into it
            switches.add(name.partition(".")[0])
        else:
            own.add(name)
    return Bridges(frozenset(own), frozenset(switches))
