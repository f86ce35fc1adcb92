"""Pacemaker taken off the servers: domains left running, its configuration moved aside, the BMCs' passwords removed."""

from __future__ import annotations

from datetime import UTC, datetime

from snowha.cluster import cib, cib_merge, fencing
from snowha.cluster.crm_mon import ClusterState
from snowha.errors import ProofError, SiteError
from snowha.hosts.files import exists, read_text, remove_file
from snowha.hosts.host import Host
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import autostart, cluster, services
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.provision import pacemaker
from snowha.site.names import listed
from snowha.xen import xl

CIB_FOLDER = "/var/lib/pacemaker/cib"
ASIDE = "/var/lib/snow-ha/aside"
# Parameters: folder, where to, name. The folder itself stays, with its mode and owner.
EMPTY = """\
export LC_ALL=C; set -eu; umask 077
[ -d "$1" ] && [ -n "$(ls -A -- "$1")" ] || { echo same; exit 0; }
mkdir -p -- "$2"
cp -a -- "$1" "$2/$3"
sync -- "$2"
rm -f -- "$1"/*
echo changed
"""


# domains to the first server


def not_on_first(context: SiteContext) -> str | None:
    """Which of the site's domains runs on another server than the first. Asked of the hypervisors: Pacemaker may be stopped."""
    first = context.first.name
    for name, servers in _ours(context).items():
        if servers != (first,):
            return f"{name} runs on {listed(servers)}"
    return None


def _ours(context: SiteContext) -> dict[str, tuple[str, ...]]:
    """The site's domains that run, with their servers."""
    names = {domain.name for domain in context.site.domains}
    return {name: servers for name, servers in cluster.domain_locations(context.hosts).items() if name in names}


def move_to_first(context: SiteContext, reporter: Reporter) -> None:
    """Every domain onto the first server, live where it can be: it is the only one that starts them at boot later.

    Raises SiteError for a domain that Pacemaker cannot bring there, ProofError if one does not run there in the end.
    """
    hosts, first = context.hosts, context.site.servers[0]
    running = _ours(context)
    state = _answering_state(context, reporter)
    for name, servers in running.items():
        if servers != (first.name,) and (state is None or state.resource(name) is None):
            raise SiteError(
                f"{name} runs on {listed(servers)}, and Pacemaker does not run or does not have it",
                where=servers[0],
                remedy=f"start Pacemaker there (systemctl start corosync pacemaker), or: xl shutdown {name}",
            )
    _make_usable(context, reporter)
    for server in context.new_servers:
        cluster.drain(hosts, server.name, reporter)

    def all_on_first() -> bool:
        now = _ours(context)
        late = [name for name in running if now.get(name) != (first.name,)]
        if late:
            raise NotYet(f"{', '.join(late)} not yet")
        return True

    wait_for(
        all_on_first,
        timeout=600,
        what=f"every domain to run on {first.name}",
        interval=cluster.POLL_INTERVAL_S,
        sparing=True,
        report=reporter.wait,
        remedy="`snow ha status` shows where they are",
    )


def _make_usable(context: SiteContext, reporter: Reporter) -> None:
    """See the first server in the cluster and out of standby before another one is drained: else Pacemaker, with nowhere left to
    run them, stops every domain."""
    hosts, first = context.hosts, context.site.servers[0]
    state = cluster.cluster_state(hosts)
    if state is None or not state.is_online(first.name):
        reporter.say(f"bringing {first.name} back into the cluster")
        pacemaker.join(context, [first], reporter)
        state = cluster.cluster_state(hosts)
    if state is not None and cluster.is_standby(state, first.name):
        cluster.set_standby(hosts, first.name, False)

    def usable() -> bool:
        now = cluster.cluster_state(hosts)
        node = now.node(first.name) if now else None
        return node is not None and node.is_usable

    wait_for(usable, timeout=120, what=f"Pacemaker to use {first.name}", interval=2, report=reporter.wait)


# Pacemaker's configuration


