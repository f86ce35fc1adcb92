"""Domains booted, shut down, rebooted, reset and destroyed: a step for each domain, true when it ends.

Booted means that it answers; shut down means that it is off, kept off by Pacemaker, and that its images are free. Through
Pacemaker where that has the domain, else through xl on the server that runs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

from snowha.cluster.crm_mon import ClusterState, Resource
from snowha.errors import CommandError, LostLockError, ProofError, SiteError, SnowError
from snowha.health import cluster_health
from snowha.hosts.host import Host
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import cluster
from snowha.operations.domain_state import DomainState, Servers, image_in_use, pacemaker_has, state_of
from snowha.plan.step import Reporter, Shielded, Step
from snowha.site.model import Domain
from snowha.xen import xl

Verb = Literal["boot", "shutdown", "poweroff", "reboot", "reset", "destroy"]

_TITLES: dict[Verb, str] = {
    "boot": "Boot {name}",
    "shutdown": "Shut {name} down",
    "poweroff": "Shut {name} down",
    "reboot": "Reboot {name}",
    "reset": "Cut the power of {name}, and boot it",
    "destroy": "Cut the power of {name}",
}
_POLL_INTERVAL_S = 2.0
_NOTHING_STARTS = ("no-quorum", "server-unclean")
"""Findings for as long as which Pacemaker starts nothing, or not what a lost server may run."""


def step(servers: Servers, domain: Domain, verb: Verb, *, timeout: float) -> Step:
    """What makes ``verb`` true of a domain. ``timeout``: seconds for all of it. Its ``apply`` raises SiteError for what forbids
    it, ProofError if it is not so in time."""
    done: list[bool] = []  # what is asked for each time is done when it was carried out
    before = partial(_asked_for, done)
    checks: dict[Verb, Callable[[], str | None]] = {
        "boot": partial(not_booted, servers, domain),
        "shutdown": partial(not_off, servers, domain),
        "poweroff": partial(not_off, servers, domain),
        "destroy": partial(not_off, servers, domain),
        "reboot": before,
        "reset": before,
    }
    works: dict[Verb, Callable[[_Work], None]] = {
        "boot": _boot,
        "shutdown": _shut_down,
        "poweroff": _shut_down,
        "destroy": _destroy,
        "reboot": _reboot,
        "reset": _reset,
    }

    def apply(reporter: Reporter) -> None:
        works[verb](_Work(servers, domain, reporter, timeout))
        done.append(True)

    return Step(
        id=f"{verb}.{domain.name}",
        title=_TITLES[verb].format(name=domain.name),
        section="domains",
        check=checks[verb],
        apply=apply,
        interrupts=() if verb == "boot" else (domain.name,),
    )


def _asked_for(done: list[bool]) -> str | None:
    return None if done else "asked for"


def not_booted(servers: Servers, domain: Domain) -> str | None:
    """What is missing for it to count as booted: it runs on one server, is to run, and answers."""
    state = state_of(servers, domain.name)
    _refuse_twice(state)
    if state.is_kept_off:
        return "Pacemaker keeps it off"
    if not _works(state):
        return state.where
    silent = _silent_address(servers, state, domain)
    return f"it does not answer on {silent}" if silent else None


def not_off(servers: Servers, domain: Domain) -> str | None:
    """What is missing for it to count as shut down: it is off, Pacemaker keeps it off, and its images are free. Raises SiteError
    if Pacemaker does not say whether it would start it."""
    state = state_of(servers, domain.name)
    if not state.is_off:
        return state.where
    if pacemaker_has(servers, state) and state.resource is not None and not state.is_kept_off:
        return "Pacemaker would start it"
    return image_in_use(servers, state, domain)


class _Work:
    """One domain, and the time that is left for it."""

    def __init__(self, servers: Servers, domain: Domain, reporter: Reporter, timeout: float) -> None:
        self.servers = servers
        self.domain = domain
        self.reporter = reporter
        self._timeout = timeout
        self._end = time.monotonic() + timeout

    @property
    def left(self) -> float:
        return max(1.0, self._end - time.monotonic())

    def again(self) -> _Work:
        """With all of the time."""
        return _Work(self.servers, self.domain, self.reporter, self._timeout)

    def state(self) -> DomainState:
        return state_of(self.servers, self.domain.name)

    def wait(self, condition: Callable[[], bool | None], what: str, remedy: str) -> None:
        wait_for(
            condition,
            timeout=self.left,
            what=what,
            interval=_POLL_INTERVAL_S,
            sparing=True,
            report=self.reporter.wait,
            remedy=remedy,
        )


def _boot(work: _Work) -> None:
    _start(work)
    _wait_booted(work)


def _start(work: _Work) -> None:
    name, state = work.domain.name, work.state()
    _refuse_twice(state)
    if pacemaker_has(work.servers, state):
        cluster.refuse_if_held(state.cluster, [name], anywhere=True)
        member = cluster.any_member(work.servers.hosts)
        if state.cluster is not None and _has_failed(state.cluster, name):
            member.run(["crm_resource", "--cleanup", f"--resource={name}"], timeout=120)
        if state.is_kept_off:
            member.run(["crm_resource", f"--resource={name}", "--meta", "--delete-parameter=target-role"])
    elif not state.running:
        work.reporter.say(f"starting {name}")
        work.servers.start(work.domain)
    elif _has_crashed(state):
        raise SiteError(
            f"{name} cannot be started: {state.where}", remedy=f"snow destroy {name}; then: snow boot {name}"
        )


def _wait_booted(work: _Work) -> None:
    name = work.domain.name
    work.wait(lambda: _runs(work.state()), f"{name} to run", f"see why it is not started: snow show domain {name}")
    _wait_for_answers(work)


def _runs(state: DomainState) -> bool:
    """For waiting: raises NotYet with the reason, SiteError for what a person has to end."""
    _refuse_twice(state)
    cluster.refuse_if_held(state.cluster, [state.name], anywhere=True)
    if _works(state):
        return True
    raise NotYet("; ".join(_reasons(state)) or state.where)


def _reasons(state: DomainState) -> list[str]:
    """Why Pacemaker does not start it, as far as it says."""
    if state.cluster is None or state.running:
        return []
    failures = [one for one in state.cluster.failures if one.resource == state.name]
    waits = [one.message for one in cluster_health.of_cluster(state.cluster) if one.code in _NOTHING_STARTS]
    return [*(f"{one.task} on {one.server}: {one.reason}" for one in failures), *waits]


def _wait_for_answers(work: _Work) -> None:
    state = work.state()
    addresses = work.domain.addresses
    asking = _asking(work.servers, state)
    if not addresses:
        work.reporter.say(f"{work.domain.name} runs; its config has no address to ping")
    elif asking is not None:
        cluster.wait_for_answers(asking, work.domain.name, addresses, work.reporter, timeout=work.left)


def _shut_down(work: _Work) -> None:
    name, state = work.domain.name, work.state()
    if pacemaker_has(work.servers, state):
        _keep_off(work, state)
    else:
        for server in state.running:
            xl.shut_down(work.servers.hosts[server], name, timeout=work.left, report=work.reporter.say)
    _wait_off(work)


def _destroy(work: _Work) -> None:
    """Without asking the system in it. Pacemaker is told first: it would start the domain again."""
    state = work.state()
    if pacemaker_has(work.servers, state):
        _keep_off(work, state)
    for server, running in state.running.items():
        done = work.servers.hosts[server].run(["xl", "destroy", running.name], check=False, timeout=120)
        if not done.ok and server in work.state().running:
            raise CommandError(f"xl destroy {running.name}: {done.stderr.strip()}", where=server)
    _wait_off(work)


def _keep_off(work: _Work, state: DomainState) -> None:
    name = work.domain.name
    cluster.refuse_if_held(state.cluster, [name], anywhere=True)
    if not state.is_kept_off:
        words = ["crm_resource", f"--resource={name}", "--meta", "--set-parameter=target-role"]
        cluster.any_member(work.servers.hosts).run([*words, "--parameter-value=Stopped"])


def _wait_off(work: _Work) -> None:
    def off() -> bool:
        state = work.state()
        if state.cluster is not None:
            cluster.refuse_if_held(state.cluster, [state.name], anywhere=True)
        if not state.is_off:
            raise NotYet(state.where)
        in_use = image_in_use(work.servers, state, work.domain)
        if in_use:
            raise NotYet(in_use)
        return True

    name = work.domain.name
    work.wait(off, f"{name} to be off and its images free", f"check its console: snow console {name}")


def _reboot(work: _Work) -> None:
    """Through its own system, where it is: Pacemaker's agent knows a domain that reboots."""
    name, state = work.domain.name, work.state()
    server, before = _only_place(state)
    _refuse_migrating(state, "reboot")
    if before.is_paused:
        raise SiteError(
            f"{name} cannot reboot: {state.where}", remedy=f"xl unpause {name} there, or: snow reset {name}"
        )
    work.servers.hosts[server].run(["xl", "reboot", name], timeout=120)

    def again() -> bool:
        now = work.state()
        _refuse_twice(now)
        if not _works(now):
            raise NotYet(now.where)
        if {place: one.domid for place, one in now.running.items()} == {server: before.domid}:
            raise NotYet("it has not shut down yet")
        return True

    work.wait(again, f"{name} to be restarted", f"check its console: snow console {name}")
    _wait_for_answers(work)


