"""Pacemaker (guide: "Pacemaker"): permissions, fencing, the floating IP and a resource per domain, committed in one go.

Running domains are adopted: Pacemaker looks before it starts anything, finds them, and leaves them where they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from snowha.cluster import cib, cib_merge, fencing, placement
from snowha.errors import CommandError, ProofError, SiteError
from snowha.health import cluster_health
from snowha.hosts.files import make_dir, read_text, stat, write_file
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.wait import NotYet, wait_for
from snowha.live import autostart, cluster, lease_adoption, left_down
from snowha.live.context import SiteContext, site_domains
from snowha.plan.step import Reporter, Step
from snowha.provision import alerts
from snowha.site.model import Server
from snowha.xen import xl

STATE = "/var/lib/pacemaker"


def steps(context: SiteContext, passwords: Mapping[str, str]) -> list[Step]:
    """The section's steps. ``passwords``: of the BMCs, by server."""
    images = tuple(f"images.{domain.name}" for domain in context.site.domains)
    servers = ("servers.ssh", *(f"servers.kernels.{server.name}" for server in context.new_servers))
    settings = tuple(f"servers.settings.{server.name}" for server in context.site.servers)
    told = alerts.steps(context)
    return [
        Step(
            id="pacemaker.fence",
            title="Query the power state at every BMC, from every server",
            section="pacemaker",
            check=partial(_fencing_missing, context, passwords),
            apply=partial(_prepare_fencing, context, passwords),
            needs=(*settings, *(f"servers.xen.{server.name}" for server in context.new_servers)),
        ),
        Step(
            id="pacemaker.start",
            title="Start Pacemaker on every server",
            section="pacemaker",
            check=partial(nodes_missing, context),
            apply=partial(_start, context),
            needs=("corosync.start", *settings, *images),
        ),
        Step(
            id="pacemaker.autostart",
            title="Remove the domains from /etc/xen/auto: only Pacemaker starts them",
            section="pacemaker",
            check=partial(autostart.missing, context),
            apply=partial(_remove_autostart, context),
            needs=("pacemaker.start", "pacemaker.fence", *images, *servers),
        ),
        Step(
            id="pacemaker.leases",
            title="Lease the images that are attached",
            section="pacemaker",
            check=partial(lease_adoption.missing, context),
            apply=partial(lease_adoption.adopt, context),
            needs=(*settings, *images),
        ),
        *told,
        Step(
            id="pacemaker.cib",
            title="Hand fencing, floating IP and domains to Pacemaker",
            section="pacemaker",
            check=partial(_cib_missing, context),
            apply=partial(commit, context),
            needs=("pacemaker.autostart", "pacemaker.leases", *(step.id for step in told)),
        ),
    ]


# fencing


def _fencing_missing(context: SiteContext, passwords: Mapping[str, str]) -> str | None:
    def wrong(host: Host) -> str | None:
        for server in context.site.servers:
            path = fencing.password_script_path(server)
            facts = stat(host, path)
            if facts is None or facts.mode != fencing.SECRET_MODE or facts.owner != "root":
                return f"{path} is not there"
            if read_text(host, path) != fencing.render_password_script(passwords[server.name]):
                return f"{path} has another password"
        return None

    return context.first_missing(wrong)


def power_status(host: Host, server: Server) -> str:
    """``on`` or ``off``, as the BMC of ``server`` tells ``host``. Raises CommandError, UnreachableError."""
    completed = host.run(fencing.probe_argv(server, fencing.password_script_path(server)), check=False, timeout=90)
    return fencing.parse_status(
        completed.stdout + completed.stderr, completed.returncode, where=f"{host.name} → BMC of {server.name}"
    )


def _prepare_fencing(context: SiteContext, passwords: Mapping[str, str], reporter: Reporter) -> None:
    def prepare(host: Host) -> None:
        make_dir(host, "/etc/snow-ha", mode=0o755)
        make_dir(host, fencing.SECRETS, mode=fencing.SECRET_MODE, owner="root:root")
        for server in context.site.servers:
            script = fencing.render_password_script(passwords[server.name])
            path, mode = fencing.password_script_path(server), fencing.SECRET_MODE
            write_file(host, path, script, mode=mode, owner="root:root", keep=False)
            reporter.say(f"{host.name} asks the BMC of {server.name}")
            power = power_status(host, server)
            if power != "on":
                raise ProofError(
                    f"the BMC reports {server.name} as {power}, but it answers",
                    where=host.name,
                    remedy="it is another machine's BMC: correct `address` of its fence in ha.toml",
                )

    context.on_all(prepare)


# Pacemaker itself


