"""The config of a domain that is new, made from another one's; and memory and vCPUs of a config changed.

What the other config says of things that are not named here stays, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

from snowha.errors import InputError
from snowha.site.disk_spec import render_disk
from snowha.site.domain_config import set_list, set_value
from snowha.site.model import Disk, Domain, Vif
from snowha.site.vdev import c_number
from snowha.site.xl_syntax import Atom, List, Setting, parse_settings

_OF_ONE = {
    **dict.fromkeys(("uuid", "pci", "usbdev", "dtdev", "irqs", "iomem", "ioports", "vtpm", "p9"), ".+"),
    "gfx_passthru": "(?!0$).+",
    "usbdevice": "(host|disk):.*",
    "serial": r"(?!(?:pty|null|none|stdio|vc\b.*)$).+",
    "channel": r".*\bpath\s*=.*",
    # a path may be a disk, which both would write
    **dict.fromkeys(("device_model_args", "device_model_args_pv", "device_model_args_hvm"), "(.*[=,:])?/.*"),
    # QEMU does not start where another one listens
    **dict.fromkeys(("spiceport", "spicetls_port"), "(?!0$).+"),
    "vncunused": "0",
    "vfb": r".*\bvncunused\s*=\s*0\b.*",
}
"""Settings (xl.cfg(5)), and what each says if it gives a domain what another one cannot have at the same time."""
_OF_ONE_CARD = frozenset({"vifname"})
"""The same of a vif (xl-network-configuration(5))."""
_LIMITS = {"memory": "maxmem", "vcpus": "maxvcpus"}


def derived(text: str, pattern: Domain, name: str, disks: Sequence[Disk], vifs: Sequence[Vif], *, where: str) -> str:
    """The config of ``name``: that of ``pattern``, with its own disks and cards.

    Raises InputError for a pattern that has what can be only one domain's.
    """
    for setting in parse_settings(text, where=where):
        _refuse_own(setting, pattern, where=where)
    text = set_value(text, "name", name, where=where)
    text = set_list(text, "disk", [disk.spec or render_disk(disk) for disk in disks], where=where)
    text = set_list(text, "vif", list(_cards(pattern, vifs, where=where)), where=where)
    return f"# {name}, made from the config of {pattern.name}\n{text}"


def resized(text: str, *, memory_mib: int | None, vcpus: int | None, where: str) -> str:
    """``text`` with other sizes; None: as it is. Raises InputError for one that another setting forbids."""
    for key, value in (("memory", memory_mib), ("vcpus", vcpus)):
        if value is None:
            continue
        limits = [one for one in parse_settings(text, where=where) if one.key == _LIMITS[key]]
        limit = c_number(limits[-1].value.text) if limits and isinstance(limits[-1].value, Atom) else None
        if limits and (limit is None or limit < value):
            raise InputError(
                f"{_LIMITS[key]} does not allow {key} = {value}",
                where=f"{where}:{limits[-1].line}",
                remedy=f"raise {_LIMITS[key]} there, or remove it",
            )
        text = set_value(text, key, value, where=where)
    return text


def _cards(pattern: Domain, vifs: Sequence[Vif], *, where: str) -> Iterator[str]:
    """Each with its own addresses; all else (``script``, ``rate``, ``model``) as the pattern's card at the same place has it.

    One that asks DHCP has no ``ip``: with that word Xen's hotplug script, where iptables works, lets it reach a DHCP server and
    nothing else (tools/hotplug/Linux/vif-common.sh, handle_iptable).
    """
    others = chain(pattern.vifs, repeat(Vif("")))
    for vif, other in zip(vifs, others, strict=False):
        words = [("ip", vif.ip)] if vif.addresses else []
        words += [("mac", vif.mac), ("bridge", vif.bridge)]
        words += [("script", other.script)] if other.script else []
        words += other.options
        if own := [word for word, _ in words if word in _OF_ONE_CARD]:
            raise InputError(
                f"{pattern.name} has a vif with {own[0]}, which two domains cannot share",
                where=where,
                remedy="name a domain without it: --like DOMAIN",
            )
        yield ",".join(f"{word}={value}" for word, value in words)


def _refuse_own(setting: Setting, pattern: Domain, *, where: str) -> None:
    at = f"{where}:{setting.line}"
    remedy = "name a domain without it: --like DOMAIN"
    if setting.key in _OF_ONE and any(re.fullmatch(_OF_ONE[setting.key], text) for text in _strings(setting.value)):
        raise InputError(f"{pattern.name} has {setting.key}, which two domains cannot share", where=at, remedy=remedy)
    if setting.key in ("name", "disk", "vif"):
        return
    own = {*pattern.addresses, *(vif.mac.lower() for vif in pattern.vifs if vif.mac)}
    for text in _strings(setting.value):
        if any(re.search(rf"(?<![0-9a-f.]){re.escape(one)}(?![0-9a-f.])", text.lower()) for one in own):
            raise InputError(f"{setting.key} names an address of {pattern.name}", where=at, remedy=remedy)


def _strings(value: Atom | List) -> Iterator[str]:
    if isinstance(value, Atom):
        yield value.text
    else:
        for item in value.items:
            yield from _strings(item)
