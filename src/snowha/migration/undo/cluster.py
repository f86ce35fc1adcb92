"""The cluster taken back: domains left running, Pacemaker and Corosync stopped, their configurations moved aside."""

from __future__ import annotations

from datetime import UTC, datetime

from snowha.checks.cluster import is_ours
from snowha.cluster import cib, cib_merge, fencing
from snowha.cluster.crm_mon import ClusterState
from snowha.errors import ProofError, SiteError
from snowha.hosts.files import exists, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import autostart, cluster
from snowha.live.context import SiteContext
from snowha.live.proof_records import PROOFS
from snowha.migration.undo.files import before, before_on, changed_since, not_kept
from snowha.plan.step import Reporter
from snowha.provision import pacemaker, snow_conf
from snowha.provision.corosync import CONF, KEY
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


# snow.conf


def conf_missing(context: SiteContext) -> str | None:
    """Whether snow.conf is still the cluster's."""
    text = read_text(context.first, context.site.paths.snow_conf)
    if text is None or snow_conf.wanted(context, text) != text:
        return None
    return "SNOW_NODES, IMG_DST or a gateway is the cluster's" if _conf_before(context) is not None else None


def _conf_before(context: SiteContext) -> str | None:
    return before(context, context.site.paths.snow_conf, lambda text: snow_conf.wanted(context, text) == text)


def conf_back(context: SiteContext, reporter: Reporter) -> None:
    """Byte for byte. Raises SiteError if somebody has changed it since."""
    path = context.site.paths.snow_conf
    original = _conf_before(context)
    if original is None:
        raise not_kept(path, context.first.name)
    if snow_conf.wanted(context, original) != read_text(context.first, path):
        raise changed_since(path, context.first.name)
    reporter.say(f"putting {path} back")
    write_file(context.first, path, original)


# proofs


def _records(host: Host) -> list[str]:
    words = ["find", PROOFS, "-maxdepth", "1", "-name", "*.json"]
    return sorted(host.run(words, check=False).stdout.splitlines())


def proofs_missing(context: SiteContext) -> str | None:
    """Whether anything is still written down as proven."""
    return context.first_missing(
        lambda host: f"{len(found)} proofs are recorded" if (found := _records(host)) else None
    )


def forget_proofs(context: SiteContext, reporter: Reporter) -> None:
    """A cluster that is made anew is proven anew."""

    def forget(host: Host) -> None:
        for path in _records(host):
            remove_file(host, path)

    context.on_all(forget)


# Pacemaker


def elsewhere(context: SiteContext) -> str | None:
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


