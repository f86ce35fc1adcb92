"""The engine with real threads, real signals and a real journal."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snowha.errors import LostLockError, ProofError, SiteError, SnowError, UnreachableError
from snowha.plan import events, leftovers
from snowha.plan.engine import nothing_due, run
from snowha.plan.journal import PROGRESS, STEPS, Journal
from snowha.plan.outcome import Outcome
from snowha.plan.step import Cancelled, Reporter, Shielded, Step, in_order

PATIENCE = 10.0


class World:
    """What is so. A step makes its own id so."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.so: set[str] = set()
        self.applied: list[str] = []
        self.events: list[events.Event] = []
        self.questions: list[str] = []
        self.answer = True

    def step(
        self,
        name: str,
        *needs: str,
        uses: tuple[str, ...] = (),
        apply: Callable[[Reporter], None] | None = None,
        proof: Callable[[Reporter], None] | None = None,
        asks: str | None = None,
    ) -> Step:
        def make(reporter: Reporter) -> None:
            self.applied.append(name)
            if apply is not None:
                apply(reporter)
            self.so.add(name)

        return Step(
            id=name,
            title=f"Make {name} so",
            section="servers",
            check=lambda: None if name in self.so else f"{name} is not so",
            apply=make,
            needs=needs,
            uses=uses,
            proof=proof,
            asks=asks,
        )

    def run(self, *steps: Step, workers: int = 8) -> Outcome:
        return run(steps, monitor=self.events.append, journal=self.journal, confirm=self.confirm, workers=workers)

    def confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def of(self, kind: type[events.StepEvent]) -> list[str]:
        return [event.step for event in self.events if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Journal(tmp_path / "journal.db") as journal:
        yield World(journal)


def test_steps_come_after_what_they_need(world: World) -> None:
    """Pacemaker would be configured before Corosync runs."""
    steps = [world.step("c", "b"), world.step("b", "a"), world.step("a")]
    outcome = world.run(*steps)
    assert world.applied == ["a", "b", "c"]
    assert (outcome.done, outcome.exit_code, outcome.ok) == (("a", "b", "c"), 0, True)
    assert world.of(events.StepStarted) == world.of(events.StepDone) == ["a", "b", "c"]
    assert isinstance(world.events[-1], events.RunEnded)


def test_a_finished_site_is_left_alone(world: World) -> None:
    """Running anything twice would not be safe."""
    steps = [world.step("a"), world.step("b", "a"), world.step("c", "b")]
    world.run(*steps)
    outcome = world.run(*steps)
    assert world.applied == ["a", "b", "c"]
    assert (outcome.done, outcome.skipped, outcome.ok) == ((), ("a", "b", "c"), True)


def test_a_finished_site_is_known_in_the_time_of_one_look(world: World) -> None:
    """'Nothing to do' would take as long as all looks after each other: minutes on a slow site."""
    together = threading.Barrier(10, timeout=PATIENCE)

    def check() -> None:
        together.wait()

    steps = [
        Step(f"s{n}", f"s{n}", "servers", check, _never, needs=(f"s{n - 1}",) if n else (), uses=("server:snow01",))
        for n in range(10)
    ]
    assert world.run(*steps).skipped == tuple(f"s{n}" for n in range(10))


def _never(reporter: Reporter) -> None:
    raise AssertionError("applied")


def test_whether_anything_is_due_is_known_without_touching_anything(world: World) -> None:
    """A finished site would take as long as one that is to be changed; one that cannot be looked at is not finished."""

    def unreachable() -> str | None:
        raise UnreachableError("no way to it", where="snow02")

    steps = [world.step("a"), world.step("b", "a")]
    assert not nothing_due(steps, world.journal)
    world.so |= {"a", "b"}
    assert nothing_due(steps, world.journal)
    assert not nothing_due([*steps, Step("c", "c", "servers", unreachable, _never)], world.journal)
    assert world.applied == []


def test_an_early_look_is_not_believed_once_something_changed(world: World) -> None:
    """A step would be skipped, or fail, on what the site was like before the step it needs."""
    seen: list[bool] = []

    def check() -> str | None:
        seen.append("a" in world.so)
        if "a" not in world.so:
            raise UnreachableError("no Xen yet", where="snow02")
        return None

    outcome = world.run(world.step("a"), Step("b", "b", "servers", check, _never, needs=("a",)))
    assert (outcome.done, outcome.skipped) == (("a",), ("b",))
    assert seen[-1]


def test_a_hanging_early_look_holds_nobody(world: World) -> None:
    """One check that waits for a service not yet installed would stall the whole run."""
    release, looked_early = threading.Event(), threading.Event()

    def check() -> str | None:
        if "a" not in world.so:
            looked_early.set()
            release.wait(PATIENCE)
        return None

    def apply(reporter: Reporter) -> None:
        assert looked_early.wait(PATIENCE)

    outcome = world.run(world.step("a", apply=apply), Step("b", "b", "servers", check, _never, needs=("a",)))
    assert not release.is_set()
    release.set()
    assert outcome.skipped == ("b",)


def test_independent_steps_run_side_by_side(world: World) -> None:
    """Installing packages on one server would wait for copying images on the other."""
    together = threading.Barrier(3, timeout=PATIENCE)

    def meet(reporter: Reporter) -> None:
        together.wait()

    outcome = world.run(*[world.step(name, apply=meet) for name in "abc"])
    assert outcome.done == ("a", "b", "c")


def test_steps_that_use_the_same_thing_never_meet(world: World) -> None:
    """Two steps would restart one server, or write one file, at once."""
    inside, most = set[str](), 0
    lock = threading.Lock()

    def work(name: str) -> Callable[[Reporter], None]:
        def apply(reporter: Reporter) -> None:
            nonlocal most
            with lock:
                inside.add(name)
                most = max(most, len(inside))
            time.sleep(0.005)
            with lock:
                inside.discard(name)

        return apply

    uses = ("server:snow02",)
    outcome = world.run(*[world.step(name, uses=uses, apply=work(name)) for name in "abcdef"])
    assert len(outcome.done) == 6
    assert most == 1


def test_steps_that_use_the_same_thing_go_in_the_order_given(world: World) -> None:
    """Domains would be moved in another order each time, whichever is looked at quickest."""
    begun = world.step("begun")
    second, answered = world.step("second", "begun", uses=("images",)), threading.Event()

    def look_fast() -> str | None:
        answered.set()
        return second.check()

    first = world.step("first", "begun", uses=("images",))

    def look_slowly() -> str | None:
        if "begun" in world.so and "first" not in world.so:
            answered.wait(PATIENCE)
            time.sleep(0.05)  # the other one's answer is taken first
        return first.check()

    world.run(begun, replace(first, check=look_slowly), replace(second, check=look_fast))
    assert world.applied == ["begun", "first", "second"]


def test_no_more_than_workers_at_once(world: World) -> None:
    """Sixty domains would be copied at once."""
    gate = threading.Semaphore(2)

    def apply(reporter: Reporter) -> None:
        assert gate.acquire(blocking=False)
        time.sleep(0.005)
        gate.release()

    assert world.run(*[world.step(str(n), apply=apply) for n in range(8)], workers=2).ok


def test_a_step_is_looked_at_again_after_another_touched_its_things(world: World) -> None:
    """A step would act on what it saw before the other one changed it."""

    def also_b(reporter: Reporter) -> None:
        world.so.add("b")

    uses = ("server:snow02",)
    outcome = world.run(world.step("a", uses=uses, apply=also_b), world.step("b", uses=uses))
    assert (outcome.done, outcome.skipped, world.applied) == (("a",), ("b",), ["a"])


def test_a_failure_stops_only_those_that_need_it(world: World) -> None:
    """One bad domain would stop all the others."""

    def fail(reporter: Reporter) -> None:
        raise SiteError("its volume is missing", where="deploy01", remedy="restore it")

    outcome = world.run(
        world.step("bad", apply=fail), world.step("after", "bad"), world.step("later", "after"), world.step("good")
    )
    assert (outcome.done, tuple(outcome.failed), outcome.blocked) == (("good",), ("bad",), ("after", "later"))
    assert outcome.exit_code == SiteError.exit_code
    blocked = [event.because for event in world.events if isinstance(event, events.StepBlocked)]
    assert blocked == [("bad",), ("after",)]
    assert world.journal.runs()[-1].outcome == "failed"


def test_a_check_that_cannot_look_fails_its_step(world: World) -> None:
    """A dead server would read as 'not yet done', and be worked on."""

    def check() -> str | None:
        raise UnreachableError("it does not answer", where="snow02")

    outcome = world.run(Step("a", "a", "servers", check, _never))
    assert outcome.exit_code == UnreachableError.exit_code


def test_applied_and_still_not_so_is_a_failure(world: World) -> None:
    """A step that did nothing would count as done."""
    step = Step("a", "Start corosync", "corosync", lambda: "ring 1 is down", lambda reporter: None)
    outcome = world.run(step)
    error = outcome.failed["a"]
    assert isinstance(error, ProofError)
    assert "ring 1 is down" in str(error)


def test_our_own_mistake_is_kept_as_it_is(world: World) -> None:
    """A bug would be shown as the user's fault, without its traceback."""

    def bug(reporter: Reporter) -> None:
        raise ZeroDivisionError

    outcome = world.run(world.step("a", apply=bug))
    assert isinstance(outcome.failed["a"], ZeroDivisionError)
    assert outcome.failed["a"].__traceback__ is not None
    assert outcome.exit_code == 1


def test_a_question_is_asked_only_if_something_is_to_be_done(world: World) -> None:
    """A server would be fenced without a yes, or the user be asked for nothing."""
    step = world.step("fence", asks="Cut the power of snow02?")
    world.answer = False
    outcome = world.run(step, world.step("after", "fence"))
    assert isinstance(outcome.failed["fence"], SiteError)
    assert (outcome.blocked, world.applied) == (("after",), [])
    world.answer = True
    assert world.run(step).done == ("fence",)
    assert world.run(step).skipped == ("fence",)
    assert len(world.questions) == 2


def test_a_proof_is_owed_until_it_succeeded(world: World) -> None:
    """A fence device whose test failed would count as proven in the next run."""
    proofs: list[str] = []

    def proof(reporter: Reporter) -> None:
        proofs.append("tried")
        if len(proofs) == 1:
            raise ProofError("its power stayed on", where="snow02")

    step = world.step("fence", proof=proof)
    assert tuple(world.run(step).failed) == ("fence",)
    assert not nothing_due([step], world.journal), "nobody would have asked what forbids it, nor locked the site"
    assert world.run(step).done == ("fence",)
    assert nothing_due([step], world.journal)
    assert world.run(step).skipped == ("fence",)
    assert (world.applied, len(proofs)) == (["fence"], 2)


def test_ctrl_c_stops_at_a_safe_point_and_a_second_run_carries_on(world: World) -> None:
    """Ctrl-C would leave a step torn in two, or the rest undone for good."""
    cleaned: list[str] = []

    def apply(reporter: Reporter) -> None:
        if "stopped" in world.so:
            return
        world.so.add("stopped")
        os.kill(os.getpid(), signal.SIGINT)
        try:
            give_up = time.monotonic() + PATIENCE
            while time.monotonic() < give_up:
                reporter.say("copying")
                time.sleep(0.001)
        finally:
            cleaned.append("up again")

    before = signal.getsignal(signal.SIGINT)
    steps = [world.step("a"), world.step("b", "a", apply=apply), world.step("c", "b")]
    outcome = world.run(*steps)
    assert (outcome.done, outcome.left, outcome.exit_code) == (("a",), ("b", "c"), 130)
    assert outcome.cancelled
    assert cleaned == ["up again"]
    assert signal.getsignal(signal.SIGINT) is before
    assert world.journal.runs()[-1].outcome == "cancelled"
    stopping = next(event for event in world.events if isinstance(event, events.RunStopping))
    assert stopping.running == ("b",)
    left = {event.step: event.begun for event in world.events if isinstance(event, events.StepLeft)}
    assert left == {"b": True, "c": False}
    again = world.run(*steps)
    assert (again.skipped, again.done) == (("a",), ("b", "c"))


def test_a_running_step_without_safe_points_is_finished_first(world: World) -> None:
    """A domain would stay down because somebody pressed Ctrl-C between its shutdown and its boot."""
    stopped = threading.Event()

    def apply(reporter: Reporter) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(PATIENCE)
        Shielded(reporter).say("booting deploy01")
        with pytest.raises(Cancelled):
            reporter.progress(1, 2)

    def monitor(event: events.Event) -> None:
        if isinstance(event, events.RunStopping):
            stopped.set()

    outcome = run(
        [world.step("a", apply=apply), world.step("b", "a")],
        monitor=monitor,
        journal=world.journal,
        confirm=world.confirm,
    )
    assert (outcome.done, outcome.left, outcome.exit_code) == (("a",), ("b",), 130)


def test_ctrl_c_is_heard_when_it_does_not_end_the_wait(world: World) -> None:
    """Pressed just when the run began to wait, it was heard only when the step had ended by itself, hours later."""
    waiting, stopping = threading.get_ident(), threading.Event()
    heard: list[bool] = []

    def apply(reporter: Reporter) -> None:
        while sys._current_frames()[waiting].f_code.co_name != "_next":
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # the thread that waits is not interrupted
        heard.append(stopping.wait(PATIENCE))

    def monitor(event: events.Event) -> None:
        if isinstance(event, events.RunStopping):
            stopping.set()

    run([world.step("a", apply=apply)], monitor=monitor, journal=world.journal, confirm=world.confirm)
    assert heard == [True]


def test_a_second_ctrl_c_leaves_at_once(world: World) -> None:
    """A hung command would hold the user's terminal for its whole timeout."""
    release = threading.Event()

    def apply(reporter: Reporter) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(PATIENCE)

    def monitor(event: events.Event) -> None:
        if isinstance(event, events.RunStopping):
            os.kill(os.getpid(), signal.SIGINT)

    begin = time.monotonic()
    outcome = run([world.step("a", apply=apply)], monitor=monitor, journal=world.journal, confirm=world.confirm)
    release.set()
    assert time.monotonic() - begin < PATIENCE / 2
    assert (outcome.left, outcome.exit_code) == (("a",), 130)


def test_ctrl_c_at_a_question(world: World) -> None:
    """Nobody could get out of the question but by killing the run."""

    def confirm(question: str) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)
        return True

    steps = [world.step("fence", asks="Cut the power of snow02?")]
    outcome = run(steps, monitor=world.events.append, journal=world.journal, confirm=confirm)
    assert (outcome.left, outcome.exit_code, world.applied) == (("fence",), 130, [])


