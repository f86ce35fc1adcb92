"""Which domains a run of ours shut down and has not started again yet: noted on the server that they run on.

The note outlives the run, and this machine: a domain that is off without one is off on purpose, and stays off. One that was left
down (the run was killed, or the server lost its power) comes back before anything else is done, and before anything can refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from snowha.errors import LostLockError, SiteError, SnowError
from snowha.hosts.files import exists, make_dir, read_folder, remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.wait import wait_for
from snowha.live import cluster, starting
from snowha.xen import xl

FOLDER = "/var/lib/snow-ha/down"
_SUFFIX = ".json"
_ANSWERS_WITHIN = 180.0
"""Seconds that a domain may take to answer after it was started."""


@dataclass(frozen=True)
class Note:
    """``config`` is what it is started from, ``addresses`` what it answered on."""

    name: str
    config: str
    addresses: tuple[str, ...] = ()


def note(host: Host, what: Note) -> None:
    """Before a domain is shut down. Raises CommandError: what cannot be noted is not shut down."""
    make_dir(host, FOLDER, mode=0o700)
    write_file(host, _path(what.name), json.dumps(asdict(what)) + "\n", keep=False)


def forget(host: Host, name: str) -> None:
    """After it was started again."""
    remove_file(host, _path(name), keep=False)


def is_noted(host: Host, name: str) -> bool:
    """Whether a run shut it down and has not started it again."""
    return exists(host, _path(name))


def noted(host: Host) -> tuple[Note, ...]:
    """All of them. What cannot be read was never whole, so nothing was shut down after it."""
    found = []
    for content in read_folder(host, FOLDER, _SUFFIX).values():
        with suppress(ValueError, TypeError, KeyError):
            raw = json.loads(content)
            found.append(Note(str(raw["name"]), str(raw["config"]), tuple(raw["addresses"])))
    return tuple(sorted(found, key=lambda one: one.name))


def bring_back(servers: starting.Servers, say: Callable[[str], None]) -> None:
    """Start every domain that was left down, from what its config names now. To be called by the run that holds the site lock.

    One that may run elsewhere stays noted, and is left to the next run. Raises CommandError if one cannot be started.
    """
    first = servers.first
    for one in noted(first):
        had = starting.pacemakers(servers, one.name)
        try:
            may_start = not (had and had.is_there) and starting.may_start(
                servers, one.name, one.config, say, patience=starting.PATIENCE_S
            )
        except LostLockError:
            raise
        except SiteError as error:
            say(f"{one.name}, which an earlier run had left down, is not started yet: {error}")
            continue
        if may_start:
            say(f"starting {one.name}, which an earlier run had left down")
            xl.create(first, one.config, timeout=300)
            _wait_for_answer(first, one, say)
        forget(first, one.name)


def _path(name: str) -> str:
    return f"{FOLDER}/{name}{_SUFFIX}"


def _wait_for_answer(host: Host, one: Note, say: Callable[[str], None]) -> None:
    """Until it has booted: what comes next may shut it down, which a domain that boots does not hear."""
    for address in one.addresses:
        try:
            wait_for(
                lambda address=address: cluster.answers(host, address),  # type: ignore[misc]
                timeout=_ANSWERS_WITHIN,
                what=f"{one.name} to answer on {address}",
                interval=3,
                report=say,
            )
        except SnowError as error:
            say(f"{one.name} runs again; {error.message}")
