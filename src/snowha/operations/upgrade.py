"""``snow upgrade``: the packages of one server after the other: drained, upgraded, rebooted, proven, taken back.

A server that is being upgraded has a note (``NOTE``) from before it is drained until everything is proven: so the next run goes
on with one that was interrupted, from whichever machine. A server with neither the note nor packages to upgrade is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snowha.cluster import placement
from snowha.errors import ProofError, SiteError, UnreachableError
from snowha.hosts.files import make_dir, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import wait_for
from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.operations import move_plan
from snowha.operations.moves import Mover
from snowha.operations.site_start import storage_missing
from snowha.plan.step import Reporter, Step
from snowha.provision import corosync, pacemaker
from snowha.provision.servers import software
from snowha.provision.servers.boot import boot_id, reboot, wait_for_xen
from snowha.site.model import Domain, Server
from snowha.site.names import listed
from snowha.xen import xl

NOTE = "/var/lib/snow-ha/upgrading"
"""On a server that is being upgraded: the id of the boot that it had before."""
TRIAL = "snow-ha-trial"
"""A domain without disks or network, migrated live onto a server that was upgraded before a real one is."""
_TRIAL_CONFIG = "/run/snow-ha-trial.cfg"
_MIGRATE_S = 300

# apt-get(8): -s needs no lock, and changes nothing
_SIMULATED = read_only_script("apt-get -s -q -o Debug::NoLocking=1 --with-new-pkgs upgrade")
# Linux, drivers/xen/manage.c: its kernel has said so once it hears a request
_READ_XENSTORE = read_only_script('xenstore-read "$1"')
_INST = re.compile(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+)", re.MULTILINE)
_TELLING = re.compile(r"xen-hypervisor|linux-image|^xen-utils|^corosync$|^pacemaker$")


@dataclass(frozen=True)
class Package:
    name: str
    before: str
    """Empty: it is new."""
    after: str


@dataclass(frozen=True)
class ServerPlan:
    """What is due on a server. ``moves``: once the servers before it are drained; worked out anew when it is its turn."""

    server: str
    packages: tuple[Package, ...]
    is_begun: bool
    """An earlier run was interrupted there."""
    moves: move_plan.MovePlan | None

    @property
    def is_due(self) -> bool:
        return self.is_begun or bool(self.packages)


def parse_upgrade(text: str) -> tuple[Package, ...]:
    """What ``apt-get -s upgrade`` would install."""
    return tuple(Package(name, before, after) for name, before, after in _INST.findall(text))


def upgradable(host: Host) -> tuple[Package, ...]:
    """Packages of which ``host`` knows a newer version, by its lists as they are. Raises CommandError."""
    return parse_upgrade(host.run(["sh", "-c", _SIMULATED], timeout=120).stdout)


def plan(context: SiteContext, mover: Mover, servers: Sequence[str], reporter: Reporter) -> tuple[ServerPlan, ...]:
    """Read the package lists of ``servers``, and work out what is due. Nothing is installed.

    Raises SiteError if a server could not be drained, and if the cluster is not well before the first one.
    """
    hosts = {name: context.hosts[name] for name in servers}
    each(list(hosts.values()), lambda host: software.refresh(host, reporter))
    packages, begun = each(list(hosts.values()), upgradable), each(list(hosts.values()), _note)
    due = [name for name in servers if packages[name] or begun[name] is not None]
    if not due:
        return tuple(ServerPlan(name, (), False, None) for name in servers)
    seen = mover.placement_state()
    drained = [name for name in due if begun[name] is None and cluster.is_standby(seen.cluster, name)]
    if drained:
        raise SiteError(
            f"{drained[0]} is in standby", where=drained[0], remedy="if it is to be used again: snow undrain"
        )
    # one that an earlier run has taken out is back by the time that the next one is drained
    land = move_plan.with_back(seen, [name for name in due if begun[name] is not None])
    found = []
    for name in servers:
        moves = None
        if name in due and (begun[name] is None or land.running.get(name)):
            moves = move_plan.drain(land, name, restart=mover.restart)
            land = move_plan.after(land, moves.moves)
        found.append(ServerPlan(name, packages[name], begun[name] is not None, moves))
    if not any(one.is_begun for one in found):
        trouble = _problem(context)
        if trouble:
            raise SiteError(f"the cluster is not well: {trouble}", remedy="see `snow ha status`; put that right first")
    return tuple(found)


def lines(plans: Sequence[ServerPlan]) -> list[str]:
    """For a person to read before it happens."""
    text = []
    for one in plans:
        if not one.is_due:
            text.append(f"{one.server}: up to date")
            continue
        text.append(
            f"{one.server}: {'gone on with' if one.is_begun else f'{len(one.packages)} packages'}, then a reboot"
        )
        telling = (package for package in one.packages if _TELLING.search(package.name))
        text += [f"  {package.name}: {package.before or 'new'} to {package.after}" for package in telling]
        text += [f"  {line}" for line in move_plan.lines(one.moves)] if one.moves else []
    return text


def steps(context: SiteContext, mover: Mover, servers: Sequence[str]) -> list[Step]:
    """One server after the other; what fails ends it."""
    found: list[Step] = []
    for name in servers:
        server = context.site.server(name)
        domains = tuple(domain.name for domain in context.site.domains)
        work = _Upgrade(context, mover, server)
        for kind, title, check, apply, interrupts in (
            ("well", f"See the cluster well before {name}", work.not_healthy, work.wait_until_healthy, ()),
            ("drain", f"Drain {name}", work.not_drained, work.drain, domains),
            ("packages", f"Upgrade the packages of {name}", work.not_upgraded, work.upgrade, ()),
            ("reboot", f"Reboot {name}", work.not_rebooted, work.reboot, (name,)),
            ("back", f"See {name} back in the cluster", work.not_back, work.bring_back, ()),
            ("trial", f"Migrate a trial domain to {name}", work.not_tried, work.try_migration, ()),
            ("done", f"Let {name} run domains again", work.not_done, work.finish, ()),
        ):
            found.append(
                Step(
                    id=f"upgrade.{kind}.{name}",
                    server=name,
                    restarts=kind == "reboot",
                    title=title,
                    section="servers",
                    check=check,
                    apply=apply,
                    needs=tuple(step.id for step in found[-1:]),
                    interrupts=interrupts,
                )
            )
    return found


def _note(host: Host) -> str | None:
    return read_text(host, NOTE)


def _problem(context: SiteContext, *, but: str = "") -> str | None:
    """What must not be so while a server is taken out: anything that does not run, or a server other than ``but`` that is out."""
    state = cluster.cluster_state({name: host for name, host in context.hosts.items() if name != but})
    if state is None:
        return "Pacemaker does not run"
    absent = [name for name in context.hosts if name != but and not state.is_online(name)]
    return f"not online: {', '.join(absent)}" if absent else cluster.problem_in(state)


class _Upgrade:
    """One server. Each ``not_…`` says what is missing, None where nothing is due."""

    def __init__(self, context: SiteContext, mover: Mover, server: Server) -> None:
        self.context = context
        self.mover = mover
        self.server = server
        self.name = server.name
        self.host = context.hosts[server.name]
        self.tried = False

    @property
    def others(self) -> Mapping[str, Host]:
        return {name: host for name, host in self.context.hosts.items() if name != self.name}

    def not_healthy(self) -> str | None:
        is_begun = _note(self.host) is not None
        if not is_begun and not upgradable(self.host):
            return None
        return _problem(self.context, but=self.name if is_begun else "")

    def wait_until_healthy(self, reporter: Reporter) -> None:
        cluster.wait_until_settled(dict(self.others), reporter)
        trouble = self.not_healthy()
        if trouble:
            raise SiteError(trouble, remedy="see `snow ha status`")

    def not_drained(self) -> str | None:
        if _note(self.host) is None:
            packages = upgradable(self.host)
            return f"{len(packages)} packages can be upgraded" if packages else None
        if not self._is_before_reboot():
            return None
        state = cluster.cluster_state(dict(self.others))
        if state is None or not cluster.is_standby(state, self.name):
            return "it is not in standby"
        left = sorted(xl.running(self.host))
        return f"{', '.join(left)} still there" if left else None

    def drain(self, reporter: Reporter) -> None:
        """By the plan, worked out for the site as it is now; then standby."""
        moves = move_plan.drain(self.mover.placement_state(), self.name, restart=self.mover.restart).moves
        make_dir(self.host, "/var/lib/snow-ha", mode=0o700)
        write_file(self.host, NOTE, f"{boot_id(self.host)}\n", mode=0o600, keep=False)
        for step in self.mover.all(moves):
            step.apply(reporter)
        cluster.drain(self.context.hosts, self.name, reporter)

    def not_upgraded(self) -> str | None:
        if not self._is_before_reboot():
            return None
        packages = upgradable(self.host)
        return f"{len(packages)} packages can be upgraded" if packages else None

    def upgrade(self, reporter: Reporter) -> None:
        """Out of the cluster first: an upgrade of Corosync or Pacemaker restarts it, and a server that leaves is not fenced."""
        reporter.say(f"stopping Pacemaker and Corosync on {self.name}")
        self.host.run(["systemctl", "stop", "pacemaker", "corosync"], timeout=300)
        software.refresh(self.host, reporter)
        count = 0

        def line(text: str) -> None:
            nonlocal count
            if text.startswith("Setting up "):
                count += 1
                reporter.say(f"{self.name} sets up {text.split()[2]} ({count})")

        words = [*software.APT, "--with-new-pkgs", *software.KEEP_CONFIGS, "upgrade"]
        software.when_free(self.host, words, reporter, on_line=line)
        self.host.run(["systemctl", "daemon-reload"], timeout=120)

    def not_rebooted(self) -> str | None:
        return "it has not been rebooted since" if self._is_before_reboot() else None

    def reboot(self, reporter: Reporter) -> None:
        left = sorted(xl.running(self.host))
        if left:
            raise SiteError(
                f"{', '.join(left)} run there", where=self.name, remedy="something started them: see snow ha log"
            )
        reporter.say(f"rebooting {self.name}")
        self.host.run(["systemctl", "stop", "pacemaker", "corosync"], timeout=300)
        with self.context.restarting(self.name):
            reboot(self.host, reporter, what=f"{self.name} to boot")

    def not_back(self) -> str | None:
        if _note(self.host) is None or self._is_before_reboot():
            return None
        state = cluster.cluster_state(dict(self.others))
        if state is None or not state.is_online(self.name):
            return "it is not in the cluster"
        return self._unproven()

    def bring_back(self, reporter: Reporter) -> None:
        """Xen, storage, cluster, and what proves that they work: links and quorum, and a BMC that answers."""
        wait_for_xen(self.host, reporter)
        wait_for(
            lambda: storage_missing(self.context, self.host) is None,
            timeout=300,
            what=f"the shared file systems on {self.name}",
            interval=3,
            report=reporter.wait,
            where=self.name,
        )
        pacemaker.join(self.context, [self.server], reporter)
        wait_for(
            lambda: self._unproven() is None,
            timeout=300,
            what=f"links, quorum and BMC of {self.name}",
            interval=5,
            report=reporter.wait,
            where=self.name,
            remedy="snow ha check; then run this again",
        )

    def _unproven(self) -> str | None:
        links = corosync.membership_missing(self.context)
        if links:
            return links
        try:
            power = pacemaker.power_status(next(iter(self.others.values())), self.server)
        except UnreachableError as error:
            return error.message.splitlines()[0]
        return None if power == "on" else f"its BMC says that it is {power}"

    def not_tried(self) -> str | None:
        """A trial leaves nothing that could be looked up: it is made in each run that gets here."""
        if _note(self.host) is None or self._is_before_reboot():
            return None
        return None if self.tried else "no domain was migrated to it since"

    def try_migration(self, reporter: Reporter) -> None:
        """A domain that nobody needs, live, from another server to this one. Raises ProofError, and nothing real is moved."""
        source = next(iter(self.others.values()))
        reason, domain = self._no_trial(source), _smallest(self.context.site.domains)
        if reason or domain is None:
            reporter.say(f"no trial: {reason}")
            reporter.fact("trial", f"none: {reason}")
            self.tried = True
            return
        write_file(source, _TRIAL_CONFIG, trial_config(domain), mode=0o600, keep=False)
        try:
            self._end_trial(source)  # left by a run that was killed
            reporter.say(f"starting {TRIAL} on {source.name}")
            xl.create(source, _TRIAL_CONFIG)
            control = f"/local/domain/{xl.running(source)[TRIAL].domid}/control/feature-suspend"
            wait_for(
                lambda: source.run(["sh", "-c", _READ_XENSTORE, "sh", control], check=False).stdout.strip() == "1",
                timeout=180,
                what=f"{TRIAL} to be able to be suspended",
                interval=2,
                report=reporter.wait,
                where=source.name,
            )
            reporter.say(f"migrating {TRIAL} from {source.name} to {self.name}")
            done = source.run(["xl", "migrate", TRIAL, self.name], check=False, timeout=_MIGRATE_S)
            there = xl.running(self.host).get(TRIAL)
            if not done.ok or there is None or not there.is_alive:
                said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ProofError(
                    f"a trial domain could not be migrated live from {source.name} to {self.name}: {said}",
                    where=self.name,
                    remedy=f"{self.name} stays in standby, and nothing real was moved there: compare `xl info` on both; "
                    f"when that is put right: snow upgrade {self.name}",
                )
        finally:
            self._end_trial(source)
            remove_file(source, _TRIAL_CONFIG, keep=False)
        reporter.fact("trial", f"{source.name} to {self.name}")
        self.tried = True

    def _end_trial(self, source: Host) -> None:
        for host in (source, self.host):
            for name in (TRIAL, TRIAL + xl.INCOMING, TRIAL + xl.AWAY):
                host.run(["xl", "destroy", name], check=False, timeout=60)

    def _no_trial(self, source: Host) -> str | None:
        """Why none can be made. Raises ProofError if a hypervisor does not answer: then nothing is to be moved there."""
        there, here = xl.hypervisor(source), xl.hypervisor(self.host)
        if there is None or here is None:
            raise ProofError("Xen does not answer", where=self.name if here is None else source.name, remedy="xl info")
        if not (there.migrates_pvh and here.migrates_pvh):
            return "these processors cannot migrate a PVH domain"
        domain = _smallest(self.context.site.domains)
        if domain is None:
            return "no domain of this site is PVH with a kernel and an initramfs of the server"
        needed = placement.needed_mib(domain)
        short = [host.name for host, one in ((source, there), (self.host, here)) if one.free_memory < needed]
        return f"{listed(short)} has less than {needed} MiB free" if short else None

    def not_done(self) -> str | None:
        return None if _note(self.host) is None else "it is kept from running domains"

    def finish(self, reporter: Reporter) -> None:
        cluster.set_standby(self.context.hosts, self.name, False)
        cluster.wait_until_settled(self.context.hosts, reporter)
        remove_file(self.host, NOTE, keep=False)

    def _is_before_reboot(self) -> bool:
        note = _note(self.host)
        return note is not None and note.strip() == boot_id(self.host)


def _smallest(domains: Sequence[Domain]) -> Domain | None:
    """The smallest domain whose kernel a trial can take: its memory is enough for that."""
    able = [domain for domain in domains if domain.type == "pvh" and domain.kernel and domain.ramdisk]
    return min(able, key=lambda domain: domain.memory_mib, default=None)


def trial_config(like: Domain) -> str:
    """A domain with the kernel of ``like`` that waits in its initramfs for a disk that it does not have: alive, and with nothing
    to lose. initramfs-tools(7): break=premount stops before the root is mounted."""
    values: dict[str, object] = {
        "name": TRIAL,
        "type": "pvh",
        "kernel": like.kernel,
        "ramdisk": like.ramdisk,
        "memory": like.memory_mib,
        "vcpus": 1,
        "extra": "console=hvc0 break=premount",
        "on_crash": "destroy",
        "on_reboot": "destroy",
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
