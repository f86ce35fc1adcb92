"""Whose turn it is: one run at a time on a site, from whichever machine.

Every server holds a lock for the run, with a process that lives as long as the connection to it. So there is no lock that
somebody has to remove: a run that is killed gives its turn back within two beats of ``BEAT_S`` (the first ends the ssh
that outlived it, the second finds the connection gone); of a machine that lost its power or its network it is back when
the servers' TCP gives up (kernel: ip-sysctl, tcp_retries2).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue

from snowha.errors import CommandError, SiteError, SnowError, UnreachableError
from snowha.hosts.api import Host
from snowha.hosts.files import read_text
from snowha.hosts.many import each
from snowha.hosts.waiting import waiting_for
from snowha.plan.journal import who

LOCK = "/run/snow-ha.lock"
BEAT_S = 5.0
"""Seconds between two signs of life of the process that holds the lock: it ends when nobody reads them any more."""
PATIENCE_S = 2 * BEAT_S + 20.0
"""Seconds to wait for a lock: a run that was killed has given it back by then, also on servers that are busy."""

_TAKEN = "taken"
_LONGEST_S = 48 * 3600.0

# A read that nobody answers is its sleep. Writing fails once whoever started the run is gone, and that ends it.
_HOLD = """\
printf '%s\\n' "$3" > "$1"
echo "held $$"
exec 3<> <(:)
while read -r -t "$2" -u 3 || echo; do :; done"""

_END = 'grep -qzFx -- "$2" "/proc/$1/cmdline" && kill "$1"'
"""For a process with this owner among its arguments, and for no other."""


@contextmanager
def taken(
    hosts: Mapping[str, Host],
    say: Callable[[str], None],
    *,
    path: str = LOCK,
    beat_s: float = BEAT_S,
    patience_s: float = PATIENCE_S,
) -> Iterator[None]:
    """Be the only run on these servers until the end of ``with``, or of this process, however it ends.

    A server that cannot be reached is left out, as long as another one can be. Waits for as long as a run that was killed
    needs to give its turn back, and tells ``say`` so. Raises SiteError, which names the owner, if another run has its turn.
    """
    over = threading.Event()
    owner = f"{who()} on {socket.gethostname()}, pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    held: dict[str, str] = {}

    def take(servers: Iterable[Host], wait_s: float) -> list[Host]:
        """Those on which somebody else holds it."""
        answers = each(list(servers), lambda host: _Hold(host, path, beat_s, owner, over, held).take(wait_s))
        held.update({name: process for name, process in answers.items() if process not in ("", _TAKEN)})
        return [hosts[name] for name, process in answers.items() if process == _TAKEN]

    first, *rest = hosts.values()
    try:
        # the first server before the others: of two runs that start at the same time one gets all of them
        others = take([first], 0) or take(rest, 0)
        if others:
            say(f"waiting up to {patience_s:g} s for the end of another run: {_owner(others[0], path)}")
            others = take(others, patience_s) or take([host for host in rest if host.name not in held], patience_s)
        if others:
            raise SiteError(
                f"another run has its turn: {_owner(others[0], path)}",
                where=others[0].name,
                remedy="wait until it has ended, or end it there with Ctrl-C; if that machine is lost for good, on every "
                f"server: pkill -f {path}",
            )
        if not held:
            raise UnreachableError("no server can be reached", where=", ".join(hosts))
        yield
    finally:
        over.set()
        each([hosts[name] for name in held], lambda host: _give(host, held[host.name], owner))


@dataclass(frozen=True)
class _Hold:
    """The lock of one server, held until ``over``; taken anew when the server was restarted meanwhile. ``held``: the process that
    holds it, by server."""

    host: Host
    path: str
    beat_s: float
    owner: str
    over: threading.Event
    held: dict[str, str]

    def take(self, wait_s: float) -> str:
        """The process that holds the lock; _TAKEN if another owner's does, nothing if there is no way to the server."""
        answers: SimpleQueue[str] = SimpleQueue()

        def keep() -> None:
            with waiting_for(""):  # it lasts as long as the run: nobody waits for it
                answers.put(self._hold(wait_s, answers.put))
                while self.host.name in self.held and not self.over.wait(self.beat_s):
                    self._hold(0, self._again)

        threading.Thread(target=keep, name=f"turn {self.host.name}", daemon=True).start()
        with waiting_for(self.host.name):
            answer = answers.get()
        if answer.startswith("failed "):
            reason = answer.removeprefix("failed ")
            raise CommandError(f"no lock for this run: {reason}", where=f"{self.host.name}:{self.path}")
        return answer

    def _again(self, process: str) -> None:
        self.held[self.host.name] = process
        if self.over.is_set():  # the run ended just now, and knew only of the process before
            _give(self.host, process, self.owner)

    def _hold(self, wait_s: float, begun: Callable[[str], None]) -> str:
        """Hold it for as long as the connection lives, and call ``begun`` with the process once it is held; why it ended."""

        def line(text: str) -> None:
            if text.startswith("held "):
                begun(text.removeprefix("held "))

        words = ["flock", "--wait", f"{wait_s:g}", "--conflict-exit-code", "75", self.path, "bash", "-c", _HOLD, "snow-ha"]
        try:
            done = self.host.run(
                [*words, self.path, f"{self.beat_s:g}", self.owner], timeout=_LONGEST_S, check=False, on_line=line
            )
        except UnreachableError:
            return ""
        except SnowError as error:
            return f"failed {error}"
        return _TAKEN if done.returncode == 75 else f"failed {done.stderr.strip()}"


def _give(host: Host, process: str, owner: str) -> None:
    """End the process that holds the lock for ``owner``. Only that one: the server may have been restarted meanwhile, and another
    process have its number."""
    with suppress(SnowError):  # it ends by itself
        host.run(["sh", "-c", _END, "sh", process, owner], check=False, timeout=20)


def _owner(host: Host, path: str) -> str:
    return (read_text(host, path) or "").strip() or "it does not say whose"
