"""A domain's config (xl.cfg(5)), as xen-tools writes it for sNow!, read into a Domain; and edits of one value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, cast

from snowha.errors import InputError
from snowha.site import device_model, server_devices
from snowha.site.disk_spec import parse_disk, render_disk
from snowha.site.model import Disk, Domain, DomainType, Vif
from snowha.site.names import check_domain_name, check_ip, check_mac, check_path, check_vif_bridge, show
from snowha.site.vdev import c_number, device_number
from snowha.site.xl_syntax import Atom, List, Setting, line_at, parse_settings, quoted

__all__ = ["parse", "parse_disk", "render_disk", "replace_disk", "set_list", "set_value"]

_ROOT = re.compile(r"(?:^|\s)(?:root=)+(?:/dev/([a-z0-9]+)|\S*)(?=\s|$)")
_FIRMWARE = ("firmware", "firmware_override", "bios_path_override", "smbios_firmware", "acpi_firmware")
"""Settings of an HVM domain that name a file, or a word that Xen knows the file of."""
_EXAMPLES = {"memory": "1024, in MiB", "maxmem": "1024, in MiB", "vcpus": "2"}
_C_SPACE = " \t\n\v\f\r"
"""isspace(3)"""
_SHORT_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?:[:-][0-9a-fA-F]{1,2}){5}", re.ASCII)
_VIF_WORD = re.compile(r" *([a-z][a-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)
_VIF_FIELDS = frozenset({"mac", "bridge", "ip", "script"})
_VIF_SCRIPT = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9._/-]*")


@dataclass(frozen=True)
class _Config:
    """The settings that count, with their lines."""

    text: str
    where: str
    settings: Mapping[str, Setting]

    def at(self, key: str) -> str:
        return f"{self.where}:{self.settings[key].line}" if key in self.settings else self.where

    def fail(self, key: str, message: str, remedy: str) -> NoReturn:
        raise InputError(message, where=self.at(key), remedy=remedy)

    def string(self, key: str, default: str | None = None) -> str:
        setting = self.settings.get(key)
        if setting is None:
            if default is None:
                self.fail(key, f"the domain has no {key}", f"add a line {key} = …")
            return default
        if not isinstance(setting.value, Atom):
            self.fail(key, f"{key} is a list", f"write {key} = 'value'")
        return setting.value.text

    def number(self, key: str, default: str | None = None) -> int:
        """As xl reads it, which takes 0x10 for 16 and 010 for 8, with blanks or a plus in front (strtol(3))."""
        text = self.string(key, default)
        number = c_number(text.lstrip(_C_SPACE).removeprefix("+"))
        if number is None or not 0 < number < 10**9:
            said = f"{key} is not a whole number from 1 to 999999999: {show(text)}"
            self.fail(key, said, f"write {key} = {_EXAMPLES[key]}")
        if key in self.settings and self.settings[key].operator == "+=":
            said = f"{key} += cannot be used for a number: xl ignores it"
            self.fail(key, said, f"write {key} = {_EXAMPLES[key]}")
        return number

    def says_something(self, key: str) -> bool:
        """Whether a key is set to more than nothing."""
        value = self.settings[key].value if key in self.settings else None
        return bool(value.items if isinstance(value, List) else value.text if value else "")

    def is_on(self, key: str) -> bool:
        """A yes or no as xl reads it: a number, of which 0 is no; of a word it warns, and takes no (libxlu_cfg.c)."""
        return any(c_number(text.lstrip(_C_SPACE).lstrip("+-")) for text in self.texts(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """What a key says, be it one string or a list of them; without lists inside the list."""
        value = self.settings[key].value if key in self.settings else None
        if isinstance(value, List):
            return tuple(item.text for item in value.items if isinstance(item, Atom))
        return (value.text,) if value else ()

    def strings(self, key: str) -> tuple[tuple[str, str], ...]:
        """Each entry of a list with its own ``file:line``; nothing if there is no such key."""
        setting = self.settings.get(key)
        if setting is None:
            return ()
        if not isinstance(setting.value, List):
            self.fail(key, f"{key} is not a list", f"write {key} = [ '…' ]")
        items = [item for item in setting.value.items if isinstance(item, Atom)]
        if len(items) != len(setting.value.items):
            self.fail(key, f"there is a list inside the list {key}", f"write {key} = [ '…', '…' ]")
        return tuple((item.text, f"{self.where}:{line_at(self.text, item.start)}") for item in items)


def parse(text: str, *, where: str, path: str) -> Domain:
    """The domain a config describes; ``path`` is the config's absolute path on the servers.

    Raises InputError, with file and line, if xl could not read it, if name or memory are missing, or if a name or path in it is
    one that must not reach a command.
    """
    config = _Config(text, where, _effective(parse_settings(text, where=where), where=where))
    name = check_domain_name(config.string("name"), where=config.at("name"))
    kernel, ramdisk = _kernel(config)
    kind, disks, vifs = _type(config), _disks(config), _vifs(config)
    is_hvm = kind == "hvm"
    return Domain(
        name=name,
        config=check_path(path, where=where),
        # without memory it is maxmem (libxl_create.c, libxl__domain_build_info_setdefault)
        memory_mib=config.number(
            "maxmem" if "memory" not in config.settings and "maxmem" in config.settings else "memory"
        ),
        maxmem_mib=_limit(config, "maxmem"),
        max_vcpus=_limit(config, "maxvcpus"),
        vcpus=config.number("vcpus", "1"),
        type=kind,
        kernel=kernel,
        ramdisk=ramdisk,
        disks=disks,
        vifs=vifs,
        root_vdev=_root_vdev(config),
        bootloader=_bootloader(config),
        hardware=server_devices.hardware(config.texts, config.says_something, vifs, is_hvm=is_hvm),
        firmware=_firmware(config),
        cpus=tuple(text for text in config.texts("cpus") if text),
        nomigrate=config.is_on("nomigrate"),
        on_poweroff=next(iter(config.texts("on_poweroff")), "destroy"),
        uuid="".join(config.texts("uuid")[:1]).lower(),
        needs_qemu=device_model.needs_qemu(config.texts, disks, is_hvm=is_hvm),
        needs_uefi=device_model.needs_uefi(config.texts, is_hvm=is_hvm),
    )


def replace_disk(text: str, old_spec: str, new_spec: str, *, where: str = "domain config") -> str:
    """``text`` with the entry ``old_spec`` of its ``disk`` list replaced; unchanged if ``new_spec`` is already there.

    Raises InputError if neither is in the list, or if the new one is no disk.
    """
    parse_disk(new_spec, where=where)
    items = [
        item
        for setting in _counting(parse_settings(text, where=where), "disk")
        if isinstance(setting.value, List)
        for item in setting.value.items
        if isinstance(item, Atom)
    ]
    old = next((item for item in items if item.text == old_spec), None)
    if old is None:
        if any(item.text == new_spec for item in items):
            return text
        raise InputError(
            f"the domain has no disk {show(old_spec)}", where=where, remedy="the config was changed; run this again"
        )
    return text[: old.start] + quoted(new_spec, old.quote or "'") + text[old.end :]


def set_value(text: str, key: str, value: str | int, *, where: str = "domain config") -> str:
    """``text`` with the one value of ``key`` set, quoted as it was; a new line in front if there is none.

    The new line is written like the file's first setting. ``type`` takes the place of an old ``builder``, since xl
    refuses a config in which the two contradict each other. Raises InputError if ``key`` is a list.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise ValueError(f"not a key of a domain config: {key!r}")
    settings = parse_settings(text, where=where)
    if key == "type":
        for builder in reversed([setting for setting in settings if setting.key == "builder"]):
            text = _put(text, builder, value, key=key, where=where)
        settings = parse_settings(text, where=where)
    counting = _counting(settings, key)
    if not counting:
        return _insert(text, settings, key, value)
    setting = counting[-1]
    if len(counting) == 1 and isinstance(setting.value, Atom) and setting.value.text == str(value):
        return text
    return _put(text, setting, value, key=key, where=where)


