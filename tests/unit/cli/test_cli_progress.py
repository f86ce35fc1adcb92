"""What a run looks like: on a terminal, in a log, as JSON."""

from __future__ import annotations

import io
import json
import threading

import pytest
from rich.console import Console

from snowha.cli.progress import JsonDisplay, LiveDisplay, PlainDisplay, amount, display, duration
from snowha.cli.quiet import QuietDisplay
from snowha.errors import SiteError
from snowha.plan import events
from snowha.plan.events import Names

NAMES: Names = {"step": "images.deploy01", "title": "Copy the disks of deploy01 [red]", "section": "images"}


def a_run() -> list[events.Event]:
    other: Names = {**NAMES, "step": "b", "title": "Start corosync"}
    error = SiteError("full", where="/sNow", remedy="make room")
    return [
        events.RunStarted(at=0, steps=4),
        events.StepStarted(**NAMES, at=1, reason="there is no image"),
        events.StepSaid(**NAMES, at=2, text="waiting for deploy01 to be off"),
        events.StepProgress(**NAMES, at=3, done=0.5 * 2**30, total=2 * 2**30, unit="B"),
        events.StepProgress(**NAMES, at=30, done=2**30, total=2 * 2**30, unit="B"),
        events.StepDone(**NAMES, at=61, seconds=60.2),
        events.StepFailed(**other, at=62, error=error, seconds=1),
        events.StepBlocked(**other, at=62, because=("b",)),
        events.StepSkipped(**other, at=62),
        events.RunEnded(at=62, done=1, skipped=1, failed=1, blocked=1, left=0, cancelled=False, seconds=62),
    ]


def test_a_log_has_a_line_for_everything_and_not_more() -> None:
    """A CI log would say nothing for minutes, or drown in progress."""
    out = io.StringIO()
    show = display(stream=out)
    assert isinstance(show, PlainDisplay)
    with show:
        for event in a_run():
            show(event)
    assert out.getvalue().splitlines() == [
        "00:00   checking 4 steps",
        "00:01 ▸ Copy the disks of deploy01 [red]: there is no image",
        "00:02   Copy the disks of deploy01 [red]: waiting for deploy01 to be off",
        "00:30   Copy the disks of deploy01 [red]: 1.0/2.0 GiB, about 54 s left",
        "01:01 ✓ Copy the disks of deploy01 [red]  1:00",
        "01:02 ✗ Start corosync",
        "01:02   /sNow: full",
        "01:02     → make room",
        "01:02 · Start corosync (not tried: needs b)",
        "01:02 · Start corosync (up to date)",
        "01:02 ✗ 1 done, 1 up to date, 1 failed, 1 not tried  1:02",
    ]


def test_a_log_without_unicode_is_no_traceback() -> None:
    """A terminal with LANG=C would end the run at the first check mark."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    show = PlainDisplay(out)
    for event in a_run():
        show(event)
    out.flush()
    assert b"01:01 + Copy the disks" in raw.getvalue()


def test_json_lines() -> None:
    """The report is made from these."""
    out = io.StringIO()
    show = display(json=True, stream=out)
    for event in a_run():
        show(event)
    kinds = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert kinds[:3] == ["run-started", "step-started", "step-said"]
    with pytest.raises(SiteError, match="there is no terminal to ask on: Cut the power"):
        show.confirm("Cut the power?")


def test_the_terminal_shows_what_is_waited_for_and_keeps_what_is_finished() -> None:
    """The user would not know whether it still works, nor what failed."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    show = LiveDisplay(console)
    with show:
        for event in a_run()[:4]:
            show(event)
        with console.capture() as capture:
            console.print(show.render())
        for event in (a_run()[4], events.RunLeft(left_s=7200)):
            show(event)
        with console.capture() as later:
            console.print(show.render())
        for event in a_run()[5:]:
            show(event)
    running = capture.get()
    assert "waiting for deploy01 to be off" in running
    assert "0.5/2.0 GiB" in running
    assert "1.0/2.0 GiB · about 54 s left" in later.get()
    assert "about 1:59:" in later.get() or "about 2:00:00 left" in later.get()
    assert "0/4 steps" in running
    text = out.getvalue()
    assert "✓ Copy the disks of deploy01 [red]  1:00" in text
    assert "→ make room" in text
    assert "1 done, 1 up to date, 1 failed, 1 not tried" in text


def test_a_finished_site_and_a_stopped_run_are_said() -> None:
    """The user would not know that nothing was changed, or how to go on."""
    out = io.StringIO()
    show = PlainDisplay(out)
    show(events.RunEnded(at=0, done=0, skipped=40, failed=0, blocked=0, left=0, cancelled=False, seconds=3.21))
    assert "nothing to do: all 40 steps are up to date  3.2 s" in out.getvalue()
    show = PlainDisplay(out)
    show(events.RunStopping(running=("a",)))
    for number in range(7):
        show(events.StepLeft(step=str(number), title=f"T{number}", section="images", begun=number == 0))
    show(events.RunEnded(done=0, skipped=0, failed=0, blocked=0, left=7, cancelled=True, seconds=3))
    text = out.getvalue()
    for expected in ("T0 (stopped)", "not done: T4", "not done: 2 more", "run the same command again"):
        assert expected in text


@pytest.mark.parametrize("kind", [PlainDisplay, QuietDisplay])
def test_what_a_second_ctrl_c_waits_for_is_said_also_with_q(kind: type[PlainDisplay]) -> None:
    """Up to 90 s without a word: it would be killed, and the constraint stay."""
    out = io.StringIO()
    show = kind(out)
    what = ("the constraint of the move of deploy01 (it ends at 14:32)",)
    show(events.RunLeftovers(leftovers=what, waits=True))
    show(events.RunLeftovers(leftovers=what, waits=False))
    first, last = out.getvalue().splitlines()
    assert first.endswith(f"removing {what[0]}; Ctrl-C again leaves it behind") and last.endswith(
        f"left behind: {what[0]}"
    )


def test_many_threads_may_speak_at_once() -> None:
    """A deadlock between printing and drawing would freeze the run."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    for show in (LiveDisplay(console), PlainDisplay(io.StringIO()), JsonDisplay(io.StringIO())):

        def speak(number: int, show: LiveDisplay | PlainDisplay | JsonDisplay = show) -> None:
            names: Names = {"step": str(number), "title": f"T{number}", "section": "images"}
            show(events.StepStarted(**names, reason="r"))
            for done in range(30):
                show(events.StepProgress(**names, done=done, total=30, unit=""))
                show(events.StepSaid(**names, text=str(done)))
            show(events.StepDone(**names, seconds=1))

        with show:
            show(events.RunStarted(steps=8))
            threads = [threading.Thread(target=speak, args=(number,), daemon=True) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert not any(thread.is_alive() for thread in threads)


def test_durations_and_amounts() -> None:
    """Figures would be shown that nobody can read."""
    assert [duration(s) for s in (0.04, 12.34, 59.96, 187, 3723)] == ["0.0 s", "12.3 s", "1:00", "3:07", "1:02:03"]
    assert amount(3, 8, "domains") == "3/8 domains"
    assert amount(0, 512, "B") == "0.0/512.0 B"
    assert amount(2**40, 2**41, "B") == "1.0/2.0 TiB"
