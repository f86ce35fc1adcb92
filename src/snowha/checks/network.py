"""Rules about links and the floating IP."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from snowha.checks.catalogue import found
from snowha.checks.facts import Facts
from snowha.live import address_use
from snowha.site.model import Site
from snowha.site.names import listed
from snowha.site.rules import Finding


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Links both ways, then the floating IP."""
    yield from _links(site, facts)
    yield from _floating_ip(site, facts)


def _links(site: Site, facts: Facts) -> Iterator[Finding]:
    if site.servers and len(site.servers[0].links) < 2:
        yield found("one-link", "ha.toml", "the servers are connected by one link only")
    answering = {server.name for server in facts.answering}
    for server in site.servers:
        if server.name not in answering:
            continue
        for address in server.links:
            if facts.server(server.name).addresses and address not in facts.server(server.name).addresses:
                yield found("link-address", server.name, f"none of its network interfaces has {address}")
    owner = {address: (server.name, number) for server in site.servers for number, address in enumerate(server.links)}
    for ping in facts.pings:
        name, number = owner.get(ping.address, ("", 0))
        if name not in answering:
            continue  # said already, and better
        what = f"link {number} from {ping.by} to {name} ({ping.address})"
        if ping.small is None:
            yield found("link-unknown", ping.by, f"{what} was not tested")
        elif not ping.small:
            yield found("link-down", ping.by, f"{what} does not carry traffic")
        elif ping.large is False:
            yield found("link-mtu", ping.by, f"{what}: packets of {ping.mtu} bytes, the MTU of {ping.device}, are lost")


def _floating_ip(site: Site, facts: Facts) -> Iterator[Finding]:
    """Of every server that has the bridge: a new one gets it from the migration."""
    floating = site.floating_ip
    if floating is None:
        return
    wanted = ipaddress.ip_interface(f"{floating.address}/{floating.prefixlen}")
    for server in facts.answering:
        own = [
            ipaddress.ip_interface(f"{address}/{card.prefixlen}")
            for address, card in server.addresses.items()
            if card.device == floating.nic and card.prefixlen and address != floating.address
        ]
        own = [one for one in own if one.version == wanted.version]
        if own and wanted.network not in [one.network for one in own]:
            here = listed(sorted({str(one.network) for one in own}))
            yield found("floating-ip-network", server.name, f"{wanted} is not in {here}, the network of {floating.nic}")
        elif server is facts.first and not own and any(card.prefixlen for card in server.addresses.values()):
            yield found(
                "floating-ip-network",
                server.name,
                f"{floating.nic} has no IPv{wanted.version} address there, so its network is unknown",
            )
    if (
        wanted.version == 4
        and wanted.network.prefixlen < 31
        and wanted.ip
        in (
            wanted.network.network_address,
            wanted.network.broadcast_address,
        )
    ):
        yield found(
            "floating-ip-network", "ha.toml", f"{wanted} is the address of the network itself, or its broadcast"
        )
    yield from _taken(site, floating.address, facts)


def _taken(site: Site, address: str, facts: Facts) -> Iterator[Finding]:
    for domain in site.domains:
        if address in domain.addresses:
            yield found("floating-ip-taken", domain.config, f"{address} is an address of {domain.name}")
    has_it = (
        any(address in server.addresses for server in facts.answering) or address_use.OWN in facts.floating.values()
    )
    if has_it or len(facts.answering) < len(facts.servers):
        return  # a server of ours has it, or may have it
    # while it moves, each server may be asked when the other one has it
    ours = {card.mac for server in facts.answering for card in server.addresses.values()}
    heard = {server: holder for server, holder in facts.floating.items() if holder.lower() not in {"", *ours}}
    if heard:
        # one that is not on the bridge's network yet asks over a router
        who = listed(sorted(set(heard.values()) - {address_use.SOMEBODY} or {address_use.SOMEBODY}))
        yield found("floating-ip-taken", ", ".join(heard), f"{address} is in use by {who}, which is not a server")