def test_facts_come_into_the_outcome_and_stay_in_the_journal(world: World) -> None:
    """The report would not know how long a domain was away."""

    def apply(reporter: Reporter) -> None:
        reporter.fact("away_s", 12.5)
        reporter.fact("ran_on", ["snow01"])

    step = world.step("images.deploy01", apply=apply)
    assert world.run(step).facts == {"images.deploy01": {"away_s": 12.5, "ran_on": ["snow01"]}}
    assert world.run(step).facts == {}
    assert world.journal.last_facts("images.deploy01") == {"away_s": 12.5, "ran_on": ["snow01"]}


def test_words_and_progress_become_events(world: World) -> None:
    """The display would not say what is being waited for, or flood the log with it."""

    def apply(reporter: Reporter) -> None:
        for done in range(1001):
            reporter.say("waiting for links")
            reporter.progress(done, 1000, "B")

    world.run(world.step("a", apply=apply))
    assert len(world.of(events.StepSaid)) == 1
    progress = [event for event in world.events if isinstance(event, events.StepProgress)]
    assert 2 <= len(progress) < 500
    assert progress[-1].done == 1000


def test_a_journal_says_how_far_a_run_is_to_whoever_reads_it_meanwhile(world: World) -> None:
    """The dashboard would show a copy of two hours as one line that does not change."""
    seen: list[tuple[object, ...]] = []

    def apply(reporter: Reporter) -> None:
        reporter.progress(250, 1000, "B")
        with Journal(world.journal.path) as reader:
            (run,) = reader.runs()
            seen.append((reader.is_running(), run.ended, *(one.value for one in reader.facts(STEPS, run.id))))
            seen.append(tuple((one.step, one.value) for one in reader.facts(PROGRESS, run.id)))
        for done in range(250, 1001):
            reporter.progress(done, 1000, "B")

    world.run(world.step("a", apply=apply), world.step("b"))
    assert seen == [(True, "", 2), (("a", [250, 1000, "B"]),)]
    assert [(one.step, one.value) for one in world.journal.facts(PROGRESS)] == [("a", [1000, 1000, "B"])]
    assert not world.journal.is_running() and world.journal.last_facts("a") == {}


