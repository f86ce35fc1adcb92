"""What came of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snowha.errors import SnowError
from snowha.plan.step import Fact
from snowha.plan.step_state import State, StepState


@dataclass(frozen=True)
class Outcome:
    """What came of a run. Ids in the order of the plan."""

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    """Already as they must be."""
    failed: Mapping[str, BaseException]
    blocked: tuple[str, ...]
    """Not tried, since they need one that failed."""
    left: tuple[str, ...]
    """Not done, since the run was stopped."""
    cancelled: bool
    seconds: float
    timings: Mapping[str, float]
    """Seconds of every step that was carried out."""
    facts: Mapping[str, Mapping[str, Fact]]
    """What the steps of this run told, by step and key."""

    @property
    def ok(self) -> bool:
        return not (self.failed or self.blocked or self.left)

    @property
    def exit_code(self) -> int:
        """130 if stopped, else the class of the first error, else 0."""
        if self.cancelled:
            return 130
        first = next(iter(self.failed.values()), None)
        if first is None:
            return 0
        return first.exit_code if isinstance(first, SnowError) else 1


def of(tracks: Iterable[StepState], seconds: float, *, cancelled: bool) -> Outcome:
    """What came of steps that were carried out in ``seconds``, in the order given."""
    found = list(tracks)

    def ids(state: State) -> tuple[str, ...]:
        return tuple(track.step.id for track in found if track.state is state)

    return Outcome(
        done=ids(State.DONE),
        skipped=ids(State.SKIPPED),
        failed={one.step.id: one.error for one in found if one.state is State.FAILED and one.error is not None},
        blocked=ids(State.BLOCKED),
        left=ids(State.LEFT),
        cancelled=cancelled,
        seconds=seconds,
        timings={track.step.id: track.seconds for track in found if track.begun},
        facts={track.step.id: dict(track.facts) for track in found if track.facts},
    )
