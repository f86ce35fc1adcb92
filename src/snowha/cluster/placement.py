"""Which server a domain belongs on: by memory, pairs apart, with as few moves as possible; and whether the rest can
hold everything when one server is lost. Memory in MiB throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from snowha.errors import InputError
from snowha.site.model import Domain
from snowha.site.rules import Finding

_WORTH_A_MOVE = 0.1
"""A domain is moved for balance alone only if the fullest server gets emptier by this part of an even share."""
_WORTH_ONE_MORE = 0.08
"""The same of domains that run somewhere, once one of them is moved. What is left then is not worth a move the next time either,
although a hypervisor gives back some MiB more or less for a domain than were counted."""


def needed_mib(domain: Domain) -> int:
    """What a domain takes from the hypervisor: its memory, and the paging memory that libxl adds, 1 MiB a vcpu and
    8 KiB a MiB of what it may have (``libxl__get_required_paging_memory``, of max_memkb and max_vcpus).
    """
    most = max(domain.memory_mib, domain.maxmem_mib or 0)
    return domain.memory_mib + max(domain.vcpus, domain.max_vcpus or 0) + -(-most * 8 // 1024)


def spread(
    domains: Iterable[Domain],
    servers: Sequence[str],
    apart: Iterable[Iterable[str]] = (),
    *,
    memory: Mapping[str, int] | None = None,
    current: Mapping[str, str] | None = None,
    targets: Mapping[str, Collection[str]] | None = None,
) -> dict[str, str]:
    """Domain → server. The same input gives the same answer, whatever the order of ``domains``.

    ``apart``: groups of domains that must not share a server, if there are servers enough.
    ``memory``: what each server has for domains; without it all have alike.
    ``current``: where domains are now. Those stay, unless a pair is together, a server too full, or a move balances the
    memory noticeably. ``targets``: where each may be moved to while it runs, one after the other; so none goes where there is
    no room for it then. One that it does not have may go anywhere.
    Raises InputError without servers.
    """
    if not servers:
        raise InputError("there is no server to place domains on", remedy="bring at least one server online")
    assignment = _Assignment(servers, apart, memory, targets or {}, runs=targets is not None)
    # Largest first: the small ones even out what the large ones leave uneven.
    ordered = sorted(domains, key=lambda domain: (-needed_mib(domain), domain.name))
    for domain in ordered:
        if current and current.get(domain.name) in assignment.room:
            assignment.put(domain.name, needed_mib(domain), current[domain.name])
    for domain in ordered:
        if domain.name not in assignment.where:
            assignment.put(domain.name, needed_mib(domain), assignment.best(domain.name, needed_mib(domain)))
    assignment.improve(_WORTH_ONE_MORE if current else _WORTH_A_MOVE)
    return {name: assignment.where[name] for name in sorted(assignment.where)}


def fits_after_loss(
    domains: Iterable[Domain], placement: Mapping[str, str], memory: Mapping[str, int]
) -> tuple[Finding, ...]:
    """N+1: for each server, whether the others can take its domains when it is lost. A finding per server whose loss
    they cannot bear, naming the domains that would stay down.

    ``memory``: what each server has for domains in all (total of the hypervisor less dom0), not what is free now.
    Largest first into the emptiest server, which is what can be promised, and not the best packing that exists.
    """
    sizes = {domain.name: needed_mib(domain) for domain in domains}
    findings = []
    for lost in memory:
        room = {server: total for server, total in memory.items() if server != lost}
        for name, server in placement.items():
            if server in room:
                room[server] -= sizes[name]
        homeless = []
        for name in sorted(
            (name for name, server in placement.items() if server == lost), key=lambda n: (-sizes[n], n)
        ):
            emptiest = max(sorted(room), key=lambda server: room[server], default=None)
            if emptiest is None or room[emptiest] < sizes[name]:
                homeless.append(name)
            else:
                room[emptiest] -= sizes[name]
        if homeless:
            missing = sum(sizes[name] for name in homeless)
            findings.append(
                Finding(
                    "no-room-after-loss",
                    "warn",
                    lost,
                    f"if it is lost, the others have not enough memory for {', '.join(sorted(homeless))} ({missing} MiB)",
                    "give the domains less memory or the servers more, or add a server",
                )
            )
    return tuple(findings)


def colocated(placement: Mapping[str, str], apart: Iterable[Iterable[str]]) -> tuple[tuple[str, str, str], ...]:
    """Pairs that share a server though they should not: (domain, domain, server), sorted."""
    found = set()
    for group in apart:
        members = sorted(set(group) & set(placement))
        for number, one in enumerate(members):
            found |= {
                (one, other, placement[one]) for other in members[number + 1 :] if placement[one] == placement[other]
            }
    return tuple(sorted(found))


class _Assignment:
    """Domains on servers, with what is needed to judge a move without counting everything again."""

    def __init__(
        self,
        servers: Sequence[str],
        apart: Iterable[Iterable[str]],
        memory: Mapping[str, int] | None,
        targets: Mapping[str, Collection[str]],
        *,
        runs: bool,
    ) -> None:
        self.runs = runs
        self.targets = targets
        self.limited = memory is not None
        self.room = {server: max(1, memory[server]) if memory else 1 for server in servers}
        self.load = dict.fromkeys(servers, 0)
        self.count = dict.fromkeys(servers, 0)
        self.where: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.partners: dict[str, Counter[str]] = {}
        for group in apart:
            members = set(group)
            for name in members:
                self.partners.setdefault(name, Counter()).update(members - {name})

    def put(self, name: str, size: int, server: str) -> None:
        before = self.where.get(name)
        if before is not None:
            self.load[before] -= size
            self.count[before] -= 1
        self.where[name], self.sizes[name] = server, size
        self.load[server] += size
        self.count[server] += 1

    def best(self, name: str, size: int) -> str:
        """For a domain that is nowhere yet. Of equals the last: the first server is the last to be drained and fenced in the
        proofs, and what belongs on the others is there then."""
        order = list(self.room)
        return min(
            order,
            key=lambda server: (
                self._conflicts(name, server),
                self._excess(server, self.load[server] + size),
                (self.load[server] + size) / self.room[server],
                self.count[server],
                -order.index(server),
            ),
        )

    def improve(self, one_more: float) -> None:
        """Moves, each the best one, until none is worth it; once there is one, those that gain ``one_more`` are."""
        # Every move lowers (conflicts, excess, fullest) and so it ends; the bound is a second safeguard.
        worth = _WORTH_A_MOVE
        for _ in range(4 * len(self.where) + 4):
            move = self._best_move(worth)
            if move is None:
                return
            worth = one_more
            for name, server in move:
                self.put(name, self.sizes[name], server)

    def _best_move(self, worth: float) -> tuple[tuple[str, str], ...] | None:
        even = sum(self.load.values()) / sum(self.room.values())
        best: tuple[tuple[float, ...], tuple[tuple[str, str], ...]] | None = None
        for move in self._moves():
            if not self._has_room(move):
                continue
            conflicts, excess, fullest = self._change(move)
            balances = fullest < -worth * even and len(move) == 1
            if (conflicts, excess) > (0, 0) or ((conflicts, excess) == (0, 0) and not balances):
                continue
            # Of equals the one that moves less memory; servers are never equal to the last MiB.
            moved = sum(self.sizes[name] for name, _ in move)
            candidate = ((conflicts, excess, len(move), round(fullest, 2), moved), move)
            if best is None or candidate < best:
                best = candidate
        return best[1] if best else None

    def _moves(self) -> Iterable[tuple[tuple[str, str], ...]]:
        names = sorted(self.where)
        for name in names:
            yield from (((name, server),) for server in self.room if self._may_go(name, server))
        # Exchanges are tried only to part a pair or to relieve a server that is too full, never for balance alone.
        troubled = [n for n in names if self._conflicts(n, self.where[n]) or self._excess_of(self.where[n])]
        for one in troubled:
            for other in names:
                if self._may_go(one, self.where[other]) and self._may_go(other, self.where[one]):
                    yield ((one, self.where[other]), (other, self.where[one]))

    def _may_go(self, name: str, server: str) -> bool:
        return server != self.where[name] and server in self.targets.get(name, self.room)

    def _has_room(self, move: tuple[tuple[str, str], ...]) -> bool:
        """Whether it can be done at all with what runs: one after the other, in some order."""
        if not (self.limited and self.runs):
            return True
        if len(move) == 1:
            ((name, server),) = move
            return self.load[server] + self.sizes[name] <= self.room[server]
        (one, there), (other, here) = move
        first = self.load[there] + self.sizes[one] <= self.room[there]
        last = self.load[here] + self.sizes[other] <= self.room[here]
        difference = self.sizes[one] - self.sizes[other]
        fits = self.load[there] + difference <= self.room[there] and self.load[here] - difference <= self.room[here]
        return fits and (first or last)

    def _change(self, move: tuple[tuple[str, str], ...]) -> tuple[int, int, float]:
        """How much conflicts, excess (MiB) and the fullest of the servers concerned (part of its room) change."""
        before = {name: self.where[name] for name, _ in move}
        concerned = sorted({*before.values(), *(server for _, server in move)})
        conflicts, excess, fullest = self._state(before, concerned)
        for name, server in move:
            self.put(name, self.sizes[name], server)
        after = self._state(before, concerned)
        for name, server in before.items():
            self.put(name, self.sizes[name], server)
        return after[0] - conflicts, after[1] - excess, after[2] - fullest

    def _state(self, names: Iterable[str], servers: Iterable[str]) -> tuple[int, int, float]:
        chosen = list(servers)
        return (
            sum(self._conflicts(name, self.where[name]) for name in names),
            sum(self._excess_of(server) for server in chosen),
            max(self.load[server] / self.room[server] for server in chosen),
        )

    def _conflicts(self, name: str, server: str) -> int:
        return sum(
            count for other, count in self.partners.get(name, Counter()).items() if self.where.get(other) == server
        )

    def _excess_of(self, server: str) -> int:
        return self._excess(server, self.load[server])

    def _excess(self, server: str, load: int) -> int:
        return max(0, load - self.room[server]) if self.limited else 0
