"""What a plan of moves stands on: the cluster, what runs where, and what it takes. Memory in MiB."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from snowha.cluster import placement
from snowha.cluster.crm_mon import ClusterState
from snowha.site.model import Domain
from snowha.xen.xl import Hypervisor, Running


@dataclass(frozen=True)
class PlacementState:
    """The cluster as it is. ``running``: by server, of those that answer."""

    cluster: ClusterState
    running: Mapping[str, Mapping[str, Running]]
    hypervisors: Mapping[str, Hypervisor]
    """Of servers that run under Xen."""
    domains: Mapping[str, Domain]
    live: Collection[str]
    """Resources that Pacemaker migrates live."""
    apart: tuple[tuple[str, ...], ...] = ()
    without_holder: Collection[str] = field(default_factory=frozenset)
    """Domains whose leases cannot be handed over: the process that does it has died."""

    def places(self, name: str) -> tuple[str, ...]:
        return tuple(server for server, domains in self.running.items() if name in domains)

    def size(self, name: str) -> int:
        """What it takes from a hypervisor: now, or by its config from its next start on, whichever is more."""
        return placement.needed_mib(self.sized(name)) if name in self.domains else self.taken(name)

    def sized(self, name: str) -> Domain:
        """The domain of this size: after `snow resize domain` its config says another one than it has."""
        domain = self.domains[name]
        return replace(domain, memory_mib=max(domain.memory_mib, self._memory(name)))

    def as_it_runs(self, name: str) -> Domain:
        """The domain with the memory that it has."""
        return replace(self.domains[name], memory_mib=self._memory(name))

    def taken(self, name: str) -> int:
        """What it takes from a hypervisor now; 0 for one that is off."""
        memory = self._memory(name)
        return placement.needed_mib(self.as_it_runs(name)) if memory and name in self.domains else memory

    def _memory(self, name: str) -> int:
        return max((domains[name].memory_mib for domains in self.running.values() if name in domains), default=0)

    def free(self) -> dict[str, int]:
        return {server: one.free_memory for server, one in self.hypervisors.items()}

    def capacity(self) -> dict[str, int]:
        """What each server has for domains in all: free now, and what its domains would give back. It stays what it is when a
        domain is moved."""
        return {
            server: free + sum(map(self.taken, self.running.get(server, {}))) for server, free in self.free().items()
        }

    def room_after_loss(self) -> dict[str, int]:
        """What each server has for the site's domains, by their sizes. Others that run there keep their memory: nobody moves
        them."""
        return {
            server: free + sum(self.size(name) for name in self.running.get(server, {}) if name in self.domains)
            for server, free in self.free().items()
        }

    def usable(self) -> list[str]:
        """Servers on which Pacemaker would start something, under Xen."""
        nodes = {node.name for node in self.cluster.nodes if node.is_usable}
        return [server for server in self.hypervisors if server in nodes]
