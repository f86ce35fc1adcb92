"""Names and paths that come from files. Whatever passes here may become a word of a command, an XML id or a file name.

Everything is a whitelist: what is refused never reaches a shell, a path or a cluster.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from posixpath import normpath

from snowha.errors import InputError

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", re.ASCII)
_DOMAIN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?", re.ASCII)
_SLASHES = re.compile(r"/(?:\.?/)+")
_PATH = re.compile(r"/[A-Za-z0-9/._+:@%=~-]*", re.ASCII)
_WORD = re.compile(r"[!-~]+", re.ASCII)
_BRIDGE = re.compile(r"[A-Za-z0-9_.:-]{1,15}", re.ASCII)
_WITH_VLANS = re.compile(r"([A-Za-z0-9_-]+)(?:\.[0-9]{1,4})?(?::[0-9]{1,4})*", re.ASCII)
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", re.ASCII)

# libxl names the two halves of an unfinished migration so (tools/xl/xl_migrate.c).
_MIGRATION_SUFFIXES = ("--incoming", "--migratedaway")


def check_domain_name(name: str, *, where: str) -> str:
    """``name`` if a domain may be called so, else InputError.

    A hostname, with the dots and underscores that xl takes, too. Stricter where xl is: it takes a name of digits for a domain
    id, ``Domain-0`` is the server itself, and ``NAME--incoming`` is what it calls the half-arrived domain of a migration.
    """
    if len(name) > 63 or not _DOMAIN_NAME.fullmatch(name):
        raise InputError(
            f"a domain cannot have the name {show(name)}",
            where=where,
            remedy="use letters, digits, '-', '.' and '_' only, at most 63 characters, and a letter or digit at either end",
        )
    if name.isdigit():
        raise InputError(
            f"a domain cannot have the name {name!r}: xl would read it as the number of a domain",
            where=where,
            remedy="give it a name with a letter in it",
        )
    if name.lower() == "domain-0" or name.endswith(_MIGRATION_SUFFIXES):
        raise InputError(
            f"a domain cannot have the name {name!r}: Xen uses it itself", where=where, remedy="rename the domain"
        )
    return name


def can_be_resource(name: str) -> bool:
    """Whether Pacemaker can run a domain of this name: a resource is called as its domain, and XML ids begin with a letter."""
    return name[:1].isalpha()


def check_server_name(name: str, *, where: str) -> str:
    """``name`` if a server may be called so, else InputError."""
    return _check_hostname(name, "server", where=where)


def check_path(path: str, *, where: str) -> str:
    """``path`` if it is absolute and every tool down the line can carry it, else InputError.

    xl's disk syntax has no escape for a comma, quote or space (xl-disk-configuration(5)); ``..`` could leave the place
    in which images are kept.
    """
    if not path.startswith("/"):
        raise InputError(f"not an absolute path: {show(path)}", where=where, remedy="write the path starting with /")
    if ".." in path.split("/"):
        raise InputError(f"path with '..': {show(path)}", where=where, remedy="write the path without '..'")
    if not _PATH.fullmatch(path):
        raise InputError(
            f"path with an unsupported character: {show(path)}",
            where=where,
            remedy="use letters, digits and / . _ - + : @ % = ~ only, no spaces, commas or quotes",
        )
    return path


def single_slashes(path: str) -> str:
    """``path`` without doubled slashes and ``/./``: one spelling of what a program opens. A slash at its end stays: with it only
    a folder can be opened."""
    return _SLASHES.sub("/", path)


def plain_path(path: str) -> str:
    """One spelling of a path that was checked: without doubled slashes, ``.``, and a slash at its end."""
    return normpath(path).replace("//", "/")


def check_address(address: str, *, where: str) -> str:
    """``address`` if it is an IP address or a (dotted) host name, else InputError."""
    if is_ip(address):
        return address
    # Digits and dots alone are a mistyped IP address, never a host name.
    labels = address.split(".")
    if len(address) > 253 or all(label.isdigit() for label in labels) or not all(map(_is_label, labels)):
        raise InputError(
            f"neither an IP address nor a host name: {show(address)}",
            where=where,
            remedy="write an address such as 192.168.8.1, or a host name",
        )
    return address


def check_ip(address: str, *, where: str) -> str:
    """``address`` if it is an IPv4 or IPv6 address, else InputError."""
    if not is_ip(address):
        raise InputError(
            f"not an IP address: {show(address)}", where=where, remedy="write an address such as 192.168.8.1"
        )
    return address


def check_bridge(name: str, *, where: str) -> str:
    """``name`` if a network interface may be called so (at most 15 characters, netdevice(7)), else InputError."""
    if name in (".", "..") or name.startswith("-") or not _BRIDGE.fullmatch(name):
        raise InputError(
            f"not the name of a network interface: {show(name)}", where=where, remedy="write a name such as xsnow0"
        )
    return name


def check_vif_bridge(name: str, *, where: str) -> str:
    """``name`` if a vif may be put there: a bridge, or a switch of Open vSwitch with the VLANs of a port
    (``ovsbr0.100``, ``ovsbr0:10:20``), which are no part of an interface's name. Else InputError."""
    match = _WITH_VLANS.fullmatch(name)
    check_bridge(match[1] if match else name, where=where)
    return name


def check_mac(mac: str, *, where: str) -> str:
    """``mac`` if it is six pairs of hex digits, else InputError."""
    if not _MAC.fullmatch(mac):
        raise InputError(f"not a MAC address: {show(mac)}", where=where, remedy="write it like 00:16:3e:00:00:01")
    return mac


def check_word(word: str, *, where: str, what: str) -> str:
    """``word`` if it is printable ASCII without spaces and no option (no leading ``-``), else InputError."""
    if word.startswith("-") or not _WORD.fullmatch(word):
        raise InputError(
            f"{what} cannot be {show(word)}", where=where, remedy="use printable characters, without spaces"
        )
    return word


def is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    # A scope (fe80::1%eth0) means another interface on every server.
    return "%" not in address


def comparable(address: str) -> str:
    """The same for two ways to write one address or name."""
    return plain_address(address).lower()


def plain_address(address: str) -> str:
    """One spelling of an IP address, as the kernel shows it; anything else as it is."""
    return str(ipaddress.ip_address(address)) if is_ip(address) else address


def show(text: str) -> str:
    """``text`` for a message: escapes visible, long ones cut, so that no file can draw on the terminal."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def listed(words: Iterable[str], joined: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``: for a message."""
    *most, last = [*words] or [""]
    return f"{', '.join(most)} {joined} {last}" if most else last


def agreed(words: Sequence[str], one: str, many: str) -> str:
    """The words as a subject with its verb: ``snow01 does``, ``snow01 and snow02 do``."""
    return f"{listed(words)} {one if len(words) == 1 else many}"


def there_are(names: Sequence[str], *, most: int = 12) -> str:
    """``there are a, b``, ``there is a`` or ``there is none``, for a remedy; of many the first ones and their number."""
    if len(names) < 2:
        return f"there is {names[0] if names else 'none'}"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"there are {', '.join(names[:most])}{more}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'X'?)`` or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_hostname(name: str, what: str, *, where: str) -> str:
    if not _is_label(name):
        raise InputError(
            f"a {what} cannot have the name {show(name)}",
            where=where,
            remedy="use letters, digits and '-' only, at most 63 characters, and no '-' at either end",
        )
    return name


def _is_label(name: str) -> bool:
    return len(name) <= 63 and _HOSTNAME.fullmatch(name) is not None
