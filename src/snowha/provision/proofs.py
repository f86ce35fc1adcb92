"""Proofs on the real thing (guide: "Test if Xen allows live migration", "Test!"): capabilities, live migration of every
domain, the floating IP moved, every server drained and then fenced once, its power seen off and on.

What was proven is written down on the servers, together with what it was proven for: when that changes, it is proven anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from snowha.cluster import cib, fencing
from snowha.errors import ProofError
from snowha.hosts.files import make_dir, read_folder, write_file
from snowha.hosts.host import Host
from snowha.hosts.wait import wait_for
from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.live.proof_records import FENCE, PROOFS, TIME
from snowha.plan.step import Reporter, Shielded, Step
from snowha.provision.pacemaker import join, options, power_status
from snowha.provision.servers import mounts
from snowha.provision.servers.boot import boot_id, wait_for_boot, wait_for_xen
from snowha.site.model import Server
from snowha.site.names import listed
from snowha.xen import xl


def steps(context: SiteContext) -> list[Step]:
    """The section's steps, one after the other: each moves domains."""
    found = []
    before = "pacemaker.cib"
    domains = tuple(domain.name for domain in context.site.domains)
    if context.site.floating_ip:
        found.append(
            Step(
                id="proofs.floating-ip",
                title="Move the floating IP to another server and back",
                section="proofs",
                check=partial(_unproven, context, "floating-ip", _floating_facts(context)),
                apply=partial(_prove_floating_ip, context),
                needs=(before,),
                uses=("placement",),
            )
        )
        before = found[-1].id
    # The first server last: on the first run it still has every domain, so draining it live-migrates them all, to servers
    # that are proven by then, and draining the others moves none.
    for server in reversed(context.site.servers):
        found.append(
            Step(
                id=f"proofs.fence.{server.name}",
                server=server.name,
                restarts=True,
                title=f"Drain {server.name}, cut its power, and wait until it is back",
                section="proofs",
                check=partial(_fence_missing, context, server),
                apply=partial(_prove_fence, context, server),
                needs=(before,),
                uses=("placement",),
                interrupts=(server.name, *domains),
                asks=f"{server.name} will be drained of its domains and its power cut, to prove its fencing. Now?",
            )
        )
        before = found[-1].id
    found.append(
        Step(
            id="proofs.migration",
            title="Live-migrate every domain that has not been live-migrated",
            section="proofs",
            check=partial(_unproven_migrations, context),
            apply=partial(_prove_migrations, context),
            needs=(before,),
            uses=("placement",),
            interrupts=domains,
        )
    )
    return found


# what was proven


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _unproven(context: SiteContext, name: str, facts: object) -> str | None:
    def wrong(host: Host) -> str | None:
        text = read_folder(host, PROOFS, ".json").get(f"{PROOFS}/{name}.json")
        if text is None:
            return f"{name} is not proven"
        return None if json.loads(text).get("for") == _digest(facts) else f"{name} was proven for something else"

    return context.first_missing(wrong)


def _record(context: SiteContext, name: str, facts: object, result: dict[str, object]) -> None:
    record = {"for": _digest(facts), "when": time.strftime(TIME, time.gmtime()), **result}

    def write(host: Host) -> None:
        make_dir(host, PROOFS, mode=0o700)
        write_file(host, f"{PROOFS}/{name}.json", json.dumps(record, indent=2) + "\n", mode=0o600)

    context.on_all(write)


def _floating_facts(context: SiteContext) -> object:
    assert context.site.floating_ip is not None
    return [context.site.floating_ip.address, context.site.floating_ip.nic, sorted(context.hosts)]


def _fence_facts(server: Server) -> object:
    assert server.fence is not None
    return [server.name, server.fence.agent, server.fence.address, server.fence.username]


# live migration


def _migration_facts(context: SiteContext, name: str) -> object:
    return [name, sorted(context.hosts)]


def _able(context: SiteContext) -> list[str]:
    """Domains that can migrate live; not one that is off on purpose."""
    able = options(context).live_migration
    state = cluster.cluster_state(context.hosts)
    off = {one.id for one in state.resources if one.is_off_on_purpose} if state is not None else set()
    return [domain.name for domain in context.site.domains if domain.name in able - off]


def _unproven_migrations(context: SiteContext) -> str | None:
    for name in _able(context):
        reason = _unproven(context, f"migration-{name}", _migration_facts(context, name))
        if reason:
            return reason
    return None


def _prove_migrations(context: SiteContext, reporter: Reporter) -> None:
    for name in _able(context):
        if not _unproven(context, f"migration-{name}", _migration_facts(context, name)):
            continue
        before = cluster.domain_locations(context.hosts).get(name, ())
        if len(before) != 1:
            raise ProofError(f"{name} runs on {listed(before) or 'no server'}", remedy="see `snow ha status`")
        target = next(server for server in context.hosts if server not in before)
        with proving_migrations(context, reporter):
            cluster.move(context.hosts, {name: target}, reporter)
        reason = _unproven(context, f"migration-{name}", _migration_facts(context, name))
        if reason:
            raise ProofError(f"{name} was restarted on {target} instead of being live-migrated", where=target)


def _identities(context: SiteContext) -> dict[str, dict[str, str]]:
    """UUIDs of the domains by server."""
    return {name: xl.uuids(host) for name, host in context.hosts.items() if xl.hypervisor(host)}


