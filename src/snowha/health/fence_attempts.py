"""Attempts to fence a server that is lost: how many have failed, since when, and what somebody in front of it can do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from snowha.cluster.crm_mon import ClusterState

CONFIRM = (
    "go to {server} and check it. Only if it has no power (plugs pulled, lights off), on another server: "
    "stonith_admin --confirm={server}. Its domains are then started elsewhere; if it runs, two servers write to one image"
)
"""What ends the waiting where no fence device can, and what must be true before."""


@dataclass(frozen=True)
class Attempts:
    """Since ``server`` was last fenced with success. ``since``: when the first one failed; ``seconds``: how long ago that was,
    None where it cannot be told."""

    server: str
    is_pending: bool
    failed: int
    since: str = ""
    seconds: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        """For the end of a sentence about the server; empty without attempts."""
        if not self.failed:
            return ": it is being fenced" if self.is_pending else ""
        ago = f", {_duration(self.seconds)} ago" if self.seconds is not None else ""
        when = f"at {self.since}{ago}" if self.failed == 1 else f"{self.failed} times, first at {self.since}{ago}"
        why = f" ({self.reason})" if self.reason else ""
        return f": fencing it has failed {when}{why}{'; another attempt is under way' if self.is_pending else ''}"


def of(state: ClusterState, server: str) -> Attempts:
    """The attempts in Pacemaker's history, where what is pending comes first, then the newest."""
    failed = []
    pending = False
    for event in state.fencing:
        if event.server != server:
            continue
        if event.status == "success":
            break
        if event.status == "failed":
            failed.append(event)
        pending = pending or event.status == "pending"
    if not failed:
        return Attempts(server, pending, 0)
    since = re.sub(r"\.\d+", "", failed[-1].completed)
    return Attempts(server, pending, len(failed), since, _between(since, state.asked), failed[0].reason)


def _between(begin: str, end: str) -> float | None:
    """Seconds between ``2026-11-24 10:12:01Z`` (a fence event) and ``Tue Nov 24 10:57:35 2026`` (when crm_mon answered): both are
    one server's local time."""
    try:
        first = datetime.strptime(begin[:19], "%Y-%m-%d %H:%M:%S")
        last = datetime.strptime(end[:24], "%a %b %d %H:%M:%S %Y")
    except ValueError:
        return None
    seconds = (last - first).total_seconds()
    return seconds if seconds >= 0 else None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
