"""What happens during a run, as data: the terminal, a log and JSON lines see the same."""

from __future__ import annotations

import dataclasses
import json
import re
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypedDict

from snowha.errors import SnowError, explained
from snowha.plan.step import Fact, Step


@dataclass(frozen=True, kw_only=True)
class Event:
    at: float = field(default_factory=time.time)
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    steps: int
    passed: float = 0.0
    """Seconds since whoever is waiting has begun to wait."""


@dataclass(frozen=True, kw_only=True)
class RunStopping(Event):
    """Ctrl-C: nothing new is started; these are still running."""

    running: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunLeftovers(Event):
    """A second Ctrl-C came while steps would have left something behind."""

    leftovers: tuple[str, ...]
    """What, each with when it ends by itself."""
    waits: bool
    """Until it is removed, or Ctrl-C is typed once more. False: the run ends, and it stays."""


@dataclass(frozen=True, kw_only=True)
class StepEvent(Event):
    step: str
    title: str
    section: str


@dataclass(frozen=True, kw_only=True)
class StepStarted(StepEvent):
    reason: str
    """What its check found missing."""


@dataclass(frozen=True, kw_only=True)
class StepSaid(StepEvent):
    text: str


@dataclass(frozen=True, kw_only=True)
class StepProgress(StepEvent):
    done: float
    total: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class StepFact(StepEvent):
    key: str
    value: Fact


@dataclass(frozen=True, kw_only=True)
class StepSkipped(StepEvent):
    """It was already as it must be."""


@dataclass(frozen=True, kw_only=True)
class StepDone(StepEvent):
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StepFailed(StepEvent):
    error: BaseException
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StepBlocked(StepEvent):
    """Not tried, because of these steps that it needs and that failed."""

    because: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StepLeft(StepEvent):
    """Not done because the run was stopped."""

    begun: bool


@dataclass(frozen=True, kw_only=True)
class RunLeft(Event):
    """How long the run still takes, about. ``left_s`` None: that is not known any more."""

    left_s: float | None


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    done: int
    skipped: int
    failed: int
    blocked: int
    left: int
    cancelled: bool
    seconds: float


class Names(TypedDict):
    step: str
    title: str
    section: str


def names(step: Step) -> Names:
    """What every event of a step carries."""
    return {"step": step.id, "title": step.title, "section": step.section}


class Monitor(Protocol):
    """Receives every event, from many threads, one at a time."""

    def __call__(self, event: Event, /) -> None: ...


def name_of(kind: type[Event]) -> str:
    """``step-done`` of StepDone."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def to_json(event: Event) -> str:
    """One line: ``{"event": "step-done", "at": "2025-01-31T12:00:00.123Z", …}``. A bug carries its traceback."""
    values: dict[str, object] = {
        "event": name_of(type(event)),
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    for item in dataclasses.fields(event):
        value = getattr(event, item.name)
        if isinstance(value, BaseException):
            values["error"] = error_json(value)
        elif item.name != "at":
            values[item.name] = round(value, 3) if item.name == "seconds" else value
    return json.dumps(values, default=str)


def error_json(error: BaseException) -> dict[str, object]:
    error = explained(error)
    kind = type(error).__name__
    if isinstance(error, SnowError):
        return {"kind": kind, "message": error.message, "where": error.where, "remedy": error.remedy}
    return {"kind": kind, "message": str(error), "traceback": "".join(traceback.format_exception(error))}