def test_a_watcher_that_goes_away_does_not_stop_the_run(world: World) -> None:
    """A lost ssh session or `| head` would leave the site half way."""

    def monitor(event: events.Event) -> None:
        raise BrokenPipeError

    outcome = run([world.step("a")], monitor=monitor, journal=world.journal, confirm=world.confirm)
    assert outcome.ok


def test_only_one_run_at_a_time(world: World) -> None:
    """Two administrators would convert one site at once."""
    caught: list[BaseException] = []

    def apply(reporter: Reporter) -> None:
        try:
            run([], monitor=world.events.append, journal=world.journal, confirm=world.confirm)
        except SiteError as error:
            caught.append(error)

    assert world.run(world.step("a", apply=apply)).ok
    assert f"pid {os.getpid()}" in str(caught[0])


def test_plans_that_are_none_are_refused(world: World) -> None:
    """The engine would wait for ever for a step that can never come."""
    with pytest.raises(ValueError, match="a → b → a"):
        world.run(world.step("x"), world.step("a", "b"), world.step("b", "a"))
    with pytest.raises(ValueError, match="a → a"):
        world.run(world.step("a", "a"))
    with pytest.raises(ValueError, match="needs b, and there is no such step"):
        world.run(world.step("a", "b"))
    with pytest.raises(ValueError, match="two steps are called a"):
        world.run(world.step("a"), world.step("a"))
    assert world.events == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_plan_keeps_its_order_and_loses_no_step(tmp_path: Path, data: st.DataObject) -> None:
    """In some plan a step would be forgotten, come too early, or the run never end."""
    count = data.draw(st.integers(1, 8))
    needs = [data.draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set[int]() for n in range(count)]
    uses = [data.draw(st.sets(st.sampled_from(["x", "y"]))) for _ in range(count)]
    already = data.draw(st.sets(st.integers(0, count - 1)))
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=2))
    order = data.draw(st.permutations(range(count)))

    def fail(reporter: Reporter) -> None:
        raise SiteError("bad")

    with Journal(tmp_path / "journal.db") as journal:
        world = World(journal)
        world.so = {str(n) for n in already}
        steps = [
            world.step(str(n), *map(str, needs[n]), uses=tuple(sorted(uses[n])), apply=fail if n in bad else None)
            for n in order
        ]
        outcome = world.run(*steps)
    ends = [*outcome.done, *outcome.skipped, *outcome.failed, *outcome.blocked]
    assert sorted(ends) == sorted(str(n) for n in range(count))
    assert set(outcome.failed) <= {str(n) for n in bad - already}
    for n in range(count):
        unmet = {str(need) for need in needs[n]} & {*outcome.failed, *outcome.blocked}
        assert (str(n) in outcome.blocked) == bool(unmet)
        for need in needs[n]:
            if {str(n), str(need)} <= set(world.applied):
                assert world.applied.index(str(need)) < world.applied.index(str(n))


