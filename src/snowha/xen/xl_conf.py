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
_KEYS = {"bridge": ("vif.default.bridge", "defaultbridge"), "script": ("vif.default.script", "vifscript")}
"""Today's name of each, and that of before (tools/xl/xl.c)."""


@dataclass(frozen=True)
class Defaults:
    """For a vif that names no bridge or no script."""

    bridge: str = _BRIDGE
    script: str = _SCRIPT


def parse(text: str, *, where: str) -> Defaults:
    """Raises InputError for what xl could not read."""
    found = {
        setting.key: setting.value.text
        for setting in parse_settings(text, where=where)
        if isinstance(setting.value, Atom)
    }
    bridge, script = (next((found[key] for key in keys if found.get(key)), "") for keys in _KEYS.values())
    script = script.removeprefix("/etc/xen/scripts/")  # where libxl looks
    return Defaults(check_vif_bridge(bridge or _BRIDGE, where=where), script or _SCRIPT)


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
    return Defaults(
        default.bridge if any(not vif.bridge for vif in cards) else _BRIDGE,
        default.script if any(not vif.script for vif in cards) else _SCRIPT,
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
