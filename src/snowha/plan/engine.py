"""Carrying out steps: each checked before and after, side by side where nothing forbids it.

The main thread decides and nothing else; every check and every apply has a thread of its own and answers through a
queue. So a Ctrl-C is always heard, and there is no state that two threads write.

A check is only believed if nothing that it may have read was being changed meanwhile. All steps are checked once at
the start, before their needs are done: as long as nothing has been applied, such an early check is as good as a later
one, and a finished site is known as finished in the time of its slowest check.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from snowha.errors import LostLockError, ProofError, SiteError, SnowError
from snowha.hosts.pool import Pool
from snowha.plan import events
from snowha.plan import outcome as outcomes
from snowha.plan.events import names
from snowha.plan.journal import STEPS, Journal
from snowha.plan.leftovers import Leaving
from snowha.plan.outcome import Outcome
from snowha.plan.remaining import Remaining
from snowha.plan.reporter import StepReporter
from snowha.plan.signals import Interrupts
from snowha.plan.step import Cancelled, Fact, Step, in_order
from snowha.plan.step_state import BAD, CheckResult, End, State, StepState

_CHECKS = 16
"""Checks at once: they wait for servers, they do not compute."""
_HEAR_S = 0.5
"""Seconds between two looks for a signal: Python's handler does not end a wait that begins just when the signal comes."""
OWED = "carried out earlier; its proof is still missing"


def run(
    steps: Sequence[Step],
    *,
    monitor: events.Monitor,
    journal: Journal,
    confirm: Callable[[str], bool],
    workers: int = 8,
    since: float | None = None,
) -> Outcome:
    """Make every step so, ``workers`` at once, in an order that their ``needs`` allow.

    A step that fails stops those that need it, and no others. Ctrl-C (SIGINT, SIGTERM, SIGHUP): nothing new is started,
    running steps end at their next safe point; a second one leaves at once, unless something would be left behind (leftovers.py).
    So it is, once the lock of the site is lost: the first step that finds out fails, all others are left. ``confirm`` is asked in
    this thread; a SnowError that it raises is why the step is not done.
    ``since``: when it began for whoever waits (time.monotonic), for the time that it took in all.
    Raises ValueError for a plan that is none (see in_order) and SiteError if another run holds the journal.
    """
    ordered = in_order(steps)
    with journal.exclusive():
        number = journal.begin()
        journal.fact(number, "", STEPS, len(ordered))
        word = "broken"
        try:
            outcome = _Run(ordered, monitor, journal, confirm, workers, number).run(
                time.monotonic() if since is None else since
            )
            word = "cancelled" if outcome.cancelled else "done" if outcome.ok else "failed"
        finally:
            journal.end(number, word)
    return outcome


def nothing_due(steps: Sequence[Step], journal: Journal) -> bool:
    """Whether every step is found to be so already, and owes no proof. False also where a check fails: then there is something to
    tell first."""
    if any(step.proof is not None and journal.needs_proof(step.id) for step in steps):
        return False
    with Pool(_CHECKS, name="check") as pool:
        try:
            return all(reason is None for reason in pool.map(lambda step: step.check(), steps))
        except SnowError:
            return False