def set_list(text: str, key: str, values: Sequence[str], *, where: str = "domain config") -> str:
    """``text`` with the strings of the list ``key``, one a line as sNow! writes them; at its end if there is no such list.

    Raises InputError if ``key`` is no list, or is put together with ``+=``.
    """
    counting = _counting(parse_settings(text, where=where), key)
    lines = "".join(f"\n    {quoted(value, chr(39))}," for value in values)
    new = f"[{lines}\n]" if values else "[]"
    if not counting:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{key} = {new}\n"
    setting = counting[-1]
    if len(counting) > 1 or not isinstance(setting.value, List):
        raise InputError(
            f"{key} is not a single list", where=f"{where}:{setting.line}", remedy=f"write {key} once: {key} = [ '…' ]"
        )
    return text[: setting.value.start] + new + text[setting.value.end :]


def _effective(settings: tuple[Setting, ...], *, where: str) -> dict[str, Setting]:
    """The last setting of each key, with what ``+=`` added to it."""
    result: dict[str, Setting] = {}
    for setting in settings:
        before = result.get(setting.key)
        if setting.operator == "=" or before is None:
            result[setting.key] = setting
        elif isinstance(before.value, List) and isinstance(setting.value, List):
            items = before.value.items + setting.value.items
            result[setting.key] = replace(before, value=replace(before.value, items=items))
        elif isinstance(before.value, Atom) and isinstance(setting.value, Atom):
            joined = before.value.text + setting.value.text
            result[setting.key] = replace(before, operator="+=", value=replace(before.value, text=joined))
        else:
            raise InputError(
                f"{setting.key} += mixes a list and a string",
                where=f"{where}:{setting.line}",
                remedy=f"write {setting.key} once, with one '='",
            )
    return result


