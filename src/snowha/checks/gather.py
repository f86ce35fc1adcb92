"""The facts of a site gathered: every server at once, in one go each, with what takes longer going on beside it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from snowha.checks import bmc_query, scripts
from snowha.checks.facts import BmcFact, Facts, Locks, LoginFact, PingResult, ServerFacts, half_migrated, in_two_places
from snowha.checks.parse_facts import parse_server
from snowha.cluster import fencing
from snowha.errors import SnowError, UnreachableError
from snowha.health import leases
from snowha.hosts.current_waits import waiting_for
from snowha.hosts.host import Host
from snowha.hosts.local import LocalHost
from snowha.hosts.parallel import each
from snowha.hosts.pool import Pool
from snowha.hosts.read_only import read_only_script
from snowha.live import address_use
from snowha.live.context import SiteContext
from snowha.provision.servers import kernels
from snowha.site.image_names import image_paths
from snowha.site.names import is_ip
from snowha.xen.leases import Lease, Leases

HOLD_S = (3, 15)
"""Seconds that the lock is held, at the first and the second time: long enough for a busy server to try it meanwhile."""
# What is locked must be there already: `<>` would make it.
_LOCK = read_only_script("""\
[ -f "$1" ] || exit 3
exec 9<> "$1" || exit 4
flock -n 9 || exit 5
echo locked
sleep "$2"
""")
_TRY = read_only_script("""\
[ -f "$1" ] || exit 3
exec 9<> "$1" || exit 4
flock -n 9
case $? in 0) echo got ;; 1) echo held ;; esac
""")


def gather_facts(context: SiteContext, passwords: Mapping[str, str], *, askers: list[Host] | None = None) -> Facts:
    """Everything that the rules need. A server that does not answer is a fact, not an error.

    ``passwords``: of the BMCs, by server. ``askers``: who asks the BMCs; this machine, then the first server that answers.
    """
    hosts = context.hosts
    names = list(hosts)
    with Pool(max(4, 4 * len(names)), name="check") as pool:
        # one connection first: each of the questions below would wait for a dead server by itself
        dead = {name: facts for name, facts in zip(names, pool.map(_unreachable, hosts.values()), strict=True) if facts}
        alive = [name for name in names if name not in dead]
        asking = askers if askers is not None else [LocalHost(), *(hosts[name] for name in alive[:1])]
        # snow.conf is on the shared storage, and asked for once
        confs = {name: context.site.paths.snow_conf if name in alive[:1] else "" for name in names}
        leased = pool.submit(gather_leases, context, {name: hosts[name] for name in alive})
        gathered = {name: pool.submit(_gather, context, hosts[name], confs[name]) for name in alive}
        answered = {name: pool.submit(_holder, context, hosts[name]) for name in alive}
        reached = {name: pool.submit(_connectivity, context, hosts[name]) for name in alive}
        holders = [hosts[name] for name in names[:2] if name in alive]
        locked = pool.submit(locks, holders, context.site.paths.snow_conf)
        asked = {
            server.name: pool.submit(_ask_bmc, asking, server.name, context, passwords)
            for server in context.site.servers
            if server.fence is not None
        }
        lock, said = locked.result()
        servers = tuple(dead[name] if name in dead else gathered[name].result() for name in names)
        if half_migrated(servers) | in_two_places(servers):
            again = pool.map(
                lambda one: _gather(context, hosts[one.name], confs[one.name]) if one.answers else one, servers
            )
            servers = confirmed(servers, tuple(again))
        pings = [ping for future in reached.values() for ping in future.result()[0]]
        logins = [login for future in reached.values() for login in future.result()[1]]
        bmcs = {name: future.result() for name, future in asked.items()}
        answers, records = leased.result()
        floating = {name: future.result() for name, future in answered.items()}
    return Facts(servers, tuple(pings), tuple(logins), bmcs, lock, said, answers, records, floating, context.definition)


def confirmed(first: Sequence[ServerFacts], again: Sequence[ServerFacts]) -> tuple[ServerFacts, ...]:
    """What was seen the second time, but for what would only then look like a broken migration, or like a domain in two places.

    A migration that ends after one server was asked and before the other one was looks like either. What really is so is
    there both times.
    """
    before = half_migrated(first) | in_two_places(first)
    new = (half_migrated(again) | in_two_places(again)) - before
    return tuple(
        replace(server, running={name: seen for name, seen in server.running.items() if (server.name, name) not in new})
        for server in again
    )


def _unreachable(host: Host) -> ServerFacts | None:
    """What is said of a server that cannot be reached; None if it can."""
    try:
        host.run(["true"], timeout=30)
    except SnowError as error:
        return ServerFacts(host.name, trouble=error.message, remedy=error.remedy)
    return None


def asked_names(context: SiteContext) -> list[str]:
    """Names that must mean the same everywhere: the servers', and those of the storage."""
    # there may be a colon in the path, too
    sources = [mount.source.partition(":/")[0].strip("[]") for mount in context.site.mounts if ":/" in mount.source]
    names = [*(server.name for server in context.site.servers), *sources]
    return [name for name in dict.fromkeys(names) if name and name[0].isalpha() and not is_ip(name)]


def asked_paths(context: SiteContext) -> list[str]:
    """Shared folders; kernels, ramdisks, scripts, volumes and images of all domains, also those that a run was in the middle
    of."""
    site = context.site
    found = [*(mount.target for mount in site.mounts), *kernels.files(site)]
    for domain in site.domains:
        found += [vif.own_script for vif in domain.vifs if vif.own_script]
        for disk in domain.disks:
            found += [disk.target] if disk.target.startswith("/") else []
        for image in image_paths(domain, site.paths.images).values():
            found += [image, f"{image}.manifest", f"{image}.partial"]
    return list(dict.fromkeys(found))


