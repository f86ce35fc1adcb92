"""What a run knows of its steps: the state of each, what a check of it found, how it ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from snowha.plan.step import Fact, Step


class State(enum.Enum):
    """Where a step is. The last five are final."""

    WAITING = enum.auto()
    LOOKING = enum.auto()
    DUE = enum.auto()
    RUNNING = enum.auto()
    DONE = enum.auto()
    SKIPPED = enum.auto()
    FAILED = enum.auto()
    BLOCKED = enum.auto()
    LEFT = enum.auto()


GOOD = (State.DONE, State.SKIPPED)
BAD = (State.FAILED, State.BLOCKED)


@dataclass(frozen=True)
class CheckResult:
    """What a step's check said. ``early``: before what it needs was done."""

    step: Step
    early: bool
    applied: int
    """How many applies had been started when it began."""
    reason: str | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class End:
    """How carrying out a step ended; ``seconds`` that it took."""

    step: Step
    seconds: float
    error: BaseException | None


@dataclass
class StepState:
    """What the main thread knows of a step."""

    step: Step
    state: State = State.WAITING
    result: CheckResult | None = None
    early: CheckResult | None = None
    error: BaseException | None = None
    begun: bool = False
    began: float = 0.0
    """time.monotonic(), if it has."""
    seconds: float = 0.0
    facts: dict[str, Fact] = field(default_factory=dict)
    followers: list[StepState] = field(default_factory=list)
    """Those that need it."""
    open_needs: int = 0
    doomed: bool = False  # one that it needs failed

    def finish(self, state: State) -> None:
        """A state that it does not leave again. Those that need it hear of it now, and need not be checked before."""
        self.state = state
        for follower in self.followers:
            if state in GOOD:
                follower.open_needs -= 1
            else:
                follower.doomed = True