def nodes_missing(context: SiteContext) -> str | None:
    """What keeps Pacemaker from having every server online, in a line; None if nothing does."""
    for host in context.hosts.values():
        owner = stat(host, STATE)
        if owner is None or (owner.owner, owner.group) != ("hacluster", "haclient"):
            return f"{host.name}: {STATE} does not belong to hacluster"
    state = cluster.cluster_state(context.hosts)
    if state is None:
        return "Pacemaker does not run"
    absent = [server.name for server in context.site.servers if not state.is_online(server.name)]
    return f"not online: {', '.join(absent)}" if absent else None


def _start(context: SiteContext, reporter: Reporter) -> None:
    def hand_over(host: Host) -> None:
        host.run(["chown", "-R", "hacluster:haclient", STATE])
        host.run(["chmod", "750", STATE])

    context.on_all(hand_over)
    join(context, list(context.site.servers), reporter)


def join(context: SiteContext, servers: list[Server], reporter: Reporter) -> None:
    """Start Corosync and Pacemaker on ``servers`` and wait until the cluster has them online."""
    starting = [context.hosts[server.name] for server in servers]
    each(starting, lambda host: host.run(["systemctl", "start", "corosync", "pacemaker"], timeout=300))
    names = [server.name for server in servers]
    wait_for(
        lambda: (
            all((state := cluster.cluster_state(context.hosts)) and state.is_online(name) for name in names) or None
        ),
        timeout=300,
        what=f"{', '.join(names)} online in Pacemaker",
        interval=cluster.POLL_INTERVAL_S,
        sparing=True,
        report=reporter.wait,
    )


# starting at boot


def _remove_autostart(context: SiteContext, reporter: Reporter) -> None:
    def remove(host: Host) -> None:
        for path in autostart.remove(host, context):
            reporter.say(f"{host.name}: removed {path}")

    context.on_all(remove)


# the configuration


def options(context: SiteContext) -> cib.Options:
    """What the CIB needs to know beyond the site: which domains can migrate, where the password scripts are, who runs where."""
    able = list(context.on_all(xl.hypervisor).values())
    migrating = set()
    pvh = all(info is not None and info.migrates_pvh for info in able)
    pv = all(info is not None and info.migrates_pv for info in able)
    for domain in site_domains(context):
        if not domain.never_live and (pv if domain.type == "pv" else pvh):
            migrating.add(domain.name)
    return cib.Options(
        live_migration=frozenset(migrating),
        password_scripts={server.name: fencing.password_script_path(server) for server in context.site.servers},
    )


def planned(context: SiteContext) -> dict[str, str]:
    """The server that each domain prefers."""
    return placement.spread(context.site.domains, [server.name for server in context.site.servers], context.site.apart)


def _wanted(context: SiteContext, *, off: Collection[str] = ()) -> bytes:
    return cib.compose(context.site, planned(context), options=replace(options(context), off=frozenset(off)))


