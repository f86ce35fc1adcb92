"""What is being waited for just now, for whoever shows it. Nothing here prints.

A command on a server waits for the server. Whoever knows better says so around it: then that counts, and not the server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """``since``: time.monotonic()."""

    what: str
    since: float


_named: ContextVar[bool] = ContextVar("named", default=False)
_lock = threading.Lock()
_waits: dict[object, Wait] = {}


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """``what`` is waited for until the end of ``with``, whatever is asked of whom in it. An empty ``what``: nothing is, as in a
    thread that watches over something."""
    if _named.get():
        yield
        return
    token, key = _named.set(True), object()
    if what:
        with _lock:
            _waits[key] = Wait(what, time.monotonic())
    try:
        yield
    finally:
        _named.reset(token)
        with _lock:
            _waits.pop(key, None)


def waits() -> tuple[Wait, ...]:
    """All that is waited for, what was waited for longest first, each once."""
    with _lock:
        ordered = sorted(_waits.values(), key=lambda wait: wait.since)
    first: dict[str, Wait] = {}
    for wait in ordered:
        first.setdefault(wait.what, wait)
    return tuple(first.values())
