"""Whether the servers have room for a domain that is added or gets another size. Memory in MiB."""

from __future__ import annotations

from snowha.cluster import placement
from snowha.errors import SiteError
from snowha.operations.move_plan import PlacementState
from snowha.site.model import Domain


def refuse_too_large(state: PlacementState, domain: Domain) -> None:
    """Raise SiteError for a domain that has no room on any server, even if it were empty."""
    capacity = state.capacity()
    most = max(capacity.values(), default=0)
    if placement.needed_mib(domain) > most:
        raise SiteError(
            f"{domain.name} needs {placement.needed_mib(domain)} MiB, and no server has more than {most} MiB for domains",
            remedy="give it less: --memory",
        )


def lines(state: PlacementState, domain: Domain, server: str) -> list[str]:
    """What the loss of a server would mean once ``domain``, as it is to be, runs: on ``server``, unless it runs already."""
    domains = {**state.domains, domain.name: domain}
    capacity = {name: mib for name, mib in state.capacity().items() if name in state.usable()}
    where = {
        name: at for at, running in state.running.items() for name in running if name in domains and at in capacity
    }
    where.setdefault(domain.name, server)
    lost = placement.fits_after_loss([domains[name] for name in where], where, capacity)
    if not lost:
        return ["the loss of another server would be survived"]
    return [f"not survived then: {one.where}: {one.message}" for one in lost]
