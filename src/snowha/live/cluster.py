"""The cluster as it is, asked of the servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from snowha.cluster import cib_facts, crm_mon
from snowha.cluster.crm_mon import ClusterState
from snowha.errors import CommandError, LostLockError, SiteError, SnowError, UnreachableError
from snowha.health import cluster_health
from snowha.health.catalogue import KINDS
from snowha.health.findings import Finding
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import NotYet, wait_for
from snowha.plan import leftovers
from snowha.plan.step import Reporter, Shielded
from snowha.site.names import listed
from snowha.xen import xl

POLL_INTERVAL_S = 5.0
"""Between two looks at a cluster that is moving domains: crm_mon takes from the same processors."""
_CLEAR_S = 60.0
"""Seconds to try to remove the constraint of a move."""
_LIFETIME_S = 30 * 60
"""Of that constraint."""
CRM_MON, FENCE_HISTORY = ("crm_mon", "-1", "--inactive", "--output-as=xml"), "--fence-history=2"

_UNTIL_ANSWER = read_only_script('ping -n -c 5 -W 2 "$1" | grep -q -m 1 "bytes from"')
"""Ends a second after the first answer, or some seconds without any."""

Hosts = dict[str, Host]
"""The servers by name, in the order of ha.toml."""


def state_words(*, fencing: bool = False) -> list[str]:
    """The question for it."""
    return [*CRM_MON, *([FENCE_HISTORY] if fencing else [])]


def state_from(host: Host, *, fencing: bool = False) -> ClusterState | None:
    """The cluster as ``host`` sees it, with what was fenced if asked for; None when Pacemaker does not run there."""
    completed = host.run(state_words(fencing=fencing), check=False, timeout=60)
    return state_in(completed.stdout) if completed.ok else None


def state_in(text: str) -> ClusterState | None:
    """What crm_mon printed; None if that is no cluster."""
    try:
        return crm_mon.parse_crm_mon(text)
    except SiteError:
        return None  # it runs, but its daemons are not connected yet, or no longer


def chosen(states: Iterable[ClusterState | None]) -> ClusterState | None:
    """Of what several servers see, the view with quorum and with most servers in it: one that has just joined knows of none."""
    known = [state for state in states if state is not None]
    return max(known, key=lambda state: (state.quorate, sum(node.online for node in state.nodes)), default=None)


def is_active(host: Host, unit: str) -> bool:
    """Whether a service runs."""
    return host.run(["systemctl", "is-active", "--quiet", unit], check=False).ok


def _asked(hosts: Hosts, *, but: str = "") -> tuple[Host, ClusterState] | None:
    """A server on which Pacemaker runs, other than ``but``, and the cluster as it sees it; None if there is none."""
    for name, host in reversed(hosts.items()):  # the first server has the most to do while it is migrated
        if name == but:
            continue
        try:
            state = state_from(host)
        except UnreachableError:
            continue  # a server that is lost is what the others are asked about
        if state is not None:
            return host, state
    return None


def cluster_state(hosts: Hosts) -> ClusterState | None:
    """The cluster as the first server that can tell says; None when Pacemaker runs on none."""
    found = _asked(hosts)
    return found[1] if found else None


def servers_of(state: ClusterState, resource: str) -> tuple[str, ...]:
    """The servers that Pacemaker believes ``resource`` is active on."""
    found = state.resource(resource)
    return found.servers if found else ()


def is_standby(state: ClusterState, server: str) -> bool:
    node = state.node(server)
    return node is not None and node.standby


def any_member(hosts: Hosts, *, but: str = "") -> Host:
    """A server on which Pacemaker runs, other than ``but``. Raises SiteError if there is none."""
    found = _asked(hosts, but=but)
    if found is None:
        raise SiteError(
            f"Pacemaker runs on no server{f' but {but}' if but else ''}",
            remedy="after `snow stop site`, or a power cut of all servers: snow start site; else: snow ha apply",
        )
    return found[0]


def problem(hosts: Hosts) -> str | None:
    """What keeps Pacemaker from having everything running, in a line; None if nothing does."""
    state = cluster_state(hosts)
    return problem_in(state) if state is not None else "Pacemaker does not run"


def problem_in(state: ClusterState) -> str | None:
    """The same of a state that was asked for."""
    found = cluster_health.unsettled(state)
    return found.message if found else None


def require_healthy(hosts: Hosts) -> bool:
    """True if nothing does. To be waited for: raises NotYet, which names the trouble; SiteError for one that stays."""
    _require_working(cluster_state(hosts))
    return True


def _require_working(state: ClusterState | None) -> None:
    if state is None:
        raise NotYet("Pacemaker does not run")
    found = cluster_health.unsettled(state)
    if found is None:
        return
    if KINDS[found.code].settling == "refuse":
        raise as_error(found)
    raise NotYet(found.message)


def as_error(finding: Finding) -> SiteError:
    """What only a person can end, for whoever would wait for it in vain."""
    return SiteError(finding.message, remedy=finding.remedy)


def refuse_if_held(state: ClusterState | None, resources: Collection[str], *, anywhere: bool = False) -> None:
    """Raise SiteError at once if Pacemaker would not move ``resources``, however long it is waited for (``health.held``)."""
    found = cluster_health.held(state, resources, anywhere=anywhere) if state else None
    if found is not None:
        raise as_error(found)


def domain_locations(hosts: Hosts) -> dict[str, tuple[str, ...]]:
    """Every domain that any hypervisor runs, with the servers that it runs on. This is asked of Xen, not of Pacemaker."""
    found: dict[str, tuple[str, ...]] = {}
    for server, domains in running(hosts).items():
        for name in domains:
            found[name] = (*found.get(name, ()), server)
    return found


def running(hosts: Hosts) -> dict[str, dict[str, xl.Running]]:
    """What the hypervisor of each server runs, by the domains' names. Servers without one are left out."""
    return {name: xl.running(host) for name, host in hosts.items() if xl.is_under_xen(host)}


