"""The addresses of a new domain by sNow!'s rules, and whether they are anybody's already: over the whole site."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from posixpath import dirname, join

from snowha.errors import InputError, SiteError
from snowha.hosts.files import read_text
from snowha.live import address_use
from snowha.live.context import SiteContext, read_snow_conf
from snowha.operations.domains.request import Request
from snowha.site import active_domains, snow_addresses
from snowha.site.model import Vif

_BY_DHCP = "an address by DHCP, which snow-ha does not know and does not wait for"


@dataclass(frozen=True)
class FileChange:
    """A file of sNow!'s as it is to be."""

    path: str
    text: str


@dataclass(frozen=True)
class Addresses:
    """``vifs``: the domain's cards. ``files``: what has to say so, where it does not yet."""

    vifs: tuple[Vif, ...]
    files: tuple[FileChange, ...]
    roles: dict[str, tuple[str, ...]]
    """Of every domain, and of the new one."""
    used: dict[str, str]
    """By ``domains.conf``: address → whose it is."""


def of(context: SiteContext, request: Request) -> Addresses:
    """From what the servers have now. Raises InputError for a file that cannot be used."""
    host, path = context.first, context.site.paths.snow_conf
    conf = read_snow_conf(host, path)
    listing, table = (join(dirname(path), name) for name in ("active-domains.conf", "domains.conf"))
    listed, rows = read_text(host, listing), read_text(host, table)
    entries = listed or ""
    roles = {one.name: one.roles for one in active_domains.parse(entries, where=f"{host.name}:{listing}")}
    place = snow_addresses.place(entries, request.name)
    vifs = snow_addresses.in_table(rows, request.name, where=f"{host.name}:{table}") if rows else None
    has_row = vifs is not None
    if vifs is None and request.ip and request.mac:
        vifs = (Vif(conf.network("NET_SNOW").bridge),)
    if vifs is None:
        if listed is None:
            raise InputError(
                f"there is no {listing}, so sNow! has no addresses for {request.name}",
                where=host.name,
                remedy="give them: --ip and --mac",
            )
        vifs = snow_addresses.by_number(place.number, conf)
    ip = request.ip and snow_addresses.check_ip_or_dhcp(request.ip, where="--ip")
    first = replace(vifs[0], ip=ip or vifs[0].ip, mac=request.mac or vifs[0].mac)
    vifs = (first, *vifs[1:])
    role = ",".join(roles.get(request.name, ())) or request.role
    files = []
    if listed is not None and place.is_new:
        files.append(FileChange(listing, snow_addresses.with_entry(entries, request.name, role)))
    if rows and not has_row:
        row = snow_addresses.with_row(rows, request.name, role, place.number, vifs, conf)
        files.append(FileChange(table, row))
    return Addresses(
        vifs,
        tuple(files),
        {**roles, request.name: tuple(role.split(","))},
        snow_addresses.used_in_table(rows or "", request.name),
    )


def refuse_used(context: SiteContext, name: str, found: Addresses) -> None:
    """Raise SiteError for an address that ``domains.conf``, /etc/hosts or the DNS give to somebody else, or that answers."""
    for vif in found.vifs:
        for address in (*vif.addresses, vif.mac):
            owner = found.used.get(address.lower())
            if owner:
                raise _taken(address, f"domains.conf assigns it to {owner}")
        if not vif.addresses:
            continue  # whom DHCP gives which address is not ours to check
        for host in context.hosts.values():
            words = host.run(["getent", "hosts", vif.ip], check=False).stdout.split()[1:]
            names = [word.partition(".")[0] for word in words]
            if names and name not in names:
                raise _taken(vif.ip, f"{host.name} resolves it to {names[0]}")
        answers = (address_use.holder(host, vif.ip, vif.bridge) for host in context.hosts.values())
        who = next(filter(None, answers), "")
        if who:
            raise _taken(vif.ip, "a server has it" if who == address_use.OWN else f"{who} answers for it")


def lines(vifs: Iterable[Vif]) -> list[str]:
    """For a person to read."""
    return [f"{vif.ip if vif.addresses else _BY_DHCP}, {vif.mac}, on {vif.bridge}" for vif in vifs]


def _taken(address: str, why: str) -> SiteError:
    return SiteError(f"the address {address} is in use: {why}", remedy="give a free one: --ip, --mac")