@contextmanager
def proving_migrations(context: SiteContext, reporter: Reporter) -> Iterator[None]:
    """Write down which domains were live-migrated, and answered on their new server, while the block ran."""
    before = {name: (server, uuid) for server, names in _identities(context).items() for name, uuid in names.items()}
    domains = {domain.name: domain for domain in context.site.domains}
    addresses = {name: domain.addresses for name, domain in domains.items()}
    # a domain that never answered a ping, behind its own firewall, is not expected to begin now
    answering = {
        name: [address for address in addresses.get(name, ()) if cluster.answers(context.hosts[server], address)]
        for name, (server, _) in before.items()
    }
    yield
    for server, names in _identities(context).items():
        for name, uuid in names.items():
            old_server, old_uuid = before.get(name, (server, uuid))
            if old_server == server or old_uuid != uuid or name not in domains:
                continue
            if domains[name].uuid and not cluster.arrived_live(context.hosts, name, server):
                continue  # its config gives it the same one when it is started anew
            reporter.fact(name, {"from": old_server, "to": server})
            cluster.wait_for_answers(context.hosts[old_server], name, answering.get(name, ()), reporter, timeout=60)
            _record(context, f"migration-{name}", _migration_facts(context, name), {"from": old_server, "to": server})


# the floating IP


def _holder(context: SiteContext) -> str | None:
    """The server that has the floating IP on its bridge."""
    floating = context.site.floating_ip
    assert floating is not None
    words = ["ip", "-o", "-4", "address", "show", "dev", floating.nic, "to", f"{floating.address}/32"]
    holders = [name for name, host in context.hosts.items() if host.run(words, check=False).stdout.strip()]
    if len(holders) > 1:
        raise ProofError(f"{floating.address} is on {listed(holders)}", remedy="see `snow ha status`")
    return holders[0] if holders else None


def _prove_floating_ip(context: SiteContext, reporter: Reporter) -> None:
    floating = context.site.floating_ip
    assert floating is not None
    home = _holder(context)
    if home is None:
        raise ProofError(f"no server has {floating.address}", remedy="see `snow ha status`")
    away = next(server for server in context.hosts if server != home)
    for target in (away, home):
        cluster.move(context.hosts, {cib.FLOATING_IP: target}, reporter)
        other = next(host for name, host in context.hosts.items() if name != target)
        wait_for(
            lambda other=other, target=target: _holder(context) == target and cluster.answers(other, floating.address),  # type: ignore[misc]
            timeout=60,
            what=f"{floating.address} to be on {target} and answer {other.name}",
            report=reporter.wait,
            where=other.name,
            remedy="check the bridge there",
        )
    _record(context, "floating-ip", _floating_facts(context), {"moved": [home, away, home]})


# fencing


def _prove_fence(context: SiteContext, server: Server, reporter: Reporter) -> None:
    """Drain, fence through Pacemaker, read the power back from another server, power on, and wait for it in the cluster."""
    host = context.hosts[server.name]
    other = cluster.any_member(context.hosts, but=server.name)
    before = boot_id(host)
    with proving_migrations(context, reporter):
        cluster.drain(context.hosts, server.name, reporter)
    with context.restarting(server.name):
        proved = _power_cut(context, server, other, before, reporter)
    wait_for(
        lambda: mounts.missing(context, host) is None,
        timeout=300,
        what=f"the shared file systems on {server.name}",
        interval=3,
        report=reporter.wait,
    )
    join(context, [server], reporter)
    cluster.set_standby(context.hosts, server.name, False)
    cluster.wait_until_settled(context.hosts, reporter)
    _record(context, f"{FENCE}{server.name}", _fence_facts(server), {"proved_s": proved})


def _power_cut(context: SiteContext, server: Server, other: Host, before: str, reporter: Reporter) -> float:
    """Cut the power of a server, give it back, and see it boot; the seconds until it was read back as off."""
    host = context.hosts[server.name]
    reporter.say(f"cutting the power of {server.name}")
    # no safe point between off and on: whatever happens, the server gets its power back
    steady = Shielded(reporter)
    began, off_at = time.monotonic(), time.time()
    try:
        other.run(["stonith_admin", f"--fence={server.name}", "--timeout=180"], timeout=240)
        _wait_off(other, server, steady)
        proved = round(time.monotonic() - began, 1)
    finally:
        wait_for(
            lambda: _power_on(other, server),
            timeout=300,
            what=f"the BMC to switch {server.name} on again",
            report=steady.wait,
            unreachable_is_not_yet=True,
            remedy=f"switch {server.name} on by hand",
        )
    reporter.fact("proved_s", proved)
    reporter.fact("off", [round(off_at + proved, 1), round(time.time(), 1)])
    wait_for_boot(host, reporter, before=before, what=f"{server.name} to boot")
    wait_for_xen(host, reporter)
    return proved


def _power_on(other: Host, server: Server) -> bool:
    """Give it power. The agent says so only after it has read the power back as on (``fence_action`` of its library)."""
    return other.run(
        fencing.probe_argv(server, fencing.password_script_path(server), action="on"), check=False, timeout=120
    ).ok


def _fence_missing(context: SiteContext, server: Server) -> str | None:
    state = cluster.cluster_state(context.hosts)
    if state and cluster.is_standby(state, server.name):
        return f"{server.name} is still in standby"
    return _unproven(context, f"{FENCE}{server.name}", _fence_facts(server))


def _wait_off(other: Host, server: Server, reporter: Reporter) -> None:
    wait_for(
        lambda: power_status(other, server) == "off",
        timeout=60,
        what=f"the BMC to report that {server.name} is off",
        report=reporter.wait,
        unreachable_is_not_yet=True,
    )
