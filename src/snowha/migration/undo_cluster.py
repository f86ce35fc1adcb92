"""The cluster taken back: domains left running, Pacemaker and Corosync stopped, their configurations moved aside."""

from __future__ import annotations

from datetime import UTC, datetime

from snowha.cluster import cib, cib_live, fencing
from snowha.cluster.live import ClusterState
from snowha.errors import ProofError, SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import exists, read_text, remove_file, write_file
from snowha.hosts.wait import NotYet, wait_for
from snowha.migration import autostart, pacemaker, snow_conf
from snowha.migration.checks.cluster import is_ours
from snowha.migration.corosync import CONF, KEY
from snowha.migration.ground import Ground
from snowha.migration.undo_files import before, before_on, changed_since, not_kept
from snowha.operations import live
from snowha.operations.proven import PROOFS
from snowha.plan.step import Reporter
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


def conf_missing(ground: Ground) -> str | None:
    """Whether snow.conf is still the cluster's."""
    text = read_text(ground.first, ground.site.paths.snow_conf)
    if text is None or snow_conf.wanted(ground, text) != text:
        return None
    return "SNOW_NODES, IMG_DST or a gateway is the cluster's" if _conf_before(ground) is not None else None


def _conf_before(ground: Ground) -> str | None:
    return before(ground, ground.site.paths.snow_conf, lambda text: snow_conf.wanted(ground, text) == text)


def conf_back(ground: Ground, reporter: Reporter) -> None:
    """Byte for byte. Raises SiteError if somebody has changed it since."""
    path = ground.site.paths.snow_conf
    original = _conf_before(ground)
    if original is None:
        raise not_kept(path, ground.first.name)
    if snow_conf.wanted(ground, original) != read_text(ground.first, path):
        raise changed_since(path, ground.first.name)
    reporter.say(f"putting {path} back")
    write_file(ground.first, path, original)


# proofs


def _records(host: Host) -> list[str]:
    words = ["find", PROOFS, "-maxdepth", "1", "-name", "*.json"]
    return sorted(host.run(words, check=False).stdout.splitlines())


def proofs_missing(ground: Ground) -> str | None:
    """Whether anything is still written down as proven."""
    return ground.first_missing(lambda host: f"{len(found)} proofs are recorded" if (found := _records(host)) else None)


def forget_proofs(ground: Ground, reporter: Reporter) -> None:
    """A cluster that is made anew is proven anew."""

    def forget(host: Host) -> None:
        for path in _records(host):
            remove_file(host, path)

    ground.on_all(forget)


# Pacemaker


def elsewhere(ground: Ground) -> str | None:
    """Which of the site's domains runs on another server than the first. Asked of the hypervisors: Pacemaker may be stopped."""
    first = ground.first.name
    for name, servers in _ours(ground).items():
        if servers != (first,):
            return f"{name} runs on {listed(servers)}"
    return None


def _ours(ground: Ground) -> dict[str, tuple[str, ...]]:
    """The site's domains that run, with their servers."""
    names = {domain.name for domain in ground.site.domains}
    return {name: servers for name, servers in live.places(ground.hosts).items() if name in names}


def gather(ground: Ground, reporter: Reporter) -> None:
    """Every domain onto the first server, live where it can be: it is the only one that starts them at boot later.

    Raises SiteError for a domain that Pacemaker cannot bring there, ProofError if one does not run there in the end.
    """
    hosts, first = ground.hosts, ground.site.servers[0]
    running = _ours(ground)
    state = _cluster(ground, reporter)
    for name, servers in running.items():
        if servers != (first.name,) and (state is None or state.resource(name) is None):
            raise SiteError(
                f"{name} runs on {listed(servers)}, and Pacemaker does not run or does not have it",
                where=servers[0],
                remedy=f"start Pacemaker there (systemctl start corosync pacemaker), or: xl shutdown {name}",
            )
    _make_usable(ground, reporter)
    for server in ground.new_servers:
        live.drain(hosts, server.name, reporter)

    def gathered() -> bool:
        now = _ours(ground)
        late = [name for name in running if now.get(name) != (first.name,)]
        if late:
            raise NotYet(f"{', '.join(late)} not yet")
        return True

    wait_for(
        gathered,
        timeout=600,
        what=f"every domain to run on {first.name}",
        interval=live.LOOK_EVERY_S,
        sparing=True,
        report=reporter.wait,
        remedy="`snow ha status` shows where they are",
    )


def _make_usable(ground: Ground, reporter: Reporter) -> None:
    """See the first server in the cluster and out of standby before another one is drained: else Pacemaker, with nowhere left to
    run them, stops every domain."""
    hosts, first = ground.hosts, ground.site.servers[0]
    state = live.cluster_state(hosts)
    if state is None or not state.is_online(first.name):
        reporter.say(f"bringing {first.name} back into the cluster")
        pacemaker.join(ground, [first], reporter)
        state = live.cluster_state(hosts)
    if state is not None and live.is_standby(state, first.name):
        live.set_standby(hosts, first.name, False)

    def usable() -> bool:
        now = live.cluster_state(hosts)
        node = now.node(first.name) if now else None
        return node is not None and node.is_usable

    wait_for(usable, timeout=120, what=f"Pacemaker to use {first.name}", interval=2, report=reporter.wait)


