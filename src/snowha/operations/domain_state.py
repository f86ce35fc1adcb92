"""Where one domain is now, as the hypervisors and Pacemaker say, and whether its images are free: what a verb acts on.

A server that does not answer counts as one that may run the domain, unless the cluster has quorum and says that the server is
gone (it left, or was fenced).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from snowha.cluster.crm_mon import ClusterState, Resource
from snowha.errors import LostLockError, SiteError, SnowError, UnreachableError
from snowha.health import leases
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.live import cluster
from snowha.site.model import Domain
from snowha.xen import xl
from snowha.xen.leases import Leases


@dataclass(frozen=True)
class Servers:
    """The servers of a site, and how a domain is started that Pacemaker does not have."""

    hosts: cluster.Hosts
    start: Callable[[Domain], None]
    """Raises SiteError if it may not be started (live/starting.py)."""


@dataclass(frozen=True)
class DomainState:
    """One domain now."""

    name: str
    running: Mapping[str, xl.Running]
    """By server: the domain itself, whatever its state, and what a broken migration left of it."""
    silent: Mapping[str, str]
    """Servers that cannot say whether they run it, with the reason."""
    cluster: ClusterState | None

    @property
    def resource(self) -> Resource | None:
        return self.cluster.resource(self.name) if self.cluster else None

    @property
    def is_off(self) -> bool:
        """It runs nowhere, for certain."""
        return not self.running and not self.silent

    @property
    def is_kept_off(self) -> bool:
        """Pacemaker was told to leave it off. False also where Pacemaker does not have it."""
        return self.resource is not None and self.resource.target_role.lower() == "stopped"

    @property
    def where(self) -> str:
        """In words, for a message."""
        if self.running:
            doing: dict[str, list[str]] = {}
            for server, one in self.running.items():
                doing.setdefault(self._doing(one), []).append(server)
            return " and ".join(f"it {what} on {' and '.join(servers)}" for what, servers in doing.items())
        if self.silent:
            return "; ".join(
                f"{server} cannot tell whether it runs there: {why}" for server, why in self.silent.items()
            )
        return "it is off"

    @property
    def until_arrived(self) -> str:
        """What to do about one that is being migrated."""
        return f"wait until it has arrived: snow show domain {self.name}; if no migration is under way: snow ha resolve"

    def _doing(self, running: xl.Running) -> str:
        """Half of one that migrates is paused, too: that is as it must be."""
        if running.name != self.name:
            return "is being migrated"
        return "has crashed" if "c" in running.state else "is paused" if running.is_paused else "runs"

    def only_one(self) -> tuple[str, xl.Running]:
        """The one server that runs it; of one that is being migrated the server that it leaves, until it has arrived. Raises
        UnreachableError where that is not known, SiteError for none or more than one."""
        own = {server: one for server, one in self.running.items() if one.name == self.name} or self.running
        if len(own) == 1:
            return next(iter(own.items()))
        said = f"{self.name} has no console: {self.where}"
        if self.running and own is self.running:  # no half of it has its name: nothing to shut down
            raise SiteError(said, remedy=self.until_arrived)
        if self.running:
            raise SiteError(said, remedy=f"shut one of them down now: xl shutdown {self.name} there")
        if self.silent:
            raise UnreachableError(
                said, remedy="bring back every server that does not answer, or wait until it is fenced"
            )
        raise SiteError(said, remedy=f"snow boot {self.name}")


def state_of(servers: Servers, name: str) -> DomainState:
    """Ask every server at once."""

    def one(host: Host) -> xl.Running | SnowError | None:
        try:
            if not xl.is_under_xen(host):
                return None
            found = xl.running(host)
        except LostLockError:
            raise
        except SnowError as error:
            return error
        return next((found[part] for part in (name, name + xl.INCOMING, name + xl.AWAY) if part in found), None)

    answers = each(list(servers.hosts.values()), one)
    state = cluster.cluster_state(servers.hosts)
    silent = {
        server: answer.message.splitlines()[0] for server, answer in answers.items() if isinstance(answer, SnowError)
    }
    running = {server: answer for server, answer in answers.items() if isinstance(answer, xl.Running)}
    return DomainState(name, running, {s: why for s, why in silent.items() if not _is_gone(state, s)}, state)


def _is_gone(state: ClusterState | None, server: str) -> bool:
    """Whether nothing can run on ``server``: the others have quorum, it is no member, and nobody waits for it to be fenced."""
    node = state.node(server) if state is not None else None
    if state is None or node is None or not state.quorate or state.maintenance:
        return False
    return not (node.online or node.unclean or node.pending)


def pacemaker_has(servers: Servers, state: DomainState) -> bool:
    """Whether Pacemaker runs the domain; else xl starts and stops it. Raises SiteError if Pacemaker does not say."""
    if state.cluster is not None:
        return state.resource is not None
    for server, host in servers.hosts.items():
        if server not in state.silent and cluster.is_active(host, "pacemaker"):
            raise SiteError(
                f"Pacemaker does not report whether it has {state.name}",
                where=server,
                remedy="wait a minute and run it again; if it persists: systemctl status pacemaker",
            )
    return False


def image_in_use(servers: Servers, state: DomainState, domain: Domain) -> str | None:
    """Which of the domain's images is not free, in a line; None if all are. Volumes of one server have no lease: they are free
    when the domain is off."""
    return images_in_use({name: host for name, host in servers.hosts.items() if name not in state.silent}, [domain])


def images_in_use(hosts: cluster.Hosts, domains: Iterable[Domain]) -> str | None:
    """The same of several domains at once. ``hosts``: the servers that can be asked."""
    images = leases.images_in(list(domains))
    if not images:
        return None
    answers: dict[str, Leases | None] = each(list(hosts.values()), _ask)
    for row in leases.status(images, answers, leases.records(hosts, answers, images)):
        if row.attached:
            return f"{row.image} is still attached on {' and '.join(row.attached)}"
        if row.holder and answers.get(row.holder) is not None:
            return f"{row.image} is still leased to {row.holder}"
        if row.state in ("unknown", "unreadable"):
            return f"it is unknown whether {row.image} is free: its record cannot be read"
    return None


def _ask(host: Host) -> Leases | None:
    """None of a server that is gone."""
    try:
        return leases.ask(host)
    except LostLockError:
        raise
    except SnowError:
        return None
