"""Rules about BMCs and fence devices.

Something that only the server itself can say must agree: the UUID in its DMI tables is the GUID that its BMC gives for
its machine (IPMI 2.0, 22.14 "Get System GUID"). Not every BMC tells it: then whose it is cannot be told this way.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from snowha.checks.catalogue import found
from snowha.checks.facts import Facts
from snowha.cluster import fencing
from snowha.site.model import Server, Site
from snowha.site.rules import Finding


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Of every server its fence device, then what fence agents need."""
    for server in site.servers:
        yield from _fence(site, server, facts)
    yield from _tools(site, facts)


def _fence(site: Site, server: Server, facts: Facts) -> Iterator[Finding]:
    fence = server.fence
    if fence is None:
        yield found("no-fence", server.name, f"{server.name} has no fence device")
        return
    seen = facts.bmcs.get(server.name)
    here = facts.server(server.name)
    if seen is None or seen.power == "unasked":
        yield found("bmc-unasked", server.name, f"the BMC {fence.address} was not queried")
        return
    if seen.power == "refused":
        yield found(
            "bmc-refused",
            server.name,
            f"the BMC {fence.address} rejects user {fence.username} or does not answer: {seen.said}",
            remedy=f"check address, user and the password in {fence.secret}",
        )
        return
    if not here.answers:
        return
    if seen.power == "off":
        yield found("bmc-off", server.name, f"the BMC {fence.address} reports {seen.said!r}, but {server.name} answers")
        return
    yield from _identity(site, server, facts)


def _identity(site: Site, server: Server, facts: Facts) -> Iterator[Finding]:
    """What only the server can say against what its BMC says; in-band, the BMC's address against ours."""
    fence, here, seen = server.fence, facts.server(server.name), facts.bmcs[server.name]
    assert fence is not None
    for other in facts.answering:
        if other.name != server.name and seen.guid and same_machine(seen.guid, other.uuid):
            yield found(
                "bmc-other-server",
                server.name,
                f"the BMC {fence.address} reports the GUID of {other.name} ({seen.guid})",
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
                f"its own BMC has the address {here.lan_address}, which ha.toml assigns to {owner}",
            )
        else:
            yield found(
                "bmc-address",
                server.name,
                f"its own BMC has the address {here.lan_address}, but ha.toml has {fence.address}",
            )
        return
    if not here.lan_address and not same_machine(seen.guid, here.uuid):
        yield found(
            "bmc-identity-unknown",
            server.name,
            f"the BMC {fence.address} answers, but it is unknown which server it belongs to (GUID {seen.guid or 'none'}, "
            f"the server's is {here.uuid or 'unknown'})",
        )


def _tools(site: Site, facts: Facts) -> Iterator[Finding]:
    """A server without Pacemaker gets its packages from the migration."""
    needed = {tool for server in site.servers if server.fence for tool in fencing.tools(server.fence)}
    for server in facts.answering:
        missing = sorted(needed - server.tools)
        if missing and "pacemaker" in server.packages:
            yield found("fence-tools", server.name, f"not installed: {', '.join(missing)}")


def same_machine(guid: str, dmi: str) -> bool:
    """Whether a GUID from a BMC is the UUID from a machine's DMI tables, whatever order of bytes each side believes in.

    IPMI sends the bytes in reverse, SMBIOS 2.6 swaps the first three fields, and BMCs do either or neither; ipmitool
    guesses which.
    """
    try:
        left, right = uuid.UUID(guid), uuid.UUID(dmi)
    except ValueError:
        return False
    return right.int not in (0, 2**128 - 1) and bool(_orders(left.bytes) & {right.bytes})


def _orders(raw: bytes) -> set[bytes]:
    swapped = uuid.UUID(bytes_le=raw).bytes
    back = raw[::-1]
    return {raw, swapped, back, uuid.UUID(bytes_le=back).bytes, swapped[::-1]}