class _Run:
    def __init__(
        self,
        steps: tuple[Step, ...],
        monitor: events.Monitor,
        journal: Journal,
        confirm: Callable[[str], bool],
        workers: int,
        number: int,
    ) -> None:
        self.tracks = {step.id: StepState(step, open_needs=len(step.needs)) for step in steps}
        for track in self.tracks.values():
            for need in track.step.needs:
                self.tracks[need].followers.append(track)
        self.monitor = monitor
        self.journal = journal
        self.confirm = confirm
        self.workers = workers
        self.number = number
        self.queue: SimpleQueue[CheckResult | End | None] = SimpleQueue()
        self.interrupts = Interrupts(lambda: self.queue.put(None))
        self.stopping = threading.Event()
        self.lost = False
        """The lock of the site: nothing may be done any more."""
        self.checking = 0
        # apart from the others: an early look that hangs must not keep a real one waiting
        self.early_in_flight: set[str] = set()
        self.early_waiting = [step.id for step in steps if step.needs]
        self.running: dict[str, StepState] = {}
        self.applied = 0
        self.touched: dict[str, int] = {}
        self.speaking = threading.Lock()
        self.remaining = Remaining(journal, workers)
        self.told_left: float | None = None
        self.leaving = Leaving(self.emit)

    # -- the main thread

    def run(self, begin: float) -> Outcome:
        self.emit(events.RunStarted(steps=len(self.tracks), passed=time.monotonic() - begin))
        with self.interrupts:
            while not self._finished():
                self._schedule()
                if not self._finished():
                    self._take(self._next())
        if self.stopping.is_set():
            self._leave()
        outcome = outcomes.of(
            self.tracks.values(), time.monotonic() - begin, cancelled=self.stopping.is_set() and not self.lost
        )
        self.emit(
            events.RunEnded(
                done=len(outcome.done),
                skipped=len(outcome.skipped),
                failed=len(outcome.failed),
                blocked=len(outcome.blocked),
                left=len(outcome.left),
                cancelled=outcome.cancelled,
                seconds=outcome.seconds,
            )
        )
        return outcome

    def _finished(self) -> bool:
        """Looks still under way are of no interest once the run is stopped, nor after a second Ctrl-C all but leftovers."""
        if self.interrupts.count > 1:
            return self.leaving.is_over(self.interrupts.count, running=bool(self.running))
        if self.stopping.is_set():
            return not self.running
        return not self._in(State.WAITING, State.LOOKING, State.DUE, State.RUNNING)

    def _next(self) -> CheckResult | End | None:
        """What comes next; None after a while, once it has to be seen whether something would still be left behind."""
        while True:
            try:
                return self.queue.get(timeout=self.leaving.look_after or _HEAR_S)
            except Empty:
                if self.leaving.look_after is not None:
                    return None

    def _in(self, *states: State) -> list[StepState]:
        return [track for track in self.tracks.values() if track.state in states]

    def _schedule(self) -> None:
        """Start everything that can be started now; again and again, since a skipped step frees others."""
        moved = True
        while moved and not self.stopping.is_set():
            if self.interrupts.count:
                self._stop()
                return
            moved = False
            for track in self._in(State.WAITING):
                if track.doomed or not track.open_needs:
                    moved |= self._wait(track)
            for track in self._in(State.DUE):
                moved |= self._begin(track)
        while (
            self.early_waiting
            and len(self.early_in_flight) < _CHECKS
            and not self.applied
            and not self.stopping.is_set()
        ):
            track = self.tracks[self.early_waiting.pop(0)]
            if track.state is State.WAITING:
                self._start_check(track.step, early=True)

    def _wait(self, track: StepState) -> bool:
        if track.doomed:
            because = tuple(need for need in track.step.needs if self.tracks[need].state in BAD)
            track.finish(State.BLOCKED)
            self.journal.note(self.number, track.step.id, "blocked", detail=", ".join(because))
            self.emit(events.StepBlocked(**names(track.step), because=because))
            return True
        if not self.applied and track.early is not None:
            self._judge(track, track.early)
            return True
        if not self.applied and track.step.id in self.early_in_flight:
            return False  # its answer will do
        if self.checking >= _CHECKS or self._collides(track):
            return False
        track.state = State.LOOKING
        self._start_check(track.step, early=False)
        return True

    def _judge(self, track: StepState, result: CheckResult) -> None:
        step = track.step
        track.result = result
        if result.error is not None:
            self._failed(track, result.error)
        elif result.reason is None and not (step.proof is not None and self.journal.needs_proof(step.id)):
            track.finish(State.SKIPPED)
            self.journal.note(self.number, step.id, "skipped")
            self.emit(events.StepSkipped(**names(step)))
        else:
            track.state = State.DUE

    def _begin(self, track: StepState) -> bool:
        step, result = track.step, track.result
        assert result is not None
        if len(self.running) >= self.workers or self._collides(track) or self._comes_later(track):
            return False
        if self._stale(result):
            track.state = State.WAITING
            return True
        if step.asks is not None and (refusal := self._asked(step.asks)) is not None:
            if not self.stopping.is_set():
                self._failed(track, refusal)
            return True
        track.state, track.begun, track.began = State.RUNNING, True, time.monotonic()
        self.running[step.id] = track
        self.applied += 1
        for name in step.uses:
            self.touched[name] = self.applied
        reason = OWED if result.reason is None else result.reason
        self.journal.note(self.number, step.id, "started", detail=reason)
        self.emit(events.StepStarted(**names(step), reason=reason))
        self._tell_left()
        self._thread(step.id, lambda: self._carry_out(track, proof_only=result.reason is None))
        return True

    def _tell_left(self) -> None:
        left = None if self.stopping.is_set() else self.remaining.seconds(self.tracks)
        if left is not None or self.told_left is not None:
            self.emit(events.RunLeft(left_s=None if left is None else round(left, 1)))
        self.told_left = left

    def _asked(self, question: str) -> SnowError | None:
        """None for a yes; else why the step is not done."""
        no = SiteError("not done, since the answer was no", remedy="answer yes, or use --yes")
        try:
            with self.interrupts.raised():
                return None if self.confirm(question) else no
        except KeyboardInterrupt:
            self._stop()
            return no
        except SnowError as error:
            return error

    def _collides(self, track: StepState) -> bool:
        return any(set(track.step.uses) & set(other.step.uses) for other in self.running.values())

    def _comes_later(self, track: StepState) -> bool:
        """Whether one that was given before it, and uses the same, is just being checked: it goes first if it is due."""
        for other in self.tracks.values():
            if other is track:
                return False
            if other.state is State.LOOKING and set(track.step.uses) & set(other.step.uses):
                return True
        return False

    def _stale(self, result: CheckResult) -> bool:
        """Whether something that the step uses was touched after the look had begun."""
        return any(self.touched.get(name, 0) > result.applied for name in result.step.uses)

    def _take(self, message: CheckResult | End | None) -> None:
        if message is None:
            self._stop()
            return
        track = self.tracks[message.step.id]
        if isinstance(message, End):
            self._ended(track, message)
            return
        if message.early:
            self.early_in_flight.discard(track.step.id)
            track.early = message
            return
        self.checking -= 1
        if track.state is State.LOOKING and not self.stopping.is_set():
            if self._stale(message):
                track.state = State.WAITING
            else:
                self._judge(track, message)

    def _ended(self, track: StepState, end: End) -> None:
        track.seconds = end.seconds
        del self.running[track.step.id]
        if end.error is None:
            track.finish(State.DONE)
            self.journal.note(self.number, track.step.id, "done", seconds=end.seconds)
            self.emit(events.StepDone(**names(track.step), seconds=end.seconds))
            self.remaining.done()
            self._tell_left()
        elif isinstance(end.error, Cancelled) or (self.lost and isinstance(end.error, LostLockError)):
            track.state = State.LEFT
            self.journal.note(self.number, track.step.id, "cancelled", seconds=end.seconds)
            self.emit(events.StepLeft(**names(track.step), begun=True))
        else:
            self._failed(track, end.error)

    def _failed(self, track: StepState, error: BaseException) -> None:
        track.error = error
        track.finish(State.FAILED)
        detail = f"{type(error).__name__}: {error}"
        self.journal.note(self.number, track.step.id, "failed", seconds=track.seconds, detail=detail)
        self.emit(events.StepFailed(**names(track.step), error=error, seconds=track.seconds))
        if isinstance(error, LostLockError):
            self.lost = True
            self.stopping.set()

    def _stop(self) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            self.emit(events.RunStopping(running=tuple(self.running)))

    def _leave(self) -> None:
        for track in self._in(State.WAITING, State.LOOKING, State.DUE, State.RUNNING):
            track.state = State.LEFT
            if track.begun:  # only after a second Ctrl-C: nobody knows how far it got
                self.journal.note(self.number, track.step.id, "cancelled", detail="abandoned")
            self.emit(events.StepLeft(**names(track.step), begun=track.begun))

    # -- the other threads

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()  # a second Ctrl-C does not wait for them

    def _start_check(self, step: Step, *, early: bool) -> None:
        if early:
            self.early_in_flight.add(step.id)
        else:
            self.checking += 1
        applied = self.applied

        def run_check() -> None:
            try:
                answer = CheckResult(step, early, applied, reason=step.check())
            except BaseException as error:
                answer = CheckResult(step, early, applied, error=error)
            self.queue.put(answer)

        self._thread(f"check {step.id}", run_check)

    def _carry_out(self, track: StepState, *, proof_only: bool) -> None:
        step, begin = track.step, time.monotonic()
        reporter = StepReporter(
            step,
            emit=self.emit,
            cancelled=self.stopping,
            keep=self._fact_recorder(track),
            note=partial(self.journal.progress, self.number, step.id),
        )
        error: BaseException | None = None
        try:
            if not proof_only:
                step.apply(reporter)
                if (missing := step.check()) is not None:
                    raise ProofError(f"carried out, but its check still reports: {missing}", where=step.title)
                self.journal.note(self.number, step.id, "applied", seconds=time.monotonic() - begin)
            if step.proof is not None:
                step.proof(reporter)
                self.journal.note(self.number, step.id, "proved", seconds=time.monotonic() - begin)
        except BaseException as caught:
            error = caught
        self.queue.put(End(step, time.monotonic() - begin, error))

    def _fact_recorder(self, track: StepState) -> Callable[[str, Fact], None]:
        def record(key: str, value: Fact) -> None:
            track.facts[key] = value
            self.journal.fact(self.number, track.step.id, key, value)

        return record

    def emit(self, event: events.Event) -> None:
        with self.speaking:
            try:
                self.monitor(event)
            except OSError:
                # whoever was watching has gone (a closed pipe, a lost terminal): no reason to stop half way
                self.monitor = _nobody


def _nobody(event: events.Event) -> None:
    pass