def _answering_state(context: SiteContext, reporter: Reporter) -> ClusterState | None:
    """The cluster as it is; None only if Pacemaker runs on no server. Raises ProofError if it runs and does not answer: that is
    not the same as having nothing."""
    if services.active(context, "pacemaker") is None:
        return None
    return wait_for(
        lambda: cluster.cluster_state(context.hosts),
        timeout=180,
        what="Pacemaker to answer",
        interval=2,
        report=reporter.wait,
        remedy="it runs, but does not report its resources: systemctl status pacemaker",
    )


def _holds_ours(host: Host) -> bool:
    text = read_text(host, f"{CIB_FOLDER}/cib.xml")
    return text is not None and cib_merge.MARK in text


def configuration_left(context: SiteContext) -> str | None:
    """Whether Pacemaker has anything of ours, running or on disk."""
    state = cluster.cluster_state(context.hosts)
    if state is not None and state.resources:
        return f"Pacemaker has {len(state.resources)} resources"
    return context.first_missing(lambda host: "its configuration is still snow-ha's" if _holds_ours(host) else None)


def remove_configuration(context: SiteContext, reporter: Reporter, *, again: bool) -> None:
    """Resources unmanaged, Pacemaker stopped, its configuration moved aside; ``again``: started without any.

    Raises ProofError if a domain did not survive that.
    """
    hosts = context.hosts
    earlier = _domains(context)
    state = _answering_state(context, reporter)
    if state is not None and state.resources:
        member = cluster.any_member(hosts)
        if state.resource(cib.FLOATING_IP) is not None:
            reporter.say("stopping the floating IP")
            words = ["crm_resource", f"--resource={cib.FLOATING_IP}", "--meta", "--set-parameter=target-role"]
            member.run([*words, "--parameter-value=Stopped"])
            wait_for(
                lambda: (
                    (now := cluster.cluster_state(hosts)) is not None and not cluster.servers_of(now, cib.FLOATING_IP)
                ),
                timeout=180,
                what="the floating IP to be on no server",
                interval=2,
                report=reporter.wait,
            )
        reporter.say("leaving all resources alone")
        member.run(["crm_attribute", "--type=crm_config", "--name=maintenance-mode", "--update=true"])
        wait_for(
            lambda: (now := cluster.cluster_state(hosts)) is not None and now.maintenance,
            timeout=60,
            what="Pacemaker to leave its resources alone",
            report=reporter.wait,
        )
    services.stop(context, "pacemaker", reporter)
    after = _domains(context)
    for server, domains in earlier.items():
        for name, seen in domains.items():
            if name not in after[server] or after[server][name].domid != seen.domid:
                raise ProofError(
                    f"{name} stopped or restarted while Pacemaker was stopped", where=server, remedy="xl list"
                )
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    context.on_all(lambda host: host.run(["sh", "-c", EMPTY, "sh", CIB_FOLDER, f"{ASIDE}/cib", now]))
    if again:
        pacemaker.join(context, list(context.site.servers), reporter)


def _domains(context: SiteContext) -> dict[str, dict[str, xl.Running]]:
    """What every hypervisor runs, by server."""
    return context.on_all(lambda host: xl.running(host) if xl.is_under_xen(host) else {})


# what starts at boot


def autostart_missing(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: f"{len(found)} domains do not start at boot" if (found := autostart.lost(host, context)) else None
    )


def restore_autostart(context: SiteContext, reporter: Reporter) -> None:
    for host in context.hosts.values():
        for path, what in autostart.lost(host, context).items():
            reporter.say(f"{host.name}: restoring {path}")
            autostart.restore(host, path, what)


# fencing


def _password_scripts(host: Host, context: SiteContext) -> list[str]:
    return [path for server in context.site.servers if exists(host, path := fencing.password_script_path(server))]


def passwords_left(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: "the BMCs' passwords are still there" if _password_scripts(host, context) else None
    )


def remove_passwords(context: SiteContext, reporter: Reporter) -> None:
    """The BMCs' passwords. No version is kept: they are where you work, in a file of their own."""

    def remove(host: Host) -> None:
        for path in _password_scripts(host, context):
            remove_file(host, path, keep=False)

    context.on_all(remove)
