"""sNow!'s ``snow.conf``: sourced bash that is read here without running any of it.

A variable that only running could tell (command substitution, a condition) is *not understood*: the file can still be
used, and asking for just that variable is an InputError with its line.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, cast

from snowha.errors import InputError
from snowha.site import bash_edit, ipmi_type
from snowha.site.bash import ANYTHING, Assignment, scan
from snowha.site.bash_edit import set_array, set_scalar
from snowha.site.bash_values import NotUnderstood, Value, evaluate
from snowha.site.ipmi_type import IpmiType
from snowha.site.model import Network
from snowha.site.names import check_address, check_path, check_server_name, check_word, plain_path, show

__all__ = ["ImageDestination", "SnowConf", "parse", "set_array", "set_network_gateway", "set_scalar"]

ENVIRONMENT = "/etc/profile.d/00-snow-env.sh"
"""Where sNow! 2.0 sets its folders, for every login."""
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_GATEWAY = 1
"""Position of the gateway in ``NET_X=( bridge gateway first_ip 'a.b.c.' netmask suffix )``."""


@dataclass(frozen=True)
class ImageDestination:
    """``IMG_DST``: where sNow! puts the images of domains."""

    kind: Literal["lvm", "dir", "nfs"]
    value: str
    """Name of the volume group, absolute folder in one spelling (``names.plain_path``), or ``server:/path``."""


@dataclass(frozen=True)
class SnowConf:
    """The variables of a snow.conf. Not in its repr: they hold passwords."""

    where: str
    values: Mapping[str, Value] = field(repr=False)
    lines: Mapping[str, int] = field(repr=False)
    """Variable → line of its last assignment."""

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def at(self, name: str) -> str:
        """``file:line`` of a variable, the file alone if it is nowhere set."""
        return f"{self.where}:{self.lines[name]}" if name in self.lines else self.where

    def scalar(self, name: str, default: str | None = None) -> str:
        """The value of ``name`` (of an array: its first element, as in bash).

        Raises InputError if it is missing or not understood.
        """
        value = self._get(name)
        if value is None:
            return self._missing(name) if default is None else default
        return value if isinstance(value, str) else value.get("0", "")

    def array(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The elements of ``name`` in bash's order, a scalar as the only one.

        Raises InputError if it is missing or not understood.
        """
        value = self._get(name)
        if value is None:
            if default is None:
                self._missing(name)
            return default or ()
        return (value,) if isinstance(value, str) else tuple(value.values())

    def table(self, name: str) -> Mapping[str, str]:
        """An array with its subscripts (``CLUSTERS``, ``MOUNT_NFS``); empty if it is nowhere set."""
        value = self._get(name)
        return {} if value is None else {"0": value} if isinstance(value, str) else dict(value)

    def network(self, key: str) -> Network:
        """One network, e.g. ``NET_SNOW``. InputError if it is missing or has not its five or six fields."""
        fields = self.array(key)
        # Without a suffix the last, empty field is easily left out.
        if len(fields) not in (5, 6):
            raise InputError(
                f"{key} has {len(fields)} fields instead of 6",
                where=self.at(key),
                remedy=f"write {key}=( 'bridge' 'gateway' 'first IP' 'a.b.c.' 'netmask' 'suffix' )",
            )
        return Network(key, *(*fields, "")[:6])

    def servers(self) -> tuple[str, ...]:
        """``SNOW_NODES``: the names of the sNow! servers. InputError if one is no host name."""
        value = self._get("SNOW_NODES")
        names = tuple(value.split()) if isinstance(value, str) else self.array("SNOW_NODES")
        return tuple(check_server_name(name, where=self.at("SNOW_NODES")) for name in names)

    def image_destination(self) -> ImageDestination:
        """``IMG_DST``; sNow! expands references in it later, even from single quotes, so they are expanded here."""
        where = self.at("IMG_DST")
        kind, equals, value = self.expand("IMG_DST").partition("=")
        if not equals or kind not in ("lvm", "dir", "nfs") or not value:
            raise InputError(
                "IMG_DST is not understood", where=where, remedy="write lvm=GROUP, dir=/FOLDER or nfs=SERVER:/FOLDER"
            )
        if kind == "lvm":
            check_word(value, where=where, what="the volume group in IMG_DST")
            if not re.fullmatch(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]*", value, re.ASCII) or value in (".", ".."):
                raise InputError(
                    f"IMG_DST names no volume group: {show(value)}", where=where, remedy="write IMG_DST='lvm=snow_vg'"
                )
        else:
            server, _, path = value.rpartition(":")
            if kind == "nfs" or server:
                check_address(server, where=where)
            check_path(path, where=where)
        if kind == "dir":
            value = plain_path(value)
        return ImageDestination(cast(Literal["lvm", "dir", "nfs"], kind), value)

    def ipmi_type(self) -> IpmiType:
        """``IPMI_TYPE``: how the BMCs are spoken to. InputError for what no fence device speaks."""
        return ipmi_type.parse(self.scalar("IPMI_TYPE", ""), where=self.at("IPMI_TYPE"))

    def shared_folders(self) -> tuple[str, ...]:
        """Where sNow! may keep the files that it gives to every server: 2.0 below SNOW_SRV, 1.x below SNOW_CONF, which its
        command sets before it reads the file (sbin/snow of 1.1.16). One that is not understood is left out."""
        found = []
        for name, default, below in (
            ("SNOW_SRV", "", "deploy_files/etc"),
            ("SNOW_CONF", "/sNow/snow-configspace", "system_files/etc"),
        ):
            with suppress(InputError):
                folder = self.expand(name) if name in self else default
                if folder:
                    found.append(f"{check_path(folder, where=self.at(name)).rstrip('/')}/{below}")
        return tuple(found)

    def expand(self, name: str) -> str:
        """A scalar with the references that single quotes left in it (``'nfs=$NFS_SERVER:/sNow'``) replaced."""
        return _REFERENCE.sub(lambda match: self.scalar(match[1] or match[2]), self.scalar(name))

    def _get(self, name: str) -> str | dict[str, str] | None:
        value = self.values.get(name, self.values.get(ANYTHING))
        if isinstance(value, NotUnderstood):
            raise InputError(
                f"the value of {name} cannot be known without running the file: {value.reason}",
                where=f"{self.where}:{value.line}",
                remedy=f"add a line with the plain value of {name} after that one",
            )
        return value

    def _missing(self, name: str) -> str:
        raise InputError(f"{name} is not set", where=self.where, remedy=f"add a line {name}=… to it")