def _reset(work: _Work) -> None:
    name, state = work.domain.name, work.state()
    _only_place(state)
    _refuse_migrating(state, "be reset")
    if state.silent:
        said = "; ".join(f"{server} does not say whether it runs there: {why}" for server, why in state.silent.items())
        remedy = "bring back every server that does not answer, or see it fenced: it would stay off until then"
        raise SiteError(f"{name} is not reset: {said}", remedy=remedy)
    # Ctrl-C in between would leave it off, and kept off, which nobody has asked for; and `snow reset` is refused then
    shielded = _Work(work.servers, work.domain, Shielded(work.reporter), work.left)
    try:
        _destroy(shielded)
        _start(shielded)
    except LostLockError:
        raise
    except SnowError as error:
        if not state.is_kept_off:
            _let_run_again(work, error)
        raise
    _wait_booted(work.again())


def _let_run_again(work: _Work, error: SnowError) -> None:
    """After a reset that failed half way: Pacemaker starts the domain as soon as it can, also when its server is lost."""
    words = ["crm_resource", f"--resource={work.domain.name}", "--meta", "--delete-parameter=target-role"]
    try:
        if work.state().is_kept_off:
            cluster.any_member(work.servers.hosts).run(words)
    except LostLockError:
        raise
    except SnowError:
        error.remedy = f"{error.remedy}; Pacemaker keeps it off until: snow boot {work.domain.name}".removeprefix("; ")