def answers(asking: Host, address: str) -> bool:
    """Whether ``address`` answers a ping from ``asking``."""
    return asking.run(["ping", "-c", "1", "-W", "2", address], check=False, timeout=30).ok


def answers_soon(asking: Host, address: str) -> bool:
    """The same within a few seconds, by one process: while a domain boots, looking takes from the server that it boots on."""
    return asking.run(["sh", "-c", _UNTIL_ANSWER, "sh", address], check=False, timeout=60).ok


def wait_for_answers(asking: Host, name: str, addresses: Iterable[str], reporter: Reporter, *, timeout: float) -> None:
    """Wait until the domain ``name`` answers ``asking`` on every address, for ``timeout`` seconds in all. Raises ProofError."""
    end = time.monotonic() + timeout
    for address in addresses:
        wait_for(
            partial(answers_soon, asking, address),
            timeout=max(1.0, end - time.monotonic()),
            what=f"{name} to answer on {address}",
            report=reporter.wait,
            where=asking.name,
            remedy=f"check its console: xl console {name}",
        )


def wait_until_settled(hosts: Hosts, reporter: Reporter, *, timeout: float = 900) -> None:
    """Wait until Pacemaker has nothing left to do and everything runs. Raises ProofError naming what does not, and at once
    SiteError for what does not go away by itself: maintenance, what is not managed, what is blocked."""

    def settled() -> bool | None:
        found = _asked(hosts)
        _require_working(found[1] if found else None)
        return True if found and not _busy(found[0]) else None

    wait_for(
        settled, timeout=timeout, what="the cluster to become idle", interval=POLL_INTERVAL_S, report=reporter.wait
    )


