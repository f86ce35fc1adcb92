"""A step: one thing that must be so, how to see whether it is, and how to make it so."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from snowha.plan.change import Change

Fact: TypeAlias = "str | int | float | bool | Sequence[Fact] | Mapping[str, Fact] | None"
"""What JSON can carry."""


class Cancelled(BaseException):
    """Raised by a Reporter where the user's Ctrl-C may end a step. Not an Exception: nothing may take it for a failure
    and go on; ``finally`` and context managers put right what must be put right."""


class Reporter(Protocol):
    """What a step tells while it works. Each call of say, wait and progress may raise Cancelled: they are the safe points."""

    def say(self, text: str) -> None:
        """What is going on now."""
        ...

    def wait(self, text: str) -> None:
        """What is being waited for now, as a whole sentence. Only a real change brings it: a dry run ends here."""
        ...

    def progress(self, done: float, total: float, unit: str = "") -> None:
        """How far it is. ``unit`` "B" is shown as bytes."""
        ...

    def fact(self, key: str, value: Fact) -> None:
        """A result that is kept in the journal and goes into the report. Never raises Cancelled. Never a secret."""
        ...


@dataclass(frozen=True)
class Step:
    """``check`` answers None if all is already as it must be, else in one line what is missing. It changes nothing, and
    is asked before ``apply`` and after it. It may also be asked while ``needs`` are not done: its answer (or its error)
    is then not used.
    """

    id: str
    """Unique and lasting (the journal knows it by this), e.g. ``images.deploy01``."""
    title: str
    section: str
    """What it belongs to, as the user names it."""
    check: Callable[[], str | None]
    apply: Callable[[Reporter], None]
    needs: tuple[str, ...] = ()
    """Ids of the steps that must be done before."""
    uses: tuple[str, ...] = ()
    """Names of what two steps must not touch at once, e.g. ``server:snow02``."""
    proof: Callable[[Reporter], None] | None = None
    """A proof that is too expensive for ``check``: made once after ``apply``, and owed until it succeeded."""
    asks: str | None = None
    """A question that needs a yes before ``apply``."""
    interrupts: tuple[str, ...] = ()
    """Servers that ``apply`` restarts or fences, and domains that it shuts down or moves: whoever runs there is ended."""
    describe: Callable[[], Change] | None = None
    """What ``apply`` would change; changes nothing itself. None: it is found out by a dry run (migration/dry_run.py)."""
    server: str = ""
    """The server that it is about; empty if it is about none, or several. Its id ends with it."""
    domain: str = ""
    """The domain that it is about, and that does not answer for a while; empty if there is none. Its id ends with it."""
    restarts: bool = False
    """``server`` is rebooted, or its power is cut."""

    @classmethod
    def once(
        cls, id: str, title: str, section: str, work: Callable[[Reporter], None], *, asks: str | None = None
    ) -> Step:
        """A step for what is asked for each time: it is as it must be once ``work`` was carried out in this run."""
        done: list[bool] = []

        def apply(reporter: Reporter) -> None:
            work(reporter)
            done.append(True)

        return cls(id, title, section, lambda: None if done else "asked for", apply, asks=asks)

    @property
    def kind(self) -> str:
        """What it has in common with the steps that do the same to other servers or domains: its id without the name of its
        own, e.g. ``servers.packages``."""
        return self.id.removesuffix(f".{self.server or self.domain}")


class Shielded:
    """A Reporter for what must not be left half done (a domain is down): Cancelled waits for the next ordinary call."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def say(self, text: str) -> None:
        try:
            self._reporter.say(text)
        except Cancelled:
            pass

    def wait(self, text: str) -> None:
        try:
            self._reporter.wait(text)
        except Cancelled:
            pass

    def progress(self, done: float, total: float, unit: str = "") -> None:
        try:
            self._reporter.progress(done, total, unit)
        except Cancelled:
            pass

    def fact(self, key: str, value: Fact) -> None:
        self._reporter.fact(key, value)


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps such that each comes after all it needs, and otherwise as given.

    Raises ValueError for two steps with one id, a need that is no step, or a cycle (which it shows): no user can cause
    these.
    """
    place = {step.id: number for number, step in enumerate(steps)}
    if len(place) < len(steps):
        ids = [step.id for step in steps]
        raise ValueError(f"two steps are called {next(name for name in ids if ids.count(name) > 1)}")
    needed_by: dict[str, list[int]] = {}
    missing: list[int] = []
    for number, step in enumerate(steps):
        for need in step.needs:
            if need not in place:
                raise ValueError(f"step {step.id} needs {need}, and there is no such step")
            needed_by.setdefault(need, []).append(number)
        missing.append(len(step.needs))
    free = [number for number, count in enumerate(missing) if count == 0]  # sorted, so it is a heap
    ordered: list[Step] = []
    while free:
        step = steps[heapq.heappop(free)]
        ordered.append(step)
        for number in needed_by.get(step.id, ()):
            missing[number] -= 1
            if missing[number] == 0:
                heapq.heappush(free, number)
    if len(ordered) < len(steps):
        done = {step.id for step in ordered}
        raise ValueError("steps need each other: " + " → ".join(_cycle({s.id: s for s in steps if s.id not in done})))
    return tuple(ordered)


def _cycle(left: Mapping[str, Step]) -> list[str]:
    path = [next(iter(left))]
    while True:
        need = next(need for need in left[path[-1]].needs if need in left)
        if need in path:
            return [*path[path.index(need) :], need]
        path.append(need)
