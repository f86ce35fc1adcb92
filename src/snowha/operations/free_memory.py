"""Whether the servers have room for a domain that is added or gets another size. Memory in MiB."""

from __future__ import annotations

from collections.abc import Mapping

from snowha.cluster import placement
from snowha.errors import SiteError
from snowha.hosts.host import Host
from snowha.operations.placement_state import PlacementState
from snowha.site.model import Domain
from snowha.xen import xl


def refuse_too_large(capacity: Mapping[str, int], domain: Domain) -> None:
    """Raise SiteError for a domain that has no room on any server, even if it were empty. ``capacity``: what each has for domains
    in all; of none, nothing is known."""
    if not capacity:
        return
    most = max(capacity.values())
    if placement.needed_mib(domain) > most:
        raise SiteError(
            f"{domain.name} needs {placement.needed_mib(domain)} MiB, and no server has more than {most} MiB for domains",
            remedy="give it less memory: --memory",
        )


def of_single(host: Host) -> dict[str, int]:
    """The capacity of a server that is in no cluster yet; of one that is not under Xen nothing."""
    hypervisor = xl.hypervisor(host)
    if hypervisor is None:
        return {}
    return {host.name: hypervisor.free_memory + sum(one.memory_mib for one in xl.running(host).values())}


def lines(state: PlacementState, domain: Domain, server: str) -> list[str]:
    """What the loss of a server would mean once ``domain``, as it is to be, runs: on ``server``, unless it runs already."""
    domains = {**{name: state.sized(name) for name in state.domains}, domain.name: domain}
    capacity = {name: mib for name, mib in state.room_after_loss().items() if name in state.usable()}
    where = {
        name: at for at, running in state.running.items() for name in running if name in domains and at in capacity
    }
    where.setdefault(domain.name, server)
    lost = placement.fits_after_loss([domains[name] for name in where], where, capacity)
    if not lost:
        return ["the loss of another server would be survived"]
    return [f"a loss that would not be survived: {one.where}: {one.message}" for one in lost]