def wait_until_idle(hosts: Hosts, reporter: Reporter, *, timeout: float = 300) -> None:
    """Wait until Pacemaker has nothing left to do, whatever the resources are like. Raises ProofError."""
    wait_for(
        lambda: not _busy(any_member(hosts)) or None,
        timeout=timeout,
        what="Pacemaker to become idle",
        interval=POLL_INTERVAL_S,
        report=reporter.wait,
    )


def _busy(host: Host) -> bool:
    """Whether Pacemaker's controller has a transition under way or actions pending."""
    return not host.run(["crm_resource", "--wait", "--timeout=10"], check=False, timeout=90).ok


def move(
    hosts: Hosts,
    wanted: Mapping[str, str],
    reporter: Reporter,
    *,
    timeout: float = 900,
    how_far: Callable[[], str] = str,
) -> None:
    """Move each resource to the server given for it and leave no constraint behind. Domains are live-migrated where they can be.

    ``crm_resource --move`` works by a constraint with score INFINITY; it is removed again whatever happens, and
    expires by itself should this program be killed in between. ``timeout``: seconds for each of them. ``how_far``: what is
    said besides while it is waited for. Raises SiteError if Pacemaker was told to leave them alone.
    """
    found = _asked(hosts)
    refuse_if_held(found[1] if found else None, wanted)
    host = found[0] if found else any_member(hosts)
    domains = {resource: server for resource, server in wanted.items() if resource in domain_locations(hosts)}

    def arrived() -> bool | None:
        try:
            _require_at(hosts, domains)
        except NotYet as missing:
            said = how_far()
            raise NotYet(f"{missing}: {said}" if said else str(missing)) from missing
        state = cluster_state(hosts)
        return state is not None and all(servers_of(state, name) == (server,) for name, server in wanted.items())

    with _without_constraints(hosts, wanted, reporter):
        for resource, server in wanted.items():
            if found is not None and servers_of(found[1], resource) == (server,):
                continue  # crm_resource takes that for an error; what an earlier move has left is removed below
            reporter.say(f"moving {resource} to {server}")
            words = ["crm_resource", "--move", f"--resource={resource}", f"--node={server}"]
            done = host.run([*words, f"--lifetime=PT{_LIFETIME_S // 60}M"], check=False)
            if not done.ok:
                raise CommandError(done.stderr.strip() or "crm_resource --move failed", where=host.name)
        wait_for(
            arrived,
            timeout=timeout * len(wanted),
            what=listed([f"{resource} to run on {server}" for resource, server in wanted.items()]),
            interval=POLL_INTERVAL_S,
            sparing=True,
            report=reporter.wait,
        )


@contextmanager
def _without_constraints(hosts: Hosts, resources: Collection[str], reporter: Reporter) -> Iterator[None]:
    """Remove what moves of ``resources`` leave, whatever happens. A second Ctrl-C waits for that."""
    with leftovers.until_removed(f"the constraint of the move of {listed(list(resources))}", lifetime=_LIFETIME_S):
        try:
            yield
        finally:
            _clear(hosts, resources, reporter)


def configuration(host: Host) -> bytes:
    """The cluster's whole configuration (CIB), as XML."""
    return host.run(["cibadmin", "--query"]).stdout.encode()


def arrived_live(hosts: Hosts, domain: str, server: str) -> bool:
    """Whether ``domain`` is on ``server`` by a live migration, as Pacemaker has noted it."""
    return cib_facts.arrived_live(configuration(any_member(hosts)), domain, server)


def interrupted_move(hosts: Hosts, domains: Iterable[str]) -> str | None:
    """What a move has left that was killed: one of ``domains`` on its way, or a constraint. None if nothing."""
    found = _asked(hosts)
    if found is None:
        return None
    host, state = found
    where = domain_locations(hosts)
    for name in domains:
        if name in where and state.resource(name) and set(where[name]) != set(servers_of(state, name)):
            has = listed(servers_of(state, name)) or "no server"
            return f"{name} is on its way: it runs on {listed(where[name])}, and Pacemaker has it on {has}"
    left = sorted(_left_by_moves(host))
    return f"an interrupted move has left a constraint on {listed(left)}" if left else None