def _counting(settings: tuple[Setting, ...], key: str) -> list[Setting]:
    """The last ``=`` of a key and every ``+=`` behind it."""
    result: list[Setting] = []
    for setting in settings:
        if setting.key == key:
            result = [setting] if setting.operator == "=" else [*result, setting]
    return result


def _type(config: _Config) -> DomainType:
    """xl takes the beginning of a word for it, and none at all for hvm, which nobody means (parse_config_data in xl_parse.c)."""
    said: dict[str, str] = {}
    for key, words in (("type", ("hvm", "pv", "pvh")), ("builder", ("hvm", "generic"))):
        if key in config.settings:
            text = config.string(key)
            word = next((word for word in words if text and word.startswith(text)), None)
            if word is None:
                config.fail(key, f"unknown {key} {show(text)}", "write type = 'pv', 'pvh' or 'hvm', and no builder")
            said[key] = word.replace("generic", "pv")
    if len(set(said.values())) > 1:
        message = f"builder = {config.string('builder')!r} contradicts type = {config.string('type')!r}"
        config.fail("builder", message, "remove the line with builder")
    return cast(DomainType, next(iter(said.values()), "pv"))


def _kernel(config: _Config) -> tuple[str, str]:
    """Kernel and ramdisk that the server must have.

    With a bootloader both are files in the domain's own disk (make_bootloader_args in Xen's libxl_bootloader.c), and for an HVM
    domain xl ignores a kernel that is Xen's own firmware, as the time before xl had it (parse_config_data in xl_parse.c).
    """
    kernel, ramdisk = config.string("kernel", ""), config.string("ramdisk", "")
    if _bootloader(config) and _type(config) != "hvm":
        return "", ""
    if _type(config) == "hvm" and kernel.rpartition("/")[2] == "hvmloader":
        kernel = ""
    return (
        check_path(kernel, where=config.at("kernel")) if kernel else "",
        check_path(ramdisk, where=config.at("ramdisk")) if ramdisk else "",
    )


def _limit(config: _Config, key: str) -> int | None:
    """xl passes over what is no number, a list, and what is added to one, with a warning (libxlu_cfg.c, xlu_cfg_get_long)."""
    setting = config.settings.get(key)
    if setting is None or not isinstance(setting.value, Atom) or setting.operator == "+=":
        return None
    return c_number(setting.value.text.lstrip(_C_SPACE).removeprefix("+"))


def _firmware(config: _Config) -> tuple[str, ...]:
    """xl ignores most of them for other domains, and knows ``pvshim_path`` for PVH alone (parse_config_data in xl_parse.c)."""
    keys = {"hvm": _FIRMWARE, "pvh": ("pvshim_path",)}.get(_type(config), ())
    named = {key: config.string(key, "") for key in keys}
    return tuple(check_path(path, where=config.at(key)) for key, path in named.items() if path.startswith("/"))


def _bootloader(config: _Config) -> str:
    """Only what is a program of every Xen is taken: another one would have to be on all servers."""
    name = config.string("bootloader", "")
    # libxl looks for it in its own folder; the field writes it with the path that Xen had once
    if name.rpartition("/")[2] not in ("", "pygrub"):
        config.fail(
            "bootloader", f"the bootloader {show(name)} is not supported", "use pygrub, or name the domain's kernel"
        )
    return name.rpartition("/")[2]


