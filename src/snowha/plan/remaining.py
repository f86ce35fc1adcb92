"""How long a run still takes, from what its steps took here before. No figure at all where one of them was never measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from snowha.plan import estimate
from snowha.plan.journal import Journal
from snowha.plan.step import Step
from snowha.plan.step_state import State, StepState


class Remaining:
    """Of one run; to be asked by its main thread. Each step is looked up once, and again when a step was done, if need be."""

    def __init__(self, journal: Journal, workers: int) -> None:
        self._journal = journal
        self._workers = workers
        self._took: dict[str, float | None] = {}

    def done(self) -> None:
        """A step was done: others may now be known by it."""
        self._took = {step: seconds for step, seconds in self._took.items() if seconds is not None}

    def seconds(self, tracks: Mapping[str, StepState]) -> float | None:
        """None if it is not known."""
        due = _due(tracks, self._needs_proof)
        if due is None:
            return None
        lasts: dict[str, float] = {}
        for track in due:
            took = self._of(track.step)
            passed = time.monotonic() - track.began if track.state is State.RUNNING else 0.0
            if took is None or took < passed:
                return None
            lasts[track.step.id] = took - passed
        running = [track.step.id for track in due if track.state is State.RUNNING]
        return simulated([track.step for track in due], lasts, running, self._workers)

    def _of(self, step: Step) -> float | None:
        if step.id not in self._took:
            found = estimate.measured(step, self._journal)
            self._took[step.id] = found.seconds if found else None
        return self._took[step.id]

    def _needs_proof(self, step: Step) -> bool:
        return step.proof is not None and self._journal.needs_proof(step.id)


def _due(tracks: Mapping[str, StepState], needs_proof: Callable[[Step], bool]) -> list[StepState] | None:
    """The steps that are, or will be, carried out; None while that is not known of one. What waits for a step that is carried
    out, and could not be checked before, is taken for due."""
    due: dict[str, StepState] = {}
    for name, track in tracks.items():
        if track.state in (State.RUNNING, State.DUE):
            due[name] = track
        elif track.state in (State.WAITING, State.LOOKING) and not track.doomed:
            result = track.early
            if result is not None:
                if result.reason is not None or result.error is not None or needs_proof(track.step):
                    due[name] = track
            elif any(need in due for need in track.step.needs):
                due[name] = track
            else:
                return None
    return list(due.values())


def simulated(steps: Iterable[Step], lasts: Mapping[str, float], running: Iterable[str], workers: int) -> float:
    """Seconds until all ``steps`` are done, started as the engine starts them: in order, as needs, shared things and ``workers``
    allow. What a step needs and is not among them is done. ``lasts``: how long each (still) takes."""
    waiting = {step.id: step for step in steps}
    busy: dict[str, tuple[float, Step]] = {name: (lasts[name], waiting.pop(name)) for name in running}
    now = 0.0
    while waiting or busy:
        for name, step in list(waiting.items()):
            needed = any(need in waiting or need in busy for need in step.needs)
            shared = any(set(step.uses) & set(other.uses) for _, other in busy.values())
            if not needed and not shared and len(busy) < workers:
                busy[name] = (now + lasts[name], waiting.pop(name))
        first = min(busy, key=lambda name: busy[name][0])
        now = busy.pop(first)[0]
    return now
