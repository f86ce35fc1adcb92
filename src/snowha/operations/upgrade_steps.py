"""The steps of ``snow upgrade``: each server drained, upgraded, rebooted, proven, taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snowha.errors import CommandError, SiteError, UnreachableError
from snowha.hosts.files import make_dir, remove_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import wait_for
from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.operations import move_plan, trial_migration
from snowha.operations.moves import Mover
from snowha.operations.site_start import storage_missing
from snowha.operations.upgrade import NOTE, Note, ServerPlan, cluster_problem, note_of, upgradable, write_note
from snowha.plan.step import Reporter, Step
from snowha.provision import corosync, pacemaker
from snowha.provision.servers import debian_release, software
from snowha.provision.servers.boot import boot_id, reboot, wait_for_xen
from snowha.site.model import Server
from snowha.xen import xl

# Of the package xenstore-utils: it answers also where a release upgrade has removed the tools of the hypervisor that still runs,
# and with them what xl(1) executes (xen-utils-common: /usr/lib/xen-common/bin/xen-version).
_DOMAIN_IDS = read_only_script("xenstore-list /local/domain")


def steps(context: SiteContext, mover: Mover, plans: Sequence[ServerPlan]) -> list[Step]:
    """The steps of the servers that are due, one server after the other. Each step needs the one before it."""
    found: list[Step] = []
    for plan in plans:
        if not plan.is_due:
            continue
        name = plan.server
        domains = tuple(domain.name for domain in context.site.domains)
        work = _Upgrade(context, mover, context.site.server(name), plan.release)
        for kind, title, check, apply, interrupts in (
            ("healthy", f"Wait for a healthy cluster before {name}", work.not_healthy, work.wait_until_healthy, ()),
            ("drain", f"Drain {name}", work.not_drained, work.drain, domains),
            ("packages", f"Upgrade the packages of {name}", work.not_upgraded, work.upgrade, ()),
            ("reboot", f"Reboot {name}", work.not_rebooted, work.reboot, (name,)),
            ("back", f"Bring {name} back into the cluster", work.not_back, work.bring_back, ()),
            ("trial", f"Migrate a trial domain to {name}", work.untried, work.try_migration, ()),
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


class _Upgrade:
    """One server, to ``release`` if that is not empty. Each ``not_…`` says what is missing, None where nothing is due."""

    def __init__(self, context: SiteContext, mover: Mover, server: Server, release: str) -> None:
        self.context = context
        self.mover = mover
        self.server = server
        self.name = server.name
        self.host = context.hosts[server.name]
        self.release = release
        self.tried = False

    @property
    def others(self) -> Mapping[str, Host]:
        return {name: host for name, host in self.context.hosts.items() if name != self.name}

    def not_healthy(self) -> str | None:
        is_begun = note_of(self.host) is not None
        if not is_begun and not self._outdated():
            return None
        return cluster_problem(self.context, but=self.name if is_begun else "")

    def wait_until_healthy(self, reporter: Reporter) -> None:
        cluster.wait_until_settled(dict(self.others), reporter)
        found = self.not_healthy()
        if found:
            raise SiteError(found, remedy="see `snow ha status`")

    def not_drained(self) -> str | None:
        if note_of(self.host) is None:
            return self._outdated()
        if not self._is_before_reboot():
            return None
        state = cluster.cluster_state(dict(self.others))
        if state is None or not cluster.is_standby(state, self.name):
            return "it is not in standby"
        left = self._domains_left()
        return f"{', '.join(left)} still there" if left else None

    def drain(self, reporter: Reporter) -> None:
        """By the plan, worked out for the site as it is now; then standby."""
        moves = move_plan.drain(self.mover.placement_state(), self.name, restart=self.mover.restart).moves
        make_dir(self.host, "/var/lib/snow-ha", mode=0o700)
        write_note(self.host, Note(boot_id(self.host), self.release))
        for step in self.mover.all(moves):
            step.apply(reporter)
        cluster.drain(self.context.hosts, self.name, reporter)

    def not_upgraded(self) -> str | None:
        return self._outdated() if self._is_before_reboot() else None

    def upgrade(self, reporter: Reporter) -> None:
        """Out of the cluster first: an upgrade of Corosync or Pacemaker restarts it, and a server that leaves is not fenced."""
        reporter.say(f"stopping Pacemaker and Corosync on {self.name}")
        self.host.run(["systemctl", "stop", "pacemaker", "corosync"], timeout=300)
        if self.release:
            debian_release.install(self.host, self.release, reporter)
            return
        software.refresh(self.host, reporter)
        software.upgrade(self.host, ["--with-new-pkgs", "upgrade"], reporter)

    def _outdated(self) -> str | None:
        if self.release:
            return debian_release.missing(self.host, self.release)
        packages = upgradable(self.host)
        return f"{len(packages)} packages can be upgraded" if packages else None

    def not_rebooted(self) -> str | None:
        return "it has not been rebooted since" if self._is_before_reboot() else None

    def reboot(self, reporter: Reporter) -> None:
        left = self._domains_left()
        if left:
            raise SiteError(
                f"{', '.join(left)} run there", where=self.name, remedy="something started them: see `snow ha log`"
            )
        reporter.say(f"rebooting {self.name}")
        self.host.run(["systemctl", "stop", "pacemaker", "corosync"], timeout=300)
        with self.context.restarting(self.name):
            reboot(self.host, reporter, what=f"{self.name} to boot")

    def not_back(self) -> str | None:
        if note_of(self.host) is None or self._is_before_reboot():
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
        return None if power == "on" else f"its BMC reports it as {power}"

    def untried(self) -> str | None:
        """A trial leaves nothing that could be looked up: it is made in each run that gets here."""
        if note_of(self.host) is None or self._is_before_reboot():
            return None
        return None if self.tried else "no domain was migrated to it since"

    def try_migration(self, reporter: Reporter) -> None:
        """Raises ProofError, and nothing real is moved."""
        source = next(iter(self.others.values()))
        reporter.fact("trial", trial_migration.run(self.context, source, self.host, reporter))
        self.tried = True

    def not_done(self) -> str | None:
        return None if note_of(self.host) is None else "it is kept from running domains"

    def finish(self, reporter: Reporter) -> None:
        cluster.set_standby(self.context.hosts, self.name, False)
        cluster.wait_until_settled(self.context.hosts, reporter)
        remove_file(self.host, NOTE, keep=False)

    def _domains_left(self) -> list[str]:
        try:
            return sorted(xl.running(self.host))
        except CommandError:
            ids = self.host.run(["sh", "-c", _DOMAIN_IDS], timeout=60).stdout.split()
            return [f"domain {one}" for one in ids if one != "0"]

    def _is_before_reboot(self) -> bool:
        note = note_of(self.host)
        return note is not None and note.boot == boot_id(self.host)