def _cluster(ground: Ground, reporter: Reporter) -> ClusterState | None:
    """The cluster as it is; None only if Pacemaker runs on no server. Raises ProofError if it runs and does not answer: that is
    not the same as having nothing."""
    if active(ground, "pacemaker") is None:
        return None
    return wait_for(
        lambda: live.cluster_state(ground.hosts),
        timeout=180,
        what="Pacemaker to answer",
        interval=2,
        report=reporter.wait,
        remedy="it runs but does not say what it has: systemctl status pacemaker",
    )


def _holds_ours(host: Host) -> bool:
    text = read_text(host, f"{CIB_FOLDER}/cib.xml")
    return text is not None and cib_live.MARK in text


def cib_missing(ground: Ground) -> str | None:
    """Whether Pacemaker has anything of ours, running or on disk."""
    state = live.cluster_state(ground.hosts)
    if state is not None and state.resources:
        return f"Pacemaker has {len(state.resources)} resources"
    return ground.first_missing(lambda host: "its configuration is still ours" if _holds_ours(host) else None)


def take_cib(ground: Ground, reporter: Reporter, *, again: bool) -> None:
    """Resources unmanaged, Pacemaker stopped, its configuration moved aside; ``again``: started without any.

    Raises ProofError if a domain did not survive that.
    """
    hosts = ground.hosts
    before_it = _domains(ground)
    state = _cluster(ground, reporter)
    if state is not None and state.resources:
        member = live.member(hosts)
        if state.resource(cib.FLOATING_IP) is not None:
            reporter.say("taking the floating IP off")
            words = ["crm_resource", f"--resource={cib.FLOATING_IP}", "--meta", "--set-parameter=target-role"]
            member.run([*words, "--parameter-value=Stopped"])
            wait_for(
                lambda: (now := live.cluster_state(hosts)) is not None and not live.servers_of(now, cib.FLOATING_IP),
                timeout=180,
                what="the floating IP to be on no server",
                interval=2,
                report=reporter.wait,
            )
        reporter.say("leaving all resources alone")
        member.run(["crm_attribute", "--type=crm_config", "--name=maintenance-mode", "--update=true"])
        wait_for(
            lambda: (now := live.cluster_state(hosts)) is not None and now.maintenance,
            timeout=60,
            what="Pacemaker to leave its resources alone",
            report=reporter.wait,
        )
    stop(ground, "pacemaker", reporter)
    after = _domains(ground)
    for server, domains in before_it.items():
        for name, seen in domains.items():
            if name not in after[server] or after[server][name].domid != seen.domid:
                raise ProofError(f"{name} did not survive that Pacemaker was stopped", where=server, remedy="xl list")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    ground.on_all(lambda host: host.run(["sh", "-c", EMPTY, "sh", CIB_FOLDER, f"{ASIDE}/cib", now]))
    if again:
        pacemaker.join(ground, list(ground.site.servers), reporter)


def _domains(ground: Ground) -> dict[str, dict[str, xl.Running]]:
    """What every hypervisor runs, by server."""
    return ground.on_all(lambda host: xl.running(host) if xl.is_under_xen(host) else {})


def active(ground: Ground, unit: str) -> str | None:
    return ground.first_missing(lambda host: f"{unit} runs" if live.is_active(host, unit) else None)


def stop(ground: Ground, unit: str, reporter: Reporter) -> None:
    """Stop a service on every server at once: one server alone would be missed by the others."""
    reporter.say(f"stopping {unit}")
    ground.on_all(lambda host: host.run(["systemctl", "stop", unit], timeout=300))


# what starts at boot


def links_missing(ground: Ground) -> str | None:
    return ground.first_missing(
        lambda host: f"{len(found)} domains do not start at boot" if (found := autostart.lost(host, ground)) else None
    )


def links_back(ground: Ground, reporter: Reporter) -> None:
    for host in ground.hosts.values():
        for path, what in autostart.lost(host, ground).items():
            reporter.say(f"{host.name}: {path} again")
            autostart.give_back(host, path, what)


# fencing, Corosync


def _scripts(host: Host, ground: Ground) -> list[str]:
    return [path for server in ground.site.servers if exists(host, path := fencing.secret_script_path(server))]


def scripts_missing(ground: Ground) -> str | None:
    return ground.first_missing(lambda host: "the BMCs' passwords are still there" if _scripts(host, ground) else None)


def remove_scripts(ground: Ground, reporter: Reporter) -> None:
    """The BMCs' passwords. No version is kept: they are where you work, in a file of their own."""

    def remove(host: Host) -> None:
        for path in _scripts(host, ground):
            remove_file(host, path, keep=False)

    ground.on_all(remove)


def _corosync_ours(host: Host) -> bool:
    return is_ours(read_text(host, CONF) or "")


def corosync_conf_missing(ground: Ground) -> str | None:
    return ground.first_missing(lambda host: f"{CONF} is ours" if _corosync_ours(host) else None)


def corosync_conf_back(ground: Ground, reporter: Reporter) -> None:
    """As it was before, or none: the earlier version is kept."""
    for host in ground.hosts.values():
        if not _corosync_ours(host):
            continue
        original = before_on(host, CONF, is_ours)
        if original is None:
            remove_file(host, CONF)
        else:
            write_file(host, CONF, original)


def key_missing(ground: Ground) -> str | None:
    return ground.first_missing(lambda host: f"{KEY} is there" if exists(host, KEY) else None)


def remove_key(ground: Ground, reporter: Reporter) -> None:
    ground.on_all(lambda host: remove_file(host, KEY))
