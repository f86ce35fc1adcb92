"""Whose turn it is: one run at a time on a site, from whichever machine.

Every server holds a lock for the run, with a process that lives as long as the connection to it. So there is no lock that
somebody has to remove: a run that is killed, or a machine that is lost, gives its turn back within ``BEAT_S``; after a cut
network it takes until the server's TCP gives up.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from queue import SimpleQueue

from snowha.errors import CommandError, SiteError, SnowError, UnreachableError
from snowha.hosts.api import Host
from snowha.hosts.files import read_text
from snowha.hosts.many import each
from snowha.plan.journal import who

LOCK = "/run/snow-ha.lock"
BEAT_S = 15.0
"""Seconds between two signs of life of the process that holds the lock: it ends when nobody reads them any more."""

_TAKEN = 75
"""What flock(1) ends with if somebody else holds the lock."""
_LONGEST_S = 48 * 3600.0

# A read that nobody answers is its sleep. Writing fails once whoever started the run is gone, and that ends it.
_HOLD = """\
umask 077
printf '%s\\n' "$3" > "$1"
echo "held $$"
exec 3<> <(:)
while read -r -t "$2" -u 3 || echo; do :; done"""


@contextmanager
def taken(hosts: Mapping[str, Host], *, path: str = LOCK, beat_s: float = BEAT_S) -> Iterator[None]:
    """Be the only run on these servers until the end of ``with``, or of this process, however it ends.

    A server that cannot be reached is left out, as long as another one can be. Raises SiteError, which names the owner, if
    another run has its turn.
    """
    owner = f"{who()} on {socket.gethostname()}, pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    held: dict[str, str] = {}
    try:
        for name, process in each(list(hosts.values()), lambda host: _take(host, path, beat_s, owner)).items():
            if process:
                held[name] = process
        if not held:
            raise UnreachableError("no server can be reached", where=", ".join(hosts))
        if taken_there := [name for name, process in held.items() if process == "taken"]:
            raise _busy(hosts[taken_there[0]], path)
        yield
    finally:
        each([hosts[name] for name, process in held.items() if process.isdigit()], lambda host: _give(host, held))


def _take(host: Host, path: str, beat_s: float, owner: str) -> str:
    """The process that holds the lock on ``host``; ``taken`` if another one does, nothing if there is no way to it."""
    answers: SimpleQueue[str] = SimpleQueue()

    def line(text: str) -> None:
        if text.startswith("held "):
            answers.put(text.removeprefix("held "))

    def hold() -> None:
        words = ["flock", "--nonblock", "--conflict-exit-code", str(_TAKEN), path, "bash", "-c", _HOLD, "snow-ha"]
        try:
            done = host.run([*words, path, f"{beat_s:g}", owner], timeout=_LONGEST_S, check=False, on_line=line)
            answers.put("taken" if done.returncode == _TAKEN else f"failed {done.stderr.strip()}")
        except UnreachableError:
            answers.put("")  # at the start: left out; later: it is being rebooted by us, and the others hold on
        except SnowError as error:
            answers.put(f"failed {error}")

    threading.Thread(target=hold, name=f"turn {host.name}", daemon=True).start()
    answer = answers.get()
    if answer.startswith("failed "):
        raise CommandError(f"no lock for this run: {answer.removeprefix('failed ')}", where=f"{host.name}:{path}")
    return answer


def _give(host: Host, held: Mapping[str, str]) -> None:
    with suppress(SnowError):  # it ends by itself
        host.run(["kill", held[host.name]], check=False, timeout=20)


def _busy(host: Host, path: str) -> SiteError:
    owner = (read_text(host, path) or "").strip()
    return SiteError(
        f"another run has its turn: {owner or 'it does not say whose'}",
        where=host.name,
        remedy=f"wait until it has ended, or end it there with Ctrl-C; if that machine is lost for good, on every server: "
        f"pkill -f {path}",
    )