def test_order_keeps_what_was_given(world: World) -> None:
    """The plan would read in another order than the guide."""
    steps = [world.step("c", "z"), world.step("a"), world.step("z"), world.step("b", "a")]
    assert [step.id for step in in_order(steps)] == ["a", "z", "c", "b"]


def test_a_lost_lock_is_said_once_and_ends_the_run(world: World) -> None:
    """Ten steps that each say that they were refused hide why; and what needs nothing of the failed step would go on."""
    both = threading.Barrier(2, timeout=PATIENCE)

    def refused(reporter: Reporter) -> None:
        both.wait()
        raise LostLockError("this run lost the lock on snow01 to bob")

    def goes_on(reporter: Reporter) -> None:
        both.wait()
        while True:
            reporter.say("waiting")
            time.sleep(0.01)

    outcome = world.run(world.step("a", apply=refused), world.step("b", apply=goes_on), world.step("c", "b"), workers=2)
    assert list(outcome.failed) == ["a"] and outcome.left == ("b", "c") and outcome.blocked == ()
    assert (outcome.exit_code, outcome.cancelled) == (4, False)
    assert world.of(events.StepFailed) == ["a"]


def test_of_two_steps_that_are_refused_one_says_so(world: World) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def refused(reporter: Reporter) -> None:
        both.wait()
        raise LostLockError("this run lost the lock on snow01 to bob")

    outcome = world.run(world.step("a", apply=refused), world.step("b", apply=refused), world.step("c"), workers=2)
    assert len(outcome.failed) == 1 and outcome.exit_code == 4
    assert len(world.of(events.StepFailed)) == 1