def _only_place(state: DomainState) -> tuple[str, xl.Running]:
    _refuse_twice(state)
    if not _is_alive(state):
        remedy = f"snow boot {state.name}" if state.is_off else "see `snow ha status`"
        if _has_crashed(state):
            remedy = f"snow destroy {state.name}; then: snow boot {state.name}"
        raise SiteError(f"{state.name} cannot be restarted: {state.where}", remedy=remedy)
    return next(iter(state.running.items()))


def _refuse_twice(state: DomainState) -> None:
    if len(state.running) > 1 and not _is_migrating(state):
        raise SiteError(
            f"{state.name} runs on {' and '.join(state.running)} at once",
            remedy="shut one of them down now: xl shutdown there, and check its file system",
        )


def _refuse_migrating(state: DomainState, what: str) -> None:
    if _is_migrating(state):
        raise SiteError(f"{state.name} cannot {what}: {state.where}", remedy=state.until_arrived)


def _is_migrating(state: DomainState) -> bool:
    return any(one.name != state.name for one in state.running.values())


def _is_alive(state: DomainState) -> bool:
    return any(one.name == state.name and one.is_alive for one in state.running.values())


def _works(state: DomainState) -> bool:
    """It is alive, and not paused."""
    return any(one.name == state.name and one.is_alive and not one.is_paused for one in state.running.values())


def _has_crashed(state: DomainState) -> bool:
    """And was kept for somebody to look at (on_crash=preserve)."""
    return any(one.name == state.name and "c" in one.state for one in state.running.values())


def _has_failed(cluster: ClusterState, name: str) -> bool:
    resource: Resource | None = cluster.resource(name)
    return (resource is not None and resource.failed) or any(one.resource == name for one in cluster.failures)


def _asking(servers: Servers, state: DomainState) -> Host | None:
    """Who asks whether it answers: another server than its own, where one is there."""
    there = [name for name in servers.hosts if name not in state.silent and not _is_out(servers, state, name)]
    others = [name for name in there if name not in state.running]
    return servers.hosts[(others or there)[0]] if there else None


def _is_out(servers: Servers, state: DomainState, server: str) -> bool:
    """A server that is gone was not listed among the silent ones."""
    node = state.cluster.node(server) if state.cluster else None
    return node is not None and not node.online and server not in state.running


def _silent_address(servers: Servers, state: DomainState, domain: Domain) -> str | None:
    asking = _asking(servers, state)
    if asking is None:
        raise ProofError(f"no server could ping {domain.name}")
    return next((address for address in domain.addresses if not cluster.answers_soon(asking, address)), None)
