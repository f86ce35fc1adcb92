"""Pacemaker (guide: "Pacemaker"): permissions, fencing, the floating IP and a resource per domain, committed in one go.

Running domains are adopted: Pacemaker looks before it starts anything, finds them, and leaves them where they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from snowha.cluster import cib, cib_live, fencing, placement
from snowha.errors import CommandError, ProofError, SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import make_dir, read_text, stat, write_file
from snowha.hosts.many import each
from snowha.hosts.wait import NotYet, wait_for
from snowha.migration import alerts, autostart, leases, left_down
from snowha.migration.ground import Ground, site_domains
from snowha.operations import health, live
from snowha.plan.step import Reporter, Step
from snowha.site.model import Server
from snowha.xen import xl

STATE = "/var/lib/pacemaker"


def steps(ground: Ground, passwords: Mapping[str, str]) -> list[Step]:
    """The section's steps. ``passwords``: of the BMCs, by server."""
    images = tuple(f"images.{domain.name}" for domain in ground.site.domains)
    servers = ("servers.ssh", *(f"servers.kernels.{server.name}" for server in ground.new_servers))
    settings = tuple(f"servers.settings.{server.name}" for server in ground.site.servers)
    told = alerts.steps(ground)
    return [
        Step(
            id="pacemaker.fence",
            title="Query the power state at every BMC, from every server",
            section="pacemaker",
            check=partial(_fencing_missing, ground, passwords),
            apply=partial(_prepare_fencing, ground, passwords),
            needs=(*settings, *(f"servers.xen.{server.name}" for server in ground.new_servers)),
        ),
        Step(
            id="pacemaker.start",
            title="Start Pacemaker on every server",
            section="pacemaker",
            check=partial(nodes_missing, ground),
            apply=partial(_start, ground),
            needs=("corosync.start", *settings, *images),
        ),
        Step(
            id="pacemaker.autostart",
            title="Take the domains out of /etc/xen/auto: only Pacemaker starts them",
            section="pacemaker",
            check=partial(autostart.missing, ground),
            apply=partial(_remove_autostart, ground),
            needs=("pacemaker.start", "pacemaker.fence", *images, *servers),
        ),
        Step(
            id="pacemaker.leases",
            title="Lease the images that are attached",
            section="pacemaker",
            check=partial(leases.missing, ground),
            apply=partial(leases.adopt, ground),
            needs=(*settings, *images),
        ),
        *told,
        Step(
            id="pacemaker.cib",
            title="Hand fencing, floating IP and domains to Pacemaker",
            section="pacemaker",
            check=partial(_cib_missing, ground),
            apply=partial(commit, ground),
            needs=("pacemaker.autostart", "pacemaker.leases", *(step.id for step in told)),
        ),
    ]


# fencing


def _fencing_missing(ground: Ground, passwords: Mapping[str, str]) -> str | None:
    def wrong(host: Host) -> str | None:
        for server in ground.site.servers:
            path = fencing.secret_script_path(server)
            facts = stat(host, path)
            if facts is None or facts.mode != 0o700 or facts.owner != "root":
                return f"{path} is not there"
            if read_text(host, path) != fencing.render_secret_script(passwords[server.name]):
                return f"{path} has another password"
        return None

    return ground.first_missing(wrong)


def power_status(host: Host, server: Server) -> str:
    """``on`` or ``off``, as the BMC of ``server`` tells ``host``. Raises CommandError, UnreachableError."""
    completed = host.run(fencing.probe_argv(server, fencing.secret_script_path(server)), check=False, timeout=90)
    return fencing.parse_status(
        completed.stdout + completed.stderr, completed.returncode, where=f"{host.name} → BMC of {server.name}"
    )


def _prepare_fencing(ground: Ground, passwords: Mapping[str, str], reporter: Reporter) -> None:
    def prepare(host: Host) -> None:
        make_dir(host, "/etc/snow-ha", mode=0o755)
        make_dir(host, fencing.SECRETS, mode=0o700, owner="root:root")
        for server in ground.site.servers:
            script = fencing.render_secret_script(passwords[server.name])
            write_file(host, fencing.secret_script_path(server), script, mode=0o700, owner="root:root", keep=False)
            reporter.say(f"{host.name} asks the BMC of {server.name}")
            power = power_status(host, server)
            if power != "on":
                raise ProofError(
                    f"the BMC says {server.name} is {power}, but it answers",
                    where=host.name,
                    remedy="it is another machine's BMC: correct `address` of its fence in ha.toml",
                )

    ground.on_all(prepare)


# Pacemaker itself


