"""Whether a domain may be started: the one rule for every start of ours.

A logical volume can only be opened on its own server, so that server alone is asked. An image can be opened on every server:
none of them may run the domain, and Pacemaker, which may start it at any time, must not have it. A server that cannot say counts
as one that runs it, unless this very run is restarting it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from snowha.errors import InputError, SiteError, SnowError
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.live import cluster
from snowha.live.context import read_config
from snowha.site.model import Domain
from snowha.site.names import listed
from snowha.xen import xl

PATIENCE_S = 60.0
"""Seconds that a domain may take to end after it was asked to, and a server to say whether it runs there."""
_POLL_INTERVAL = 2.0


class Servers(Protocol):
    """Where a domain can be: those of a site (``SiteContext``), or of ``ha.toml`` before anything is asked
    (``connect.Connections``)."""

    @property
    def hosts(self) -> Mapping[str, Host]: ...

    @property
    def first(self) -> Host:
        """The one that runs the domains until Pacemaker has them."""

    @property
    def restarted(self) -> Collection[str]:
        """Those that this run is restarting now: no domain runs there."""


@dataclass(frozen=True)
class DomainLocation:
    """Where a domain is, as the hypervisors say."""

    name: str
    running: Mapping[str, xl.Running]
    """By server."""
    unknown: Mapping[str, str]
    """Servers that cannot say, with the reason."""

    @property
    def unanswered(self) -> str:
        return "; ".join(
            f"{server} cannot tell whether it runs {self.name}: {why}" for server, why in self.unknown.items()
        )


@dataclass(frozen=True)
class Obstacle:
    """Why a domain may not be started."""

    reason: str
    is_there: bool
    """It runs, or Pacemaker sees to it; else nobody knows."""


def from_volumes(domain: Domain) -> bool:
    """Whether all its disks are devices of one server."""
    disks = domain.moved_disks
    return bool(disks) and all(disk.target.startswith("/dev/") and not disk.script for disk in disks)


def obstacle(context: Servers, name: str, domain: Domain | None) -> Obstacle | None:
    """Why the first server may not start the domain with the disks that ``domain`` has; None if it may. Where these are not
    known, they count as images."""
    if domain is not None and from_volumes(domain):
        return _elsewhere(locate(context, name, [context.first]))
    return _elsewhere(locate(context, name)) or pacemakers(context, name)


def may_start(context: Servers, name: str, config: str, wait: Callable[[str], None], *, patience: float) -> bool:
    """Whether the first server may start the domain from what its config names now, after it was asked to shut down.

    False if it is there, and still is after ``patience`` seconds. So long is waited, too, for a server that does not say whether
    it runs there: then SiteError. ``wait`` is told what is waited for.
    """
    began = time.monotonic()
    try:
        _, domain = read_config(context.first, name, config)
    except InputError:
        domain = None  # xl may know better what to make of it
    while hindered := obstacle(context, name, domain):
        if time.monotonic() - began >= patience:
            if hindered.is_there:
                return False
            raise SiteError(hindered.reason, remedy=f"once it is certain that it runs nowhere: xl create {config}")
        what = (
            "which was asked to shut down, to end or to continue" if hindered.is_there else f"since {hindered.reason}"
        )
        wait(f"waiting for {name}, {what}")
        time.sleep(_POLL_INTERVAL)
    return True


def start(context: Servers, name: str, config: str, domain: Domain) -> None:
    """Start the domain on the first server. Raises SiteError if that may not be, CommandError if xl refuses."""
    hindered = obstacle(context, name, domain)
    if hindered:
        raise SiteError(
            f"{name} is not started: {hindered.reason}",
            where=context.first.name,
            remedy="check where it runs: `snow ha status`, and `xl list` on every server",
        )
    xl.create(context.first, config, timeout=300)


def refuse_unless_here(context: Servers, name: str) -> None:
    """Raise SiteError unless the domain is off, or runs on the first server alone, and Pacemaker does not have it: before it is
    shut down, since it could not be started from its image else."""
    first = context.first.name
    hindered = pacemakers(context, name)
    if hindered and hindered.is_there:
        raise SiteError(
            f"{hindered.reason}, so it cannot be moved from LVM here",
            where=first,
            remedy="remove it from the cluster's configuration first, or correct its config by hand",
        )
    seen = locate(context, name)
    elsewhere = [server for server in seen.running if server != first]
    if elsewhere:
        raise SiteError(f"{name} runs on {listed(elsewhere)}", where=first, remedy=f"migrate it to {first} first")
    unanswered = seen.unanswered or (hindered.reason if hindered else "")
    if unanswered:
        raise SiteError(unanswered, remedy="make every server answer: any of them can have an image open")


def locate(context: Servers, name: str, servers: Sequence[Host] = ()) -> DomainLocation:
    """Where the domain is on ``servers``, else on all that this run is not restarting. They are asked at once."""

    def query(host: Host) -> xl.Running | SnowError | None:
        try:
            return xl.running(host).get(name) if host in servers or xl.is_under_xen(host) else None
        except SnowError as error:
            return error

    answers = each(list(servers) or _to_be_asked(context), query)
    return DomainLocation(
        name,
        {server: answer for server, answer in answers.items() if isinstance(answer, xl.Running)},
        {server: answer.message.splitlines()[0] for server, answer in answers.items() if isinstance(answer, SnowError)},
    )


def pacemakers(context: Servers, name: str) -> Obstacle | None:
    """That Pacemaker has the domain, or may: then nobody else starts or stops it, whatever it does with it just now."""

    def query(host: Host) -> str:
        try:
            state = cluster.state_from(host)
            if state is None:
                return "unanswered" if cluster.is_active(host, "pacemaker") else ""
            return "has" if state.resource(name) is not None else ""
        except SnowError:
            return "unanswered"

    answers = each(_to_be_asked(context), query)
    if "has" in answers.values():
        return Obstacle(f"Pacemaker has {name}", is_there=True)
    unanswered = [server for server, answer in answers.items() if answer]
    if unanswered:
        return Obstacle(f"Pacemaker on {listed(unanswered)} does not report whether it has {name}", is_there=False)
    return None


def _to_be_asked(context: Servers) -> list[Host]:
    return [host for server, host in context.hosts.items() if server not in context.restarted]


def _elsewhere(seen: DomainLocation) -> Obstacle | None:
    if seen.running:
        return Obstacle(f"{seen.name} runs on {listed(seen.running)}", is_there=True)
    return Obstacle(seen.unanswered, is_there=False) if seen.unknown else None