def _disks(config: _Config) -> tuple[Disk, ...]:
    found: dict[int | None, Disk] = {}
    for spec, at in config.strings("disk"):
        disk = parse_disk(spec, where=at)
        number = device_number(disk.vdev)
        if number in found:
            raise InputError(
                f"two disks are {disk.vdev}" + (f" ({found[number].vdev})" if found[number].vdev != disk.vdev else ""),
                where=at,
                remedy="give each disk its own device",
            )
        found[number] = disk
    return tuple(found.values())


def _vif(spec: str, *, where: str) -> Vif:
    """As xl's parse_nic_config reads it, which says of a word that it does not know that it ignores it, and goes on."""
    found: dict[str, str] = {}
    for part in spec.split(","):
        word = _VIF_WORD.fullmatch(part)
        if word is None and part.strip():
            raise InputError(
                f"xl ignores {show(part.strip())} of a vif",
                where=where,
                remedy=(
                    "write it like mac=00:16:3e:00:00:01,bridge=xenbr0 (xl-network-configuration(5)), without "
                    "spaces around '='"
                ),
            )
        if word is not None:
            found[word[1]] = word[2].strip()
    mac, bridge, script = found.get("mac", ""), found.get("bridge", ""), found.get("script", "")
    if script and not _VIF_SCRIPT.fullmatch(script):
        raise InputError(
            f"not the name of a script: {show(script)}", where=where, remedy="name a file in /etc/xen/scripts"
        )
    vif = Vif(
        bridge=check_vif_bridge(bridge, where=where) if bridge else "",
        mac=check_mac(_canonical_mac(mac), where=where) if mac else "",
        ip=" ".join(found.get("ip", "").split()),
        script=script,
        options=tuple((word, value) for word, value in found.items() if word not in _VIF_FIELDS),
    )
    for address in vif.addresses:
        check_ip(address, where=where)
    return vif


def _vifs(config: _Config) -> tuple[Vif, ...]:
    return tuple(_vif(spec, where=at) for spec, at in config.strings("vif"))


def _canonical_mac(mac: str) -> str:
    """``0:16:3e:1:2:3`` and ``00-16-3e-01-02-03``, which xl takes, as ``00:16:3e:01:02:03``; anything else as it is."""
    if not _SHORT_MAC.fullmatch(mac):
        return mac
    return ":".join(pair.zfill(2) for pair in re.split("[:-]", mac))


def _root_vdev(config: _Config) -> str:
    """Of the command line that xl makes (parse_cmdline in xl_parse.c): ``root`` and ``extra``, or ``cmdline`` alone. The last
    ``root=`` counts for the kernel. Empty for what is no disk of xl's, such as /dev/nfs."""
    root, extra = config.string("root", ""), config.string("extra", "")
    line = config.string("cmdline", "") if "cmdline" in config.settings else f"root={root} {extra}" if root else extra
    found = _ROOT.findall(line)
    return found[-1] if found and device_number(found[-1]) is not None else ""


def _put(text: str, setting: Setting, value: str | int, *, key: str, where: str) -> str:
    """The setting with another value (and key), everything between the two as it was."""
    if not isinstance(setting.value, Atom):
        raise InputError(
            f"{setting.key} is a list", where=f"{where}:{setting.line}", remedy=f"write {setting.key} = 'value'"
        )
    quote = setting.value.quote
    new = str(value) if isinstance(value, int) and not quote else quoted(str(value), quote or "'")
    padding = text[setting.start + len(setting.key) : setting.operator_start]
    front = _in_column(key, setting.key, padding)
    between = text[setting.operator_start + len(setting.operator) : setting.value.start]
    return text[: setting.start] + front + "=" + between + new + text[setting.value.end :]


def _insert(text: str, settings: tuple[Setting, ...], key: str, value: str | int) -> str:
    strings = (s.value.quote for s in settings if isinstance(s.value, Atom) and s.value.quote)
    new = str(value) if isinstance(value, int) else quoted(value, next(strings, '"'))
    if not settings:
        return f"{key} = {new}\n{text}"
    first = settings[0]
    padding = text[first.start + len(first.key) : first.operator_start]
    between = text[first.operator_start + len(first.operator) : first.value.start]
    line_start = text.rfind("\n", 0, first.start) + 1
    return text[:line_start] + _in_column(key, first.key, padding) + "=" + between + new + "\n" + text[line_start:]


def _in_column(key: str, old_key: str, padding: str) -> str:
    """``key`` with the space behind it that keeps a column of ``=`` straight."""
    if key == old_key or len(padding) < 2:
        return key + padding
    return key.ljust(len(old_key) + len(padding) - 1) + " "