def nodes_missing(ground: Ground) -> str | None:
    """What keeps Pacemaker from having every server online, in a line; None if nothing does."""
    for host in ground.hosts.values():
        owner = stat(host, STATE)
        if owner is None or (owner.owner, owner.group) != ("hacluster", "haclient"):
            return f"{host.name}: {STATE} does not belong to hacluster"
    state = live.cluster_state(ground.hosts)
    if state is None:
        return "Pacemaker does not run"
    absent = [server.name for server in ground.site.servers if not state.is_online(server.name)]
    return f"not online: {', '.join(absent)}" if absent else None


def _start(ground: Ground, reporter: Reporter) -> None:
    def hand_over(host: Host) -> None:
        host.run(["chown", "-R", "hacluster:haclient", STATE])
        host.run(["chmod", "750", STATE])

    ground.on_all(hand_over)
    join(ground, list(ground.site.servers), reporter)


def join(ground: Ground, servers: list[Server], reporter: Reporter) -> None:
    """Start Corosync and Pacemaker on ``servers`` and wait until the cluster has them online."""
    starting = [ground.hosts[server.name] for server in servers]
    each(starting, lambda host: host.run(["systemctl", "start", "corosync", "pacemaker"], timeout=300))
    names = [server.name for server in servers]
    wait_for(
        lambda: all((state := live.cluster_state(ground.hosts)) and state.is_online(name) for name in names) or None,
        timeout=300,
        what=f"{', '.join(names)} online in Pacemaker",
        interval=live.LOOK_EVERY_S,
        sparing=True,
        report=reporter.wait,
    )


# starting at boot


def _remove_autostart(ground: Ground, reporter: Reporter) -> None:
    def remove(host: Host) -> None:
        for path in autostart.remove(host, ground):
            reporter.say(f"{host.name}: removed {path}")

    ground.on_all(remove)


# the configuration


def options(ground: Ground) -> cib.Options:
    """What the CIB needs to know beyond the site: which domains can migrate, where the password scripts are, who runs where."""
    able = list(ground.on_all(xl.hypervisor).values())
    migrating = set()
    pvh = all(info is not None and info.migrates_pvh for info in able)
    pv = all(info is not None and info.migrates_pv for info in able)
    for domain in site_domains(ground):
        if pv if domain.type == "pv" else pvh:
            migrating.add(domain.name)
    return cib.Options(
        live_migration=frozenset(migrating),
        secret_scripts={server.name: fencing.secret_script_path(server) for server in ground.site.servers},
    )


def planned(ground: Ground) -> dict[str, str]:
    """The server that each domain prefers."""
    return placement.spread(ground.site.domains, [server.name for server in ground.site.servers], ground.site.apart)


def _wanted(ground: Ground, *, off: Collection[str] = ()) -> bytes:
    return cib.compose(ground.site, planned(ground), options=replace(options(ground), off=frozenset(off)))