def gather(context: SiteContext, reporter: Reporter) -> None:
    """Every domain onto the first server, live where it can be: it is the only one that starts them at boot later.

    Raises SiteError for a domain that Pacemaker cannot bring there, ProofError if one does not run there in the end.
    """
    hosts, first = context.hosts, context.site.servers[0]
    running = _ours(context)
    state = _cluster(context, reporter)
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

    def gathered() -> bool:
        now = _ours(context)
        late = [name for name in running if now.get(name) != (first.name,)]
        if late:
            raise NotYet(f"{', '.join(late)} not yet")
        return True

    wait_for(
        gathered,
        timeout=600,
        what=f"every domain to run on {first.name}",
        interval=cluster.LOOK_EVERY_S,
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


def _cluster(context: SiteContext, reporter: Reporter) -> ClusterState | None:
    """The cluster as it is; None only if Pacemaker runs on no server. Raises ProofError if it runs and does not answer: that is
    not the same as having nothing."""
    if active(context, "pacemaker") is None:
        return None
    return wait_for(
        lambda: cluster.cluster_state(context.hosts),
        timeout=180,
        what="Pacemaker to answer",
        interval=2,
        report=reporter.wait,
        remedy="it runs but does not say what it has: systemctl status pacemaker",
    )


def _holds_ours(host: Host) -> bool:
    text = read_text(host, f"{CIB_FOLDER}/cib.xml")
    return text is not None and cib_merge.MARK in text


def cib_missing(context: SiteContext) -> str | None:
    """Whether Pacemaker has anything of ours, running or on disk."""
    state = cluster.cluster_state(context.hosts)
    if state is not None and state.resources:
        return f"Pacemaker has {len(state.resources)} resources"
    return context.first_missing(lambda host: "its configuration is still ours" if _holds_ours(host) else None)


def take_cib(context: SiteContext, reporter: Reporter, *, again: bool) -> None:
    """Resources unmanaged, Pacemaker stopped, its configuration moved aside; ``again``: started without any.

    Raises ProofError if a domain did not survive that.
    """
    hosts = context.hosts
    before_it = _domains(context)
    state = _cluster(context, reporter)
    if state is not None and state.resources:
        member = cluster.any_member(hosts)
        if state.resource(cib.FLOATING_IP) is not None:
            reporter.say("taking the floating IP off")
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
    stop(context, "pacemaker", reporter)
    after = _domains(context)
    for server, domains in before_it.items():
        for name, seen in domains.items():
            if name not in after[server] or after[server][name].domid != seen.domid:
                raise ProofError(f"{name} did not survive that Pacemaker was stopped", where=server, remedy="xl list")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    context.on_all(lambda host: host.run(["sh", "-c", EMPTY, "sh", CIB_FOLDER, f"{ASIDE}/cib", now]))
    if again:
        pacemaker.join(context, list(context.site.servers), reporter)


def _domains(context: SiteContext) -> dict[str, dict[str, xl.Running]]:
    """What every hypervisor runs, by server."""
    return context.on_all(lambda host: xl.running(host) if xl.is_under_xen(host) else {})


def active(context: SiteContext, unit: str) -> str | None:
    return context.first_missing(lambda host: f"{unit} runs" if cluster.is_active(host, unit) else None)


def stop(context: SiteContext, unit: str, reporter: Reporter) -> None:
    """Stop a service on every server at once: one server alone would be missed by the others."""
    reporter.say(f"stopping {unit}")
    context.on_all(lambda host: host.run(["systemctl", "stop", unit], timeout=300))


# what starts at boot


def links_missing(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: f"{len(found)} domains do not start at boot" if (found := autostart.lost(host, context)) else None
    )


def links_back(context: SiteContext, reporter: Reporter) -> None:
    for host in context.hosts.values():
        for path, what in autostart.lost(host, context).items():
            reporter.say(f"{host.name}: {path} again")
            autostart.give_back(host, path, what)


# fencing, Corosync


def _scripts(host: Host, context: SiteContext) -> list[str]:
    return [path for server in context.site.servers if exists(host, path := fencing.secret_script_path(server))]


def scripts_missing(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: "the BMCs' passwords are still there" if _scripts(host, context) else None
    )


def remove_scripts(context: SiteContext, reporter: Reporter) -> None:
    """The BMCs' passwords. No version is kept: they are where you work, in a file of their own."""

    def remove(host: Host) -> None:
        for path in _scripts(host, context):
            remove_file(host, path, keep=False)

    context.on_all(remove)


def _corosync_ours(host: Host) -> bool:
    return is_ours(read_text(host, CONF) or "")


def corosync_conf_missing(context: SiteContext) -> str | None:
    return context.first_missing(lambda host: f"{CONF} is ours" if _corosync_ours(host) else None)


def corosync_conf_back(context: SiteContext, reporter: Reporter) -> None:
    """As it was before, or none: the earlier version is kept."""
    for host in context.hosts.values():
        if not _corosync_ours(host):
            continue
        original = before_on(host, CONF, is_ours)
        if original is None:
            remove_file(host, CONF)
        else:
            write_file(host, CONF, original)


def key_missing(context: SiteContext) -> str | None:
    return context.first_missing(lambda host: f"{KEY} is there" if exists(host, KEY) else None)


def remove_key(context: SiteContext, reporter: Reporter) -> None:
    context.on_all(lambda host: remove_file(host, KEY))
