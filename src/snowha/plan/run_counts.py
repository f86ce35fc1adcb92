"""How many runs a site had and what came of the last one, without the journal being read: after years it has tens of megabytes.

A small file beside each copy of the journal on the servers (mirror.py writes both).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from snowha.plan.journal import Journal, Run


@dataclass(frozen=True)
class RunCounts:
    """``identity``, ``changed`` and ``position`` are the journal's: they say which of two is the newer one."""

    identity: str
    changed: str
    position: tuple[int, int, int]
    outcomes: Mapping[str, int]
    """Number of runs by their outcome, which is empty while one goes on."""
    last: Run | None
    """None: there was no run."""


def path_beside(copy: str) -> str:
    """Where the counts of the journal's copy at ``copy`` are."""
    return f"{copy.removesuffix('.sqlite')}.runs.json"


def of(journal: Journal) -> RunCounts:
    """The counts of ``journal``. Raises MachineError."""
    return RunCounts(
        journal.identity, journal.last_change(), journal.position(), journal.outcomes(), journal.last_run()
    )


def text(counts: RunCounts) -> str:
    """The file."""
    return json.dumps(asdict(counts), ensure_ascii=False) + "\n"


def parse(content: str) -> RunCounts | None:
    """What ``text`` wrote; None if it is anything else."""
    try:
        data = json.loads(content)
        run, event, command = map(int, data["position"])
        return RunCounts(
            str(data["identity"]),
            str(data["changed"]),
            (run, event, command),
            {str(outcome): int(number) for outcome, number in data["outcomes"].items()},
            _run(data["last"]) if data["last"] else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _run(data: Mapping[str, Any]) -> Run:
    """Raises KeyError, TypeError, ValueError for anything else."""
    run = Run(int(data["id"]), *(data[key] for key in ("who", "origin", "started", "ended", "outcome")))
    for time in (run.started, *([run.ended] if run.ended else [])):
        datetime.fromisoformat(time)
    return run