def off_on_purpose(context: SiteContext, running: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Domains that are off on purpose: not left down by a run of ours."""
    alive = {name for domains in running.values() for name in domains}
    return {
        domain.name
        for domain in context.site.domains
        if domain.name not in alive and not left_down.is_noted(context.first, domain.name)
    }


def differences(context: SiteContext) -> tuple[str, ...]:
    """What ``commit`` would change now, as lines to read. Raises SiteError where Pacemaker does not run."""
    return cib_merge.differs(cluster.configuration(cluster.any_member(context.hosts)), _wanted(context))


def _cib_missing(context: SiteContext) -> str | None:
    state = cluster.cluster_state(context.hosts)
    if state is None:
        return "Pacemaker does not run"
    if state.maintenance and cib_merge.is_suspended(cluster.configuration(cluster.any_member(context.hosts))):
        return "an earlier run has not finished replacing the domains' resource agent"
    held = cluster_health.held(state, ())
    if held is not None:
        raise cluster.as_error(held)
    for host in context.hosts.values():
        if cluster.state_from(host):
            return next(
                iter(cib_merge.differs(cluster.configuration(host), _wanted(context))), None
            ) or cluster.problem(context.hosts)
    return "Pacemaker does not run"


def _finish_take_over(context: SiteContext, host: Host, reporter: Reporter) -> None:
    """Let Pacemaker look at the domains with their new agent, and then manage them again.

    To Pacemaker another agent is another resource, which it would stop and start. So the cluster is told to leave everything
    alone meanwhile, what it knows of the domains is forgotten, and they are checked anew.
    """
    cluster.wait_until_idle(context.hosts, reporter)
    host.run(["crm_resource", "--refresh"], timeout=300)
    reporter.wait("waiting for Pacemaker to find the domains with their new agent")
    before = {name: server for name, servers in cluster.domain_locations(context.hosts).items() for server in servers}

    def found() -> bool | None:
        state = cluster.cluster_state(context.hosts)
        if state is None:
            return None
        lost = [
            name
            for name, server in before.items()
            if state.resource(name) and cluster.servers_of(state, name) != (server,)
        ]
        if lost:
            raise NotYet(f"{', '.join(lost)} not found yet")
        return True

    wait_for(
        found,
        timeout=300,
        what="Pacemaker to find every domain",
        interval=cluster.POLL_INTERVAL_S,
        report=reporter.wait,
    )
    cluster.wait_until_idle(context.hosts, reporter)
    host.run(
        [
            "crm_attribute",
            "--type=crm_config",
            "--name=maintenance-mode",
            "--delete",
            f"--set-name={cib_merge.TAKE_OVER}",
        ]
    )


def _epoch(text: bytes) -> tuple[str, ...]:
    """What changes with every change of the configuration (not of the status)."""
    found = re.search(rb"<cib [^>]*>", text)
    head = found[0].decode() if found else ""
    return tuple(re.findall(r'\b(?:admin_)?epoch="\d+"', head))


def commit(context: SiteContext, reporter: Reporter) -> None:
    """Bring the cluster's configuration to what ``context`` says, in one go. Domains that run are left where they are; a new
    one that is off stays off. Raises SiteError, CommandError, ProofError."""
    host = context.first
    before = {name: dict(xl.running(each)) for name, each in context.hosts.items()}
    current = cluster.configuration(host)
    wanted = _wanted(context)
    if cib_merge.is_suspended(current):
        _finish_take_over(context, host, reporter)
    if not cib_merge.differs(current, wanted):
        state = cluster.cluster_state(context.hosts)
        if state is not None and state.resource(cib.FLOATING_IP) and not cluster.servers_of(state, cib.FLOATING_IP):
            reporter.say("enabling the floating IP again")  # an undo that was interrupted has stopped it
            words = ["crm_resource", f"--resource={cib.FLOATING_IP}", "--meta", "--delete-parameter=target-role"]
            host.run(words, check=False)
        cluster.wait_until_settled(context.hosts, reporter)
        return
    off = off_on_purpose(context, before)
    if off:
        reporter.say(f"off, and staying off: {', '.join(sorted(off))}")
        wanted = _wanted(context, off=off)
    merged = cib_merge.merge(current, wanted)
    path = "/var/lib/snow-ha/cib.xml"
    make_dir(host, "/var/lib/snow-ha", mode=0o700)
    write_file(host, path, merged, mode=0o600, keep=False)  # Pacemaker keeps its earlier configurations itself
    checked = host.run(["crm_verify", "--verbose", f"--xml-file={path}"], check=False)
    if not checked.ok:  # also on warnings (78): all servers are online here, so there is nothing to warn of
        raise SiteError(f"crm_verify refuses the configuration:\n{checked.stderr.strip()}", where=f"{host.name}:{path}")
    taking_over = cib_merge.changes_agent(current, wanted)
    if taking_over:
        reporter.say(f"keeping Pacemaker from acting on {', '.join(taking_over)} while the resource agent is replaced")
        merged = cib_merge.suspended(merged)
        write_file(host, path, merged, mode=0o600, keep=False)
    reporter.say("committing the configuration")
    # the whole CIB would be refused as outdated as soon as any status changed, and would bring old status back
    if _epoch(cluster.configuration(host)) != _epoch(current):
        raise SiteError("the cluster's configuration changed meanwhile", where=host.name, remedy="run this again")
    done = host.run(["cibadmin", "--replace", "--scope=configuration", f"--xml-file={path}"], check=False)
    if not done.ok:
        raise CommandError(
            done.stderr.strip(), where=host.name, remedy=f"try it: cibadmin --replace --scope=configuration {path}"
        )
    if taking_over:
        _finish_take_over(context, host, reporter)
    wait_for(
        lambda: cluster.require_healthy(context.hosts),
        timeout=300,
        what="Pacemaker to find every domain and start fencing and the floating IP",
        interval=cluster.POLL_INTERVAL_S,
        sparing=True,
        report=reporter.wait,
    )
    adopted = {name: dict(xl.running(each)) for name, each in context.hosts.items()}
    for server, domains in before.items():
        for name, seen in domains.items():
            now = adopted[server].get(name)
            if name in planned(context) and (now is None or now.domid != seen.domid):
                raise ProofError(
                    f"{name} was not adopted, but moved or restarted",
                    where=server,
                    remedy="see its history: crm_mon -1 --inactive",
                )
    reporter.fact("adopted", sorted(name for domains in before.values() for name in domains))
