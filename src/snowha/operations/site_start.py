"""``snow start site``: everything started again, after a power cut or `snow stop site`, in the order in which one thing stands on
the other: servers, storage, Corosync, Pacemaker, fencing, domains.

The servers come before the storage, since only they can tell whether it answers; one that booted before it mounts it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from snowha.cluster import cib_facts, fencing
from snowha.cluster.fencing import Power
from snowha.errors import SiteError, UnreachableError
from snowha.hosts.caching import ResettableHost
from snowha.hosts.files import exists
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import cluster
from snowha.live.context import SiteContext, site_domains
from snowha.operations import site_stop
from snowha.plan.step import Reporter, Step
from snowha.provision import corosync, pacemaker, recovery
from snowha.provision.pacemaker import power_status
from snowha.provision.servers import mounts
from snowha.provision.servers.boot import wait_for_xen
from snowha.site.model import Server
from snowha.site.names import agreed
from snowha.xen import xl

BOOT_S = 900.0
"""Seconds that a server may take to answer once it has power."""
_STORAGE_S = 3600.0
_BMC_S = 300.0
_DOMAINS_S = 1800.0

# statfs(2) asks the storage each time. With `hard` it waits for ever, and can be killed.
_ANSWERS = read_only_script('timeout -s KILL 20 stat -f -c %T -- "$1"')


def steps(context: SiteContext, hosts: Mapping[str, ResettableHost]) -> list[Step]:
    """``hosts``: the way to every server, whether it answers or not."""
    found = [
        ("power", "servers", "Give power to servers that are off, and wait until all run under Xen", _down, _power),
        ("storage", "servers", "Wait for the shared storage on every server", _not_mounted, _mount),
        ("corosync", "cluster", "Start Corosync, and wait for links and quorum", _no_quorum, _start_corosync),
        ("pacemaker", "cluster", "Start Pacemaker on every server", _not_online, _start_pacemaker),
    ]
    chain: list[Step] = []
    for name, section, title, check, apply in found:
        chain.append(
            Step(
                id=f"start.{name}",
                title=title,
                section=section,
                check=partial(check, context, hosts),
                apply=partial(apply, context, hosts),
                needs=tuple(step.id for step in chain[-1:]),
            )
        )
    cluster = ("start.pacemaker",)
    return [
        *chain,
        Step(
            id="start.fencing",
            title="Wait until every BMC answers",
            section="cluster",
            check=partial(_silent_bmc, context),
            apply=partial(_wait_for_bmcs, context),
            needs=cluster,
        ),
        # a BMC that stays silent is named, and keeps no domain down: every server is a member, so nobody is to be fenced
        Step(
            id="start.domains",
            title="Let Pacemaker start the domains, and wait until they answer",
            section="domains",
            check=partial(_not_running, context),
            apply=partial(_start_domains, context),
            needs=cluster,
        ),
    ]


# power


def power_on_from_here(
    servers: Sequence[Server],
    hosts: Mapping[str, ResettableHost],
    here: Host,
    passwords: Mapping[str, str],
    *,
    say: Callable[[str], None],
    wait: Callable[[str], None],
) -> None:
    """No server answers: give power to those that are off from this machine, and wait until one answers.

    ``here``: this machine. Nobody else can be at work on the site: its lock is on the servers.
    Raises UnreachableError, also if no BMC could be asked.
    """
    errors = []
    for server in servers:
        try:
            if _ask_from_here(here, server, passwords.get(server.name, ""), "status") == "on":
                say(f"{server.name} has power, but does not answer yet")
            else:
                say(f"{server.name} is off: giving it power")
                _ask_from_here(here, server, passwords.get(server.name, ""), "on")
        except UnreachableError as error:
            errors.append(error)
            say(f"{server.name}: {error.message.splitlines()[0]}")
    if len(errors) == len(servers):
        raise errors[0]
    wait_for(
        lambda: any(each(list(hosts.values()), recovery.answers).values()),
        timeout=BOOT_S,
        what="a server to answer",
        interval=5,
        report=wait,
        error=UnreachableError,
        remedy="check their consoles, and the network between this machine and them",
    )


def _ask_from_here(here: Host, server: Server, password: str, action: Literal["status", "on"]) -> Power:
    agent = fencing.device_of(server).agent
    by_hand = f"switch {server.name} on by hand, then run this again"
    if not password:
        raise UnreachableError("no server answers, and this machine has no BMC password", remedy=by_hand)
    asked = fencing.probe_input(server, password, action)
    completed = here.run([agent], input=asked, check=False, timeout=120)
    if completed.returncode in (126, 127):
        raise UnreachableError(
            f"no server answers, and this machine has no {agent} to query a BMC",
            remedy=f"{by_hand}; or install it here (apt install ipmitool, and fence-agents-ipmilan or fence-agents)",
        )
    if action == "on" and completed.ok:
        return "on"
    where = f"this machine → BMC of {server.name}"
    return fencing.parse_status(completed.stdout + completed.stderr, completed.returncode, where=where)


def _down(context: SiteContext, hosts: Mapping[str, ResettableHost]) -> str | None:
    up = each(list(hosts.values()), recovery.answers)
    silent = [name for name, answers in up.items() if not answers]
    if silent:
        return f"{agreed(silent, 'does', 'do')} not answer"
    return context.first_missing(lambda host: None if xl.hypervisor(host) else "Xen does not answer")


def _power(context: SiteContext, hosts: Mapping[str, ResettableHost], reporter: Reporter) -> None:
    up = each(list(hosts.values()), recovery.answers)
    asking = [context.hosts[name] for name, answers in up.items() if answers]
    for server in context.site.servers:
        if not up[server.name]:
            reporter.say(f"asking the BMC of {server.name}")
            _power_on(asking, server, reporter)

    def answer() -> bool:
        silent = [name for name, ok in each(list(hosts.values()), recovery.answers).items() if not ok]
        if silent:
            raise NotYet(f"{', '.join(silent)} not yet")
        return True

    wait_for(
        answer,
        timeout=BOOT_S,
        what="every server to answer",
        interval=5,
        report=reporter.wait,
        remedy='check its console and its power. If it is gone for good: docs/everyday.md, "A power cut of everything"',
    )
    for host in context.hosts.values():
        wait_for_xen(host, reporter)


def _power_on(asking: list[Host], server: Server, reporter: Reporter) -> None:
    """Through the first server that gets an answer of its BMC; one whose BMC says nothing may be booting."""
    for host in asking:
        try:
            power = power_status(host, server)
            reporter.say(f"{server.name} is {power}, according to its BMC")
            if power == "off":
                words = fencing.probe_argv(server, fencing.password_script_path(server), action="on")
                host.run(words, check=False, timeout=120)  # it is waited for in any case, and then said
            return
        except UnreachableError as error:
            reporter.say(f"{error.where}: {error.message.splitlines()[0]}")


# storage


def _not_mounted(context: SiteContext, hosts: Mapping[str, ResettableHost]) -> str | None:
    return context.first_missing(partial(storage_missing, context))


def storage_missing(context: SiteContext, host: Host) -> str | None:
    """Which shared file system is not mounted on ``host``, or does not answer there; None if none."""
    for mount in context.site.mounts:
        if mounts.mounted(host, mount) is None:
            return f"{mount.target} is not mounted"
    folders = (*(mount.target for mount in context.site.mounts), context.site.paths.images)
    for folder in dict.fromkeys(folders):
        if not host.run(["sh", "-c", _ANSWERS, "sh", folder], check=False, timeout=60).ok:
            return f"{folder} does not answer"
    return None


def _mount(context: SiteContext, hosts: Mapping[str, ResettableHost], reporter: Reporter) -> None:
    def there() -> bool:
        def one(host: Host) -> None:
            for mount in context.site.mounts:
                if mounts.mounted(host, mount) is None:
                    host.run(["mount", mount.target], check=False, timeout=150)

        context.on_all(one)
        missing = _not_mounted(context, hosts)
        if missing:
            raise NotYet(missing)
        return True

    wait_for(
        there,
        timeout=_STORAGE_S,
        what="the shared storage",
        interval=5,
        report=reporter.wait,
        remedy="check the storage server, and whether it exports to this server. Then run this again",
    )


# the cluster


def _no_quorum(context: SiteContext, hosts: Mapping[str, ResettableHost]) -> str | None:
    return corosync.membership_missing(context)


def _start_corosync(context: SiteContext, hosts: Mapping[str, ResettableHost], reporter: Reporter) -> None:
    bare = [name for name, there in context.on_all(lambda host: exists(host, corosync.CONF)).items() if not there]
    if bare:
        raise SiteError("Corosync is not configured there", where=", ".join(bare), remedy="snow ha apply")
    reporter.say("starting Corosync on every server")
    corosync.start(context, reporter)


def _not_online(context: SiteContext, hosts: Mapping[str, ResettableHost]) -> str | None:
    return pacemaker.nodes_missing(context)


def _start_pacemaker(context: SiteContext, hosts: Mapping[str, ResettableHost], reporter: Reporter) -> None:
    reporter.say("starting Pacemaker on every server")
    pacemaker.join(context, list(context.site.servers), reporter)


# fencing


def _silent_bmc(context: SiteContext) -> str | None:
    def wrong(server: Server) -> str | None:
        asking = next(host for name, host in context.hosts.items() if name != server.name)
        try:
            power = power_status(asking, server)
        except UnreachableError as error:
            return f"{error.where}: {error.message.splitlines()[0]}"
        return None if power == "on" else f"the BMC reports {server.name} as {power}, but it answers"

    return next((text for server in context.site.servers if (text := wrong(server))), None)


def _wait_for_bmcs(context: SiteContext, reporter: Reporter) -> None:
    def answer() -> bool:
        wrong = _silent_bmc(context)
        if wrong:
            raise NotYet(wrong)
        return True

    wait_for(
        answer,
        timeout=_BMC_S,
        what="every BMC to answer",
        interval=10,
        report=reporter.wait,
        remedy="until it answers, its server cannot be fenced, and its domains are not started elsewhere: repair the BMC",
    )


# domains


def _not_running(context: SiteContext) -> str | None:
    state = cluster.cluster_state(context.hosts)
    if state is None:
        return "Pacemaker does not run"
    return "Pacemaker was told to stop everything" if state.stops_everything else cluster.problem_in(state)


def _start_domains(context: SiteContext, reporter: Reporter) -> None:
    member = cluster.any_member(context.hosts)
    sets = cib_facts.stopped_since(cluster.configuration(member))
    for name in sets:
        reporter.say("letting Pacemaker start what was stopped")
        words = ["cibadmin", "--delete", "--scope=crm_config", f'--xml-text=<cluster_property_set id="{name}"/>']
        member.run(words)
    site_stop.forget_order(context)
    if sets:
        wait_for(
            lambda: (state := cluster.cluster_state(context.hosts)) is not None and not state.stops_everything,
            timeout=60,
            what="Pacemaker to be allowed to start resources",
            interval=2,
            report=reporter.wait,
            remedy="another setting may override it: crm_attribute --type=crm_config --name=stop-all-resources --query",
        )
    cluster.wait_until_settled(context.hosts, reporter, timeout=_DOMAINS_S)
    state = cluster.cluster_state(context.hosts)
    for domain in site_domains(context):
        where = cluster.servers_of(state, domain.name) if state else ()
        if where:
            asking = next((host for name, host in context.hosts.items() if name not in where), context.first)
            cluster.wait_for_answers(asking, domain.name, domain.addresses, reporter, timeout=300)