def parse(
    text: str,
    *,
    where: str,
    environment: str = "",
    read: Callable[[str], str | None] = lambda path: None,
) -> SnowConf:
    """Read a snow.conf; nothing in it is executed.

    ``environment``: the text of what sets variables before the file is sourced (sNow! 2.0: SNOW_ROOT, SNOW_ETC of
    /etc/profile.d/00-snow-env.sh). ``read``: the text of a file that is sourced in it, None if there is none; what is not
    followed spoils what it may set. An unclosed quote or array is an InputError with its line.
    """
    _refuse_windows(text, where=where)

    def follow(path: str) -> tuple[Assignment, ...] | None:
        # a file of the kernel (/dev/stdin) says something else to everybody who reads it
        is_file = path.startswith("/") and not path.startswith(("/dev/", "/proc/"))
        inner = read(path) if is_file else None
        return None if inner is None else scan(inner, where=path)

    assignments = scan(text, where=where)
    lines = {assignment.name: assignment.line for assignment in assignments if assignment.name != ANYTHING}
    before = evaluate(scan(environment, where=ENVIRONMENT), {}, follow)
    return SnowConf(where=where, values=evaluate(assignments, before, follow), lines=lines)


def _refuse_windows(text: str, *, where: str) -> None:
    if "\r\n" in text:
        line = text[: text.index("\r\n")].count("\n") + 1
        raise InputError(
            "the line ends as on Windows (CR LF), and the shell makes the CR part of the value",
            where=f"{where}:{line}",
            remedy="convert the file: dos2unix",
        )


def set_network_gateway(text: str, key: str, gateway: str, *, where: str = "snow.conf") -> str:
    """``text`` with the gateway (second field) of the network ``key`` set. In a cluster that is the floating IP.

    Raises InputError if the network is missing or is not one plain array.
    """
    ipaddress.ip_address(gateway)
    parse(text, where=where).network(key)
    return bash_edit.set_element(text, key, _GATEWAY, gateway, where=where)