def off_on_purpose(ground: Ground, running: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Domains that are off on purpose: not left down by a run of ours."""
    alive = {name for domains in running.values() for name in domains}
    return {
        domain.name
        for domain in ground.site.domains
        if domain.name not in alive and not left_down.is_noted(ground.first, domain.name)
    }


def differences(ground: Ground) -> tuple[str, ...]:
    """What ``commit`` would change now, as lines to read. Raises SiteError where Pacemaker does not run."""
    return cib_live.differs(_query(live.member(ground.hosts)), _wanted(ground))


def _query(host: Host) -> bytes:
    return host.run(["cibadmin", "--query"], timeout=60).stdout.encode()


def _cib_missing(ground: Ground) -> str | None:
    state = live.cluster_state(ground.hosts)
    if state is None:
        return "Pacemaker does not run"
    if state.maintenance and cib_live.is_suspended(_query(live.member(ground.hosts))):
        return "an earlier run has not finished replacing the domains' resource agent"
    held = health.held(state, ())
    if held is not None:
        raise live.as_error(held)
    for host in ground.hosts.values():
        if live.state_from(host):
            return next(iter(cib_live.differs(_query(host), _wanted(ground))), None) or live.trouble(ground.hosts)
    return "Pacemaker does not run"


def _finish_take_over(ground: Ground, host: Host, reporter: Reporter) -> None:
    """Let Pacemaker look at the domains with their new agent, and then manage them again.

    To Pacemaker another agent is another resource, which it would stop and start. So the cluster is told to leave everything
    alone meanwhile, what it knows of the domains is forgotten, and they are looked at anew.
    """
    live.wait_until_idle(ground.hosts, reporter)
    host.run(["crm_resource", "--refresh"], timeout=300)
    reporter.wait("waiting for Pacemaker to find the domains with their new agent")
    before = {name: server for name, servers in live.places(ground.hosts).items() for server in servers}

    def found() -> bool | None:
        state = live.cluster_state(ground.hosts)
        if state is None:
            return None
        lost = [
            name
            for name, server in before.items()
            if state.resource(name) and live.servers_of(state, name) != (server,)
        ]
        if lost:
            raise NotYet(f"{', '.join(lost)} not found yet")
        return True

    wait_for(
        found, timeout=300, what="Pacemaker to find every domain", interval=live.LOOK_EVERY_S, report=reporter.wait
    )
    live.wait_until_idle(ground.hosts, reporter)
    host.run(
        [
            "crm_attribute",
            "--type=crm_config",
            "--name=maintenance-mode",
            "--delete",
            f"--set-name={cib_live.TAKE_OVER}",
        ]
    )


def _epoch(text: bytes) -> tuple[str, ...]:
    """What changes with every change of the configuration (not of the status)."""
    found = re.search(rb"<cib [^>]*>", text)
    head = found[0].decode() if found else ""
    return tuple(re.findall(r'\b(?:admin_)?epoch="\d+"', head))


def commit(ground: Ground, reporter: Reporter) -> None:
    """Bring the cluster's configuration to what ``ground`` says, in one go. Domains that run are left where they are; a new
    one that is off stays off. Raises SiteError, CommandError, ProofError."""
    host = ground.first
    before = {name: dict(xl.running(each)) for name, each in ground.hosts.items()}
    current = _query(host)
    wanted = _wanted(ground)
    if cib_live.is_suspended(current):
        _finish_take_over(ground, host, reporter)
    if not cib_live.differs(current, wanted):
        state = live.cluster_state(ground.hosts)
        if state is not None and state.resource(cib.FLOATING_IP) and not live.servers_of(state, cib.FLOATING_IP):
            reporter.say("enabling the floating IP again")  # an undo that was interrupted has stopped it
            words = ["crm_resource", f"--resource={cib.FLOATING_IP}", "--meta", "--delete-parameter=target-role"]
            host.run(words, check=False)
        live.wait_until_settled(ground.hosts, reporter)
        return
    off = off_on_purpose(ground, before)
    if off:
        reporter.say(f"off, and staying off: {', '.join(sorted(off))}")
        wanted = _wanted(ground, off=off)
    merged = cib_live.merge(current, wanted)
    path = "/var/lib/snow-ha/cib.xml"
    make_dir(host, "/var/lib/snow-ha", mode=0o700)
    write_file(host, path, merged, mode=0o600)
    checked = host.run(["crm_verify", "--verbose", f"--xml-file={path}"], check=False)
    if not checked.ok:  # also on warnings (78): all servers are online here, so there is nothing to warn of
        raise SiteError(f"crm_verify refuses the configuration:\n{checked.stderr.strip()}", where=f"{host.name}:{path}")
    taking_over = cib_live.changes_agent(current, wanted)
    if taking_over:
        reporter.say(f"leaving {', '.join(taking_over)} alone while the resource agent is replaced")
        merged = cib_live.suspended(merged)
        write_file(host, path, merged, mode=0o600)
    reporter.say("committing the configuration")
    # the whole CIB would be refused as outdated as soon as any status changed, and would bring old status back
    if _epoch(_query(host)) != _epoch(current):
        raise SiteError("the cluster's configuration changed meanwhile", where=host.name, remedy="run this again")
    done = host.run(["cibadmin", "--replace", "--scope=configuration", f"--xml-file={path}"], check=False)
    if not done.ok:
        raise CommandError(
            done.stderr.strip(), where=host.name, remedy=f"try it: cibadmin --replace --scope=configuration {path}"
        )
    if taking_over:
        _finish_take_over(ground, host, reporter)
    wait_for(
        lambda: live.well(ground.hosts),
        timeout=300,
        what="Pacemaker to find every domain and start fencing and the floating IP",
        interval=live.LOOK_EVERY_S,
        sparing=True,
        report=reporter.wait,
    )
    adopted = {name: dict(xl.running(each)) for name, each in ground.hosts.items()}
    for server, domains in before.items():
        for name, seen in domains.items():
            now = adopted[server].get(name)
            if name in planned(ground) and (now is None or now.domid != seen.domid):
                raise ProofError(
                    f"{name} was not adopted but moved or started again",
                    where=server,
                    remedy="see its history: crm_mon -1 --inactive",
                )
    reporter.fact("adopted", sorted(name for domains in before.values() for name in domains))