class Leaving:
    """A step that leaves something behind for ``time`` seconds after it was stopped, and whoever types Ctrl-C."""

    def __init__(self, world: World, *, types: int) -> None:
        self.world, self.types = world, types
        self.release, self.removed = threading.Event(), threading.Event()
        self.error: SnowError | None = None

    def apply(self, reporter: Reporter) -> None:
        with leftovers.until_removed("the constraint of the move of deploy01", lifetime=1800):
            os.kill(os.getpid(), signal.SIGINT)
            assert self.release.wait(PATIENCE)
            self.removed.set()
            if self.error is not None:
                raise self.error

    def monitor(self, event: events.Event) -> None:
        self.world.events.append(event)
        if isinstance(event, events.RunStopping) and self.types > 1:
            os.kill(os.getpid(), signal.SIGINT)
        if isinstance(event, events.RunLeftovers) and event.waits:
            if self.types > 2:
                os.kill(os.getpid(), signal.SIGINT)
            else:
                self.release.set()

    def run(self) -> Outcome:
        steps = [self.world.step("a", apply=self.apply)]
        return run(steps, monitor=self.monitor, journal=self.world.journal, confirm=self.world.confirm)

    @property
    def told(self) -> list[tuple[bool, tuple[str, ...]]]:
        return [(one.waits, one.leftovers) for one in self.world.events if isinstance(one, events.RunLeftovers)]


