"""A server that an earlier run was restarting when it was lost: given its power again, and waited for.

A run that is killed between cutting a server's power and giving it back can do nothing more. The next one knows from the
journal what was going on, and that the server is away for this reason and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from snowha.cluster import fencing
from snowha.errors import LostLockError, SnowError
from snowha.hosts.caching import ResettableHost
from snowha.hosts.wait import wait_for
from snowha.live import cluster
from snowha.site.model import Server

FENCING = "proofs.fence"
REBOOTING = "upgrade.reboot"
RESTARTING = ("servers.xen", FENCING, REBOOTING)
"""The kinds of the steps that restart a server (``Step.restarts``). The journal has their ids: those steps cannot be made again
before every server answers."""


def concerns(servers: Sequence[Server], unfinished: Sequence[str]) -> bool:
    """Whether one of ``servers`` may be away because of one of these steps."""
    return any(_restarting(server, unfinished) for server in servers)


def _restarting(server: Server, unfinished: Sequence[str]) -> str | None:
    """The kind of the step among these that was restarting ``server``; None if none was."""
    return next((kind for kind in RESTARTING if f"{kind}.{server.name}" in unfinished), None)


def wait_for_servers(
    servers: Sequence[Server],
    hosts: Mapping[str, ResettableHost],
    unfinished: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Wait until every server answers that one of the steps ``unfinished`` was restarting. Raises ProofError.

    To be called by the run that holds the site lock: the steps may be another one's, which is not lost but goes on.
    """
    for server in servers:
        kind = _restarting(server, unfinished)
        if kind is None:
            continue
        host = hosts[server.name]
        others = [hosts[other.name] for other in servers if other.name != server.name and answers(hosts[other.name])]
        if kind == FENCING and others and _is_being_fenced(others[0], server.name):
            say(f"waiting for the end of the fencing of {server.name}, which the last run had requested")
            wait_for(
                lambda others=others, server=server: not _is_being_fenced(others[0], server.name),  # type: ignore[misc]
                timeout=300,
                what=f"the end of the fencing of {server.name}, which the last run had requested",
                interval=2,
            )
        if answers(host):
            continue
        say(f"{server.name} was being restarted when the last run was lost: waiting until it answers")
        if kind == FENCING:
            _power_on(others, server)
        wait_for(
            lambda host=host: answers(host),  # type: ignore[misc]
            timeout=900,
            what=f"{server.name} to answer again",
            interval=3,
            where=server.name,
            remedy="check its console and its power",
        )


def answers(host: ResettableHost) -> bool:
    """Whether ``host`` can be logged in to now; its connection is made anew next time if not."""
    try:
        return host.run(["true"], check=False, timeout=20).ok
    except SnowError:
        host.reset()
        return False


def _is_being_fenced(other: ResettableHost, server: str) -> bool:
    state = cluster.state_from(other, fencing=True)
    return state is not None and any(event.server == server and event.status == "pending" for event in state.fencing)


def _power_on(others: Sequence[ResettableHost], server: Server) -> None:
    for other in others:
        try:
            if other.run(
                fencing.probe_argv(server, fencing.password_script_path(server), action="on"), check=False, timeout=120
            ).ok:
                return
        except LostLockError:
            raise
        except SnowError:
            continue  # it is waited for in any case, and then said
