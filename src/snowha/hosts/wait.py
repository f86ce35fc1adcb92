"""Waiting for something to become true, with its name said all the time. Never a sleep in place of a look."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from snowha.errors import ProofError, SnowError, UnreachableError

T = TypeVar("T")

_REST = 4
"""A look that took a second is followed by four without one: however slow a server is, looking takes a fifth of it at most."""


class NotYet(Exception):
    """Raised by a condition that can say why it is not so yet: shown while it is waited for, and in the error."""


def wait_for(
    condition: Callable[[], T | None],
    *,
    timeout: float,
    what: str,
    interval: float = 1.0,
    report: Callable[[str], None] | None = None,
    unreachable_is_not_yet: bool = False,
    sparing: bool = False,
    error: type[SnowError] = ProofError,
    where: str = "",
    remedy: str = "",
) -> T:
    """Look every ``interval`` seconds until ``condition`` answers something other than None or False, and return that.

    ``report`` is called before every look with what is being waited for (and may raise, to end the waiting).
    ``unreachable_is_not_yet``: a server that is away, as while it reboots, is waited for as well.
    ``sparing``: less often where a look takes long, since what is checked does the work that is waited for.
    ``condition`` may raise NotYet to say what is still missing.
    Raises ``error``, which names ``what``, how long it took and what was seen last, after ``timeout`` seconds.
    It looks at least once, and once more when the time is up.
    """
    begin = time.monotonic()
    text = f"waiting for {what}"
    last = ""
    while True:
        if report is not None:
            report(f"{text} ({last})" if last else text)
        looked = time.monotonic()
        over = looked - begin >= timeout
        try:
            found = condition()
        except UnreachableError as away:
            if not unreachable_is_not_yet:
                raise
            found, last = None, str(away.message).splitlines()[0]
        except NotYet as reason:
            found, last = None, str(reason)
        else:
            last = ""
        if found is not None and found is not False:
            return found
        left = timeout - (time.monotonic() - begin)
        if over or timeout <= 0:
            message = f"{what}: timed out after {time.monotonic() - begin:.0f} s"
            raise error(f"{message} ({last})" if last else message, where=where, remedy=remedy)
        pause = max(interval, _REST * (time.monotonic() - looked)) if sparing else interval
        time.sleep(max(0.0, min(pause, left)))
