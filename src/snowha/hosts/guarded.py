"""Hosts of a site on which nothing is changed but by the run that holds the site's lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from snowha.errors import LostLockError, UnreachableError
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.caching import ResettableHost
from snowha.hosts.guard import Refusal, guarded, is_refusal, refusal_of
from snowha.hosts.host import Completed, Host
from snowha.hosts.read_only import is_read_only

LOCK = "/run/snow-ha.lock"
PATIENCE_S = 60.0
"""Seconds that a command waits for a lock to be held again on a server that was restarted, or whose connection broke."""
_LOOK_AGAIN_S = 5.0


class Guard:
    """The site's lock as its hosts see it. plan/lock.py takes it and says here what it has.

    ``hosts``: the way to the servers for the lock itself. Before it was taken, commands pass as they are; afterwards none does
    without it, also once it was given back.
    """

    def __init__(self, hosts: Mapping[str, Host], *, path: str = LOCK) -> None:
        self.hosts = dict(hosts)
        self.path = path
        self.token = ""
        """Of the run that has taken it; empty before."""
        self._changed = threading.Condition()
        self._times: dict[str, int] = {}
        self._ended: set[str] = set()
        self._lost: tuple[str, str] | None = None
        self._woken: set[str] = set()

    def taken(self, token: str) -> None:
        """A run begins to take the lock."""
        with self._changed:
            self.token = token
            self._times, self._ended, self._lost = {}, set(), None

    def held(self, server: str) -> None:
        """The lock of ``server`` is held, for the first time or again."""
        with self._changed:
            self._times[server] = self._times.get(server, 0) + 1
            self._ended.discard(server)
            self._changed.notify_all()

    def ended(self, server: str) -> None:
        """The process that held the lock of ``server`` has ended, and the connection to it has not: somebody ended it, or the
        server is being shut down."""
        with self._changed:
            self._ended.add(server)
            self._changed.notify_all()

    def mark_lost(self, server: str, to: str) -> None:
        """The lock is lost for good: from now on no command passes, on any server. ``to``: who has it; empty if it was ended."""
        with self._changed:
            self._lost = self._lost or (server, to)
            self._changed.notify_all()

    def times(self, server: str) -> int:
        """How often the lock of ``server`` was taken by this run."""
        with self._changed:
            return self._times.get(server, 0)

    def check(self, argv: Sequence[str]) -> None:
        """Raise LostLockError for a command if the lock is lost."""
        with self._changed:
            lost = self._lost
        if lost:
            server, to = lost
            error = LostLockError(
                f"this run lost the lock on {server}{f' to {to}' if to else ': it was ended there'}; "
                "it changes nothing more on any server",
                where=server,
                remedy="see the current state with `snow ha status`, then run it again",
            )
            error.command = tuple(argv)
            raise error

    def verify(self) -> None:
        """Raise LostLockError if the lock was taken and is lost on the first server: what fails then may fail for that reason."""
        first = next(iter(self.hosts.values()), None)
        if first is None or not self.times(first.name):
            return
        try:
            _run(self, first, Request(("true",), input="", timeout=60.0, on_line=None))
        except UnreachableError:
            return  # nothing can be said

    def pause(self, server: str, seconds: float) -> None:
        """Before the lock of ``server`` is tried again: shorter if somebody waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: server in self._woken, seconds)
            self._woken.discard(server)

    def wake(self, *servers: str) -> None:
        """End the pause of ``servers``."""
        with self._changed:
            self._woken.update(servers)
            self._changed.notify_all()

    def wait(self, server: str, times: int) -> None:
        """Until the lock of ``server`` is taken again, or for some seconds. ``times``: how often it was before."""
        self.wake(server)
        with self._changed:
            self._changed.wait_for(lambda: self._times.get(server, 0) > times or bool(self._lost), _LOOK_AGAIN_S)

    def is_lost(self, server: str, refusal: Refusal, times: int) -> bool:
        """Whether ``refusal`` is the last word. It is not on a server that was restarted, where the lock is about to be taken
        again; nor where it was never held so far, since the server did not answer when the run began."""
        if not times or not refusal.holder or refusal.stopping:
            return False
        if refusal.holder != self.token or refusal.ended == "ended":
            return True
        with self._changed:
            return server in self._ended


class GuardedHost(BaseHost):
    """Passes everything on to ``host``; what is not known to only look is carried out there only while the lock is held.

    Raises LostLockError, from then on for each such command, once the lock is lost: the command was not carried out.
    """

    def __init__(self, host: ResettableHost, guard: Guard) -> None:
        super().__init__(host.name)
        self._host = host
        self._guard = guard

    def reset(self) -> None:
        self._host.reset()

    def _run(self, request: Request) -> Completed:
        if not self._guard.token or is_read_only(request.argv, request.input):
            return request.on(self._host)
        return _run(self._guard, self._host, request)


def _run(guard: Guard, host: Host, request: Request) -> Completed:
    """Have ``host`` run it if the lock is held there, or is about to be again. Raises LostLockError, and as the host's own."""
    token = guard.token
    words = tuple(guarded(request.argv, guard.path, token))
    asked = replace(request, argv=words, on_line=_without_refusal(request.on_line, token))
    deadline = time.monotonic() + PATIENCE_S
    while True:
        guard.check(request.argv)
        times = guard.times(host.name)
        completed = asked.on(host)
        refusal = refusal_of(completed.returncode, completed.stderr, token)
        if refusal is None:
            return completed
        late = time.monotonic() > deadline
        if refusal.stopping and late:
            raise UnreachableError("it is being shut down", where=host.name, remedy="run this again when it is back")
        if late or guard.is_lost(host.name, refusal, times):
            guard.mark_lost(host.name, refusal.owner if refusal.holder not in ("", token) else "")
        else:
            guard.wait(host.name, times)


def _without_refusal(on_line: Callable[[str], None] | None, token: str) -> Callable[[str], None] | None:
    if on_line is None:
        return None

    def forward(line: str) -> None:
        if not is_refusal(line, token):
            on_line(line)

    return forward