def test_a_second_ctrl_c_waits_for_what_would_be_left_behind(world: World) -> None:
    """The constraint of a move stayed for 30 minutes: Pacemaker started the domain nowhere else meanwhile."""
    leaving = Leaving(world, types=2)
    outcome = leaving.run()
    assert leaving.removed.is_set() and outcome.exit_code == 130 and leftovers.pending() == ()
    ((waits, (what,)),) = leaving.told
    assert waits and re.fullmatch(r"the constraint of the move of deploy01 \(it ends at \d\d:\d\d\)", what)


def test_what_could_not_be_removed_is_said_although_the_run_was_left(world: World) -> None:
    leaving = Leaving(world, types=2)
    leaving.error = SiteError("the constraint is not removed", remedy="crm_resource --clear")
    assert [str(error) for error in leaving.run().failed.values()] == [str(leaving.error)]


def test_a_third_ctrl_c_leaves_at_once_and_says_what_stays(world: World) -> None:
    leaving = Leaving(world, types=3)
    begin = time.monotonic()
    outcome = leaving.run()
    assert time.monotonic() - begin < PATIENCE / 2 and not leaving.removed.is_set()
    leaving.release.set()
    assert (outcome.left, outcome.exit_code) == (("a",), 130)
    assert [waits for waits, _ in leaving.told] == [True, False]


def test_a_second_ctrl_c_does_not_wait_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs would hold the terminal."""
    monkeypatch.setattr(leftovers, "PATIENCE_S", 0.0)
    leaving = Leaving(world, types=3)
    assert leaving.run().left == ("a",) and not leaving.removed.is_set()
    leaving.release.set()
    assert leaving.told[-1][0] is False