def asked_tools(context: SiteContext) -> list[str]:
    """Commands that fencing needs."""
    return list(
        dict.fromkeys(tool for server in context.site.servers if server.fence for tool in fencing.tools(server.fence))
    )


def _gather(context: SiteContext, host: Host, conf: str) -> ServerFacts:
    boundary = f"snow-ha-{secrets.token_hex(12)}"
    site = context.site
    words = scripts.gather_argv(
        boundary,
        snow_conf=conf,
        images=site.paths.images,
        configs=site.paths.domain_configs,
        names=asked_names(context),
        tools=asked_tools(context),
        kernels=kernels.files(site),
        paths=asked_paths(context),
    )
    clock: list[tuple[float, float]] = []
    asked = time.time()

    def line(text: str) -> None:
        there = None if clock else scripts.clock_of(text, boundary)
        if there is not None:
            # it was read between the question and now
            clock.append((there - time.time(), there - asked))

    try:
        done = host.run(words, timeout=60, check=False, on_line=line)
        sections = scripts.parse_sections(done.stdout, boundary, where=host.name)
    except UnreachableError as error:
        return ServerFacts(host.name, trouble=error.message, remedy=error.remedy)  # lost meanwhile
    except SnowError as error:
        # the script waits for the storage as any command there would
        return ServerFacts(
            host.name,
            trouble=f"it answers, but timed out: {error.message.splitlines()[0]}",
            remedy="check whether the shared file systems answer there: ls /sNow",
        )
    return parse_server(host.name, sections, clock[0] if clock else None)


def gather_leases(
    context: SiteContext, hosts: Mapping[str, Host]
) -> tuple[dict[str, Leases | None], tuple[Lease, ...]]:
    """What the servers have attached, and the records of the images; nothing where no image has a lease yet.

    It is asked again if anything is wrong: a live migration that ends between the two servers' answers looks like a broken one.
    """
    images = leases.images_of(context.site)
    answers: dict[str, Leases | None] = {}
    records: tuple[Lease, ...] = ()
    for _ in range(2 if images else 0):
        answers = each(list(hosts.values()), _leases_of)
        records = leases.records(hosts, answers, images)
        if not any(leases.evaluate(images, answers, records)):
            break
    return answers, records


def _holder(context: SiteContext, host: Host) -> str:
    floating = context.site.floating_ip
    with suppress(SnowError):  # said by the other question
        return address_use.holder(host, floating.address, floating.nic) if floating else ""
    return ""


def _leases_of(host: Host) -> Leases | None:
    with suppress(SnowError):  # that it does not answer is said by the other question
        return leases.ask(host)
    return None


def _connectivity(context: SiteContext, host: Host) -> tuple[tuple[PingResult, ...], tuple[LoginFact, ...]]:
    boundary = f"snow-ha-{secrets.token_hex(12)}"
    others = [server for server in context.site.servers if server.name != host.name]
    words = scripts.connectivity_argv(
        boundary,
        servers=[server.name for server in others],
        addresses=[address for server in others for address in server.links],
    )
    try:
        return scripts.parse_connectivity(host.run(words, timeout=60, check=False).stdout, boundary, host.name)
    except SnowError:
        return (), ()  # that it cannot be asked is said by the other question


def _ask_bmc(askers: list[Host], name: str, context: SiteContext, passwords: Mapping[str, str]) -> BmcFact:
    try:
        with waiting_for(f"the BMC of {name}"):
            return bmc_query.ask(askers, context.site.server(name), passwords[name])
    except SnowError as error:
        return BmcFact("refused", error.message.splitlines()[0])


def locks(hosts: list[Host], path: str, *, hold_s: Sequence[int] = HOLD_S) -> tuple[Locks, str]:
    """Whether a lock that one server holds keeps the other out. snow.conf is locked, which nothing else locks; it is
    opened and not written.

    Only an answer that came while the lock was held for certain counts: it is held for the first of ``hold_s`` after the
    question. A server that takes longer, since much goes on there, is asked again with the next.
    """
    found: tuple[Locks, str] = ("unknown", "")
    for seconds in hold_s:
        found, slow = _locks(hosts, path, seconds)
        if not slow:
            break
    return found


def _locks(hosts: list[Host], path: str, hold_s: int) -> tuple[tuple[Locks, str], bool]:
    """The same, asked once; and whether the answer came too late."""
    if len(hosts) < 2:
        return ("unknown", "the test needs two servers that answer"), False
    holder, other = hosts
    taken = threading.Event()
    with Pool(1, name="lock") as pool:
        asked = time.monotonic()
        holding = pool.submit(
            holder.run,
            ["sh", "-c", _LOCK, "sh", path, str(hold_s)],
            check=False,
            timeout=30,
            on_line=lambda line: taken.set() if line.strip() == "locked" else None,
        )
        holding.add_done_callback(lambda _: taken.set())  # also when it never got it
        taken.wait(40)
        try:
            if holding.done() and not holding.result().stdout.startswith("locked"):
                return ("unknown", f"{holder.name} cannot lock {path}"), False
            said = other.run(["sh", "-c", _TRY, "sh", path], check=False, timeout=20).stdout.strip()
            in_time = time.monotonic() - asked < hold_s
        except SnowError as error:
            return ("unknown", error.message.splitlines()[0]), False
    if said == "held":
        return ("work", ""), False
    if said == "got" and in_time:
        return ("broken", f"{other.name} got a lock on {path} that {holder.name} held"), False
    if said == "got":
        return ("unknown", f"{other.name} was too slow to try"), True
    return ("unknown", f"{other.name} cannot lock {path}"), False


__all__ = ["asked_names", "asked_paths", "asked_tools", "gather_facts"]