def finish_moves(hosts: Hosts, reporter: Reporter) -> None:
    """Wait for the moves that were begun, then remove their constraints: without one a domain on its way would go back."""
    wait_until_idle(hosts, reporter, timeout=900)
    _clear(hosts, sorted(_left_by_moves(any_member(hosts))), reporter)


def _left_by_moves(host: Host) -> frozenset[str]:
    return cib_facts.left_by_interrupted_moves(configuration(host))


def _clear(hosts: Hosts, resources: Iterable[str], reporter: Reporter) -> None:
    """Remove the constraints of moves. Each is tried, whatever becomes of the others; the first error is raised then."""
    errors = []
    for resource in resources:
        try:
            _clear_one(hosts, resource, reporter)
        except LostLockError:
            raise
        except SnowError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _clear_one(hosts: Hosts, resource: str, reporter: Reporter) -> None:
    """Through whatever server answers, also if Pacemaker comes back only now. Raises SiteError, with what to type."""
    words = ["crm_resource", "--clear", f"--resource={resource}"]

    def cleared() -> bool:
        try:
            done = any_member(hosts).run(words, check=False)
        except LostLockError:
            raise
        except (SiteError, CommandError) as error:  # Pacemaker is restarted just now, or too busy to answer
            raise NotYet(error.message.splitlines()[0]) from error
        if not done.ok:
            raise NotYet(done.stderr.strip() or f"exit code {done.returncode}")
        return True

    wait_for(
        cleared,
        timeout=_CLEAR_S,
        what=f"the constraint of the move of {resource} to be removed",
        interval=2,
        report=Shielded(reporter).wait,
        unreachable_is_not_yet=True,
        error=SiteError,
        remedy=f"it expires by itself within 30 minutes; or: {' '.join(words)}",
    )


def _require_at(hosts: Hosts, domains: Mapping[str, str]) -> None:
    """Raise NotYet unless each domain is on its server. Asked of xl, which takes a tenth of what Pacemaker's own answer takes
    from servers that are busy with just this."""
    for server in sorted(set(domains.values())):
        there = xl.running(hosts[server])
        missing = [name for name, wanted in domains.items() if wanted == server and name not in there]
        if missing:
            raise NotYet(f"{', '.join(missing)} not there yet")


def set_standby(hosts: Hosts, server: str, on: bool) -> None:
    """Keep resources off a server, or let them back."""
    value = "on" if on else "off"
    words = ["crm_attribute", f"--node={server}", "--name=standby", "--lifetime=forever"]
    any_member(hosts).run([*words, f"--update={value}"] if on else [*words, "--delete"])


def drain(hosts: Hosts, server: str, reporter: Reporter, *, timeout: float = 1800) -> None:
    """Put ``server`` in standby and wait until nothing runs there: its domains are live-migrated away. Raises SiteError if
    Pacemaker was told to leave them alone."""
    now = cluster_state(hosts)
    refuse_if_held(now, [one.id for one in now.resources if server in one.servers] if now else [])
    set_standby(hosts, server, True)

    def empty() -> bool | None:
        left = sorted(
            xl.running(hosts[server])
        )  # first: Pacemaker's own answer takes ten times as much from a busy server
        if left:
            raise NotYet(f"{', '.join(left)} still there")
        state = cluster_state(hosts)
        if state is None:
            return None
        left = [resource.id for resource in state.resources if server in resource.servers and not resource.is_fencing]
        if left:
            raise NotYet(f"{', '.join(left)} still there")
        return True

    wait_for(
        empty,
        timeout=timeout,
        what=f"{server} to be empty",
        interval=POLL_INTERVAL_S,
        sparing=True,
        report=reporter.wait,
    )
