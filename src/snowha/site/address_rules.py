"""Which addresses of ``ha.toml`` must not be one: servers', their links', their BMCs', and the floating IP."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from snowha.errors import InputError
from snowha.site.model import FloatingIp, Server
from snowha.site.names import check_bridge, check_ip, comparable, show

At = Callable[..., str]


def check_links(servers: Sequence[Server], *, at: At) -> None:
    """Raise InputError for links that Corosync cannot have. ``at``: the place of a key of the file."""
    for number, server in enumerate(servers):
        for link, first in zip(server.links, servers[0].links, strict=True):
            where = at("server", number, "links")
            _check_host(link, "a link", where=where)
            if ":" in link and ipaddress.ip_address(link).is_link_local:
                raise InputError(
                    f"a link cannot have the address {link}, which every card may have",
                    where=where,
                    remedy="write an address that is the server's alone",
                )
            if (":" in link) != (":" in first):
                raise InputError(
                    f"{link} of {server.name} and {first} of {servers[0].name} are one link, and not both IPv4 or both IPv6",
                    where=where,
                    remedy="write the addresses of one network at the same place of `links`: Corosync takes no link of both",
                )


def check_owners(servers: Sequence[Server], *, at: At) -> None:
    """Raise InputError where the address of one server, or of its BMC, is another one's."""
    owner = {comparable(link): server for server in servers for link in server.links}
    for number, server in enumerate(servers):
        other = owner.get(comparable(server.address), server)
        if other is not server:
            raise InputError(
                f"{server.address} is a link of {other.name}, and the address of {server.name}",
                where=at("server", number, "address"),
                remedy=f"write an address of {server.name}: what is done there would be done on {other.name}",
            )
    owner |= {comparable(word): server for server in servers for word in (server.name, server.address)}
    for number, server in enumerate(servers):
        if server.fence and (own := owner.get(comparable(server.fence.address))):
            raise InputError(
                f"{show(server.fence.address)} is {own.name} itself, and no BMC",
                where=at("server", number, "fence", "address"),
                remedy=f"write the address of the BMC of {server.name}: a server that hangs cannot cut its own power",
            )


def check_floating_ip(floating_ip: FloatingIp, servers: Sequence[Server], *, at: At) -> None:
    """Raise InputError for a floating IP that cannot be, or is somebody's."""
    where = at("cluster", "floating_ip")
    check_bridge(floating_ip.nic, where=at("cluster", "floating_nic"))
    floating = ipaddress.ip_address(check_ip(floating_ip.address, where=where))
    if not 1 <= floating_ip.prefixlen <= floating.max_prefixlen:
        raise InputError(
            f"a prefix length cannot be {floating_ip.prefixlen}",
            where=where,
            remedy='write it like "192.168.8.254/24"',
        )
    _check_host(floating_ip.address, "a floating IP", where=where)
    if floating.version != 4:
        raise InputError(
            f"{floating_ip.address} is an IPv6 address, and the floating IP is the gateway of sNow!'s networks, which are IPv4",
            where=where,
            remedy='write an IPv4 address, such as "192.168.8.254/24", or remove floating_ip and floating_nic',
        )
    for server in servers:
        taken = {comparable(one): "server" for one in (server.address, *server.links)}
        if server.fence:
            taken.setdefault(comparable(server.fence.address), "the BMC of")
        if whose := taken.get(comparable(floating_ip.address)):
            raise InputError(
                f"the floating IP {floating_ip.address} is an address of {whose} {server.name}",
                where=where,
                remedy="choose an address that nobody has: it moves between the servers",
            )


def _check_host(address: str, what: str, *, where: str) -> None:
    """Raise InputError for an address that no card of a server has alone."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if mapped:
        raise InputError(f"{address} is the IPv4 address {mapped}", where=where, remedy=f"write {mapped}")
    if found.is_loopback or found.is_multicast or found.is_unspecified or address == "255.255.255.255":
        raise InputError(
            f"{what} cannot have the address {address}",
            where=where,
            remedy="write an address of a network that the servers share",
        )
