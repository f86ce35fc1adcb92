"""When a domain was off, from the actions that Pacemaker has written down. Pure.

A domain that was started runs, and does not answer yet: its downtime for its users is longer by the time that its own system
takes to boot. A live migration is no downtime here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snowha.health.history import ClusterEvent


@dataclass(frozen=True)
class Downtime:
    """``since``, ``until``: seconds since 1970; ``until`` None: it was not started since."""

    domain: str
    since: float
    until: float | None
    why: str
    """``stopped``, or that its server was lost."""


@dataclass
class _Track:
    """Where a domain is: on ``server``, on its way (``moving``), or off since ``since``."""

    server: str = ""
    moving: bool = False
    since: float | None = None
    why: str = ""


def of_domains(events: Iterable[ClusterEvent], domains: Iterable[str]) -> tuple[Downtime, ...]:
    """The downtimes of ``domains`` in the time of ``events`` (in order), the oldest begin first. What was before the first event
    of a domain is not known, and so is no downtime."""
    tracks = {name: _Track() for name in domains}
    found: list[Downtime] = []
    for event in events:
        if event.what == "state" and event.result == "lost":
            for track in tracks.values():
                if track.server == event.of and track.since is None:
                    track.server, track.moving = "", False
                    track.since, track.why = event.at, f"{event.of} was lost"
        elif event.result == "ok" and event.of in tracks:
            _acted(tracks[event.of], event, found)
    still = (Downtime(name, one.since, None, one.why) for name, one in tracks.items() if one.since is not None)
    return tuple(sorted((*found, *still), key=lambda one: one.since))


def _acted(track: _Track, event: ClusterEvent, found: list[Downtime]) -> None:
    """An action on a domain has succeeded."""
    if event.what == "migrate_to":
        track.moving = True
    elif event.what in ("start", "migrate_from"):
        if track.since is not None:
            found.append(Downtime(event.of, track.since, event.at, track.why))
        track.server, track.moving, track.since = event.on, False, None
    elif event.what == "stop" and not track.moving and track.since is None and track.server in ("", event.on):
        # Pacemaker stops what has left a server by migration, too: then it runs elsewhere
        track.server, track.since, track.why = "", event.at, "stopped"
