"""Rules about links and BMCs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from snowha.checks import bmc
from snowha.checks.catalogue import found
from snowha.checks.facts import Facts
from snowha.cluster import fencing
from snowha.live import address_use
from snowha.site.model import Server, Site
from snowha.site.names import listed
from snowha.site.rules import Finding


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Links both ways, then the fence devices."""
    yield from _links(site, facts)
    yield from _floating_ip(site, facts)
    for server in site.servers:
        yield from _fence(site, server, facts)
    yield from _tools(site, facts)


def _links(site: Site, facts: Facts) -> Iterator[Finding]:
    if site.servers and len(site.servers[0].links) < 2:
        yield found("one-link", "ha.toml", "the servers see each other over one link only")
    answering = {server.name for server in facts.answering}
    for server in site.servers:
        if server.name not in answering:
            continue
        for address in server.links:
            if facts.server(server.name).addresses and address not in facts.server(server.name).addresses:
                yield found("link-address", server.name, f"{address} is on none of its cards")
    owner = {address: (server.name, number) for server in site.servers for number, address in enumerate(server.links)}
    for ping in facts.pings:
        name, number = owner.get(ping.address, ("", 0))
        if name not in answering:
            continue  # said already, and better
        what = f"link {number} from {ping.by} to {name} ({ping.address})"
        if ping.small is None:
            yield found("link-unknown", ping.by, f"{what} was not tried")
        elif not ping.small:
            yield found("link-down", ping.by, f"{what} does not carry traffic")
        elif ping.large is False:
            yield found(
                "link-mtu", ping.by, f"{what}: packets of {ping.mtu} bytes, as {ping.device} sends them, get lost"
            )


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
            yield found("floating-ip-network", server.name, f"{wanted} is not of {here}, where {floating.nic} is")
        elif server is facts.first and not own and any(card.prefixlen for card in server.addresses.values()):
            yield found(
                "floating-ip-network", server.name, f"{floating.nic} has no address there to be on a network with"
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
    if any(address in server.addresses for server in facts.answering) or len(facts.answering) < len(facts.servers):
        return  # a server of ours has it, or may have it
    heard = {server: holder for server, holder in facts.floating.items() if holder}
    if heard:
        # one that is not on the bridge's network yet asks over a router
        who = listed(sorted(set(heard.values()) - {address_use.SOMEBODY} or {address_use.SOMEBODY}))
        yield found("floating-ip-taken", ", ".join(heard), f"{address} is in use by {who}, which is no server")


def _fence(site: Site, server: Server, facts: Facts) -> Iterator[Finding]:
    fence = server.fence
    if fence is None:
        yield found("no-fence", server.name, f"{server.name} has no fence device")
        return
    seen = facts.bmcs.get(server.name)
    here = facts.server(server.name)
    if seen is None or seen.power == "unasked":
        yield found("bmc-unasked", server.name, f"the BMC {fence.address} was not asked")
        return
    if seen.power == "refused":
        yield found(
            "bmc-refused",
            server.name,
            f"the BMC {fence.address} refuses user {fence.username} or does not answer: {seen.said}",
            remedy=f"check address, user and the password in {fence.secret}",
        )
        return
    if not here.answers:
        return
    if seen.power == "off":
        yield found("bmc-off", server.name, f"the BMC {fence.address} says {seen.said!r}, but {server.name} answers")
        return
    yield from _identity(site, server, facts)


def _identity(site: Site, server: Server, facts: Facts) -> Iterator[Finding]:
    """What only the server can say against what its BMC says; in-band, the BMC's address against ours."""
    fence, here, seen = server.fence, facts.server(server.name), facts.bmcs[server.name]
    assert fence is not None
    for other in facts.answering:
        if other.name != server.name and seen.guid and bmc.same_machine(seen.guid, other.uuid):
            yield found(
                "bmc-other-server",
                server.name,
                f"the BMC {fence.address} says that it is the BMC of {other.name} (GUID {seen.guid})",
            )
            return
    if here.lan_address and here.lan_address != fence.address:
        owner = next(
            (one.name for one in site.servers if one.fence is not None and one.fence.address == here.lan_address), None
        )
        if owner:
            yield found(
                "bmc-other-server",
                server.name,
                f"its own BMC has the address {here.lan_address}, which ha.toml gives to {owner}",
            )
        else:
            yield found(
                "bmc-address",
                server.name,
                f"its own BMC has the address {here.lan_address}, and ha.toml says {fence.address}",
            )
        return
    if not here.lan_address and not bmc.same_machine(seen.guid, here.uuid):
        yield found(
            "bmc-identity-unknown",
            server.name,
            f"the BMC {fence.address} answers, and whose it is cannot be told (GUID {seen.guid or 'none'}, "
            f"the server's is {here.uuid or 'not known'})",
        )


def _tools(site: Site, facts: Facts) -> Iterator[Finding]:
    """A server without Pacemaker gets its packages from the migration."""
    needed = {tool for server in site.servers if server.fence for tool in fencing.tools(server.fence)}
    for server in facts.answering:
        missing = sorted(needed - server.tools)
        if missing and "pacemaker" in server.packages:
            yield found("fence-tools", server.name, f"not installed: {', '.join(missing)}")
