"""The same on many hosts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TypeVar

from snowha.errors import LostLockError, SnowError
from snowha.hosts.host import Host
from snowha.hosts.pool import Pool

T = TypeVar("T")
H = TypeVar("H", bound=Host)


def each(hosts: Sequence[H], function: Callable[[H], T], *, workers: int = 16) -> dict[str, T]:
    """``function`` of every host, in threads; the results by name, in the order of ``hosts``.

    All are tried, whatever happens to the others. Raises the error of the first host (in that order) that failed; it
    names the others that failed, too. A lock that is lost goes before all else.
    """
    if not hosts:
        return {}
    if len(hosts) == 1:
        return {hosts[0].name: function(hosts[0])}
    pool = Pool(min(workers, len(hosts)), name="host")
    try:
        # a thread of its own context: whoever asks on behalf of a step still does (see plan/command_log.py)
        futures = {host.name: pool.submit(copy_context().run, function, host) for host in hosts}
        failures = {name: error for name, future in futures.items() if (error := future.exception()) is not None}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C nobody waits for a server that hangs
    if failures:
        raise _named(failures)
    return {name: future.result() for name, future in futures.items()}


def _named(failures: dict[str, BaseException]) -> BaseException:
    lost = next((error for error in failures.values() if isinstance(error, LostLockError)), None)
    if lost is not None:
        return lost  # it says all there is to say, of all servers
    (_, first), *others = failures.items()
    if others and isinstance(first, SnowError):
        first.message += "\n" + "\n".join(f"  also {name}: {_short(error)}" for name, error in others)
    elif others:
        first.add_note("also failed: " + "; ".join(f"{name}: {_short(error)}" for name, error in others))
    return first


def _short(error: BaseException) -> str:
    return error.message.splitlines()[0] if isinstance(error, SnowError) and error.message else repr(error)
