"""The site lock: one run at a time on a site, from whichever machine.

Every server holds a lock for the run, with a process that lives as long as the connection to it. So there is no lock that
somebody has to remove: a run that is killed releases the lock within two beats of ``BEAT_S`` (the first ends the ssh
that outlived it, the second finds the connection gone); of a machine that lost its power or its network it is back when
the servers' TCP gives up (kernel: ip-sysctl, tcp_retries2). A machine that stands still while its kernel answers keeps it
until somebody ends that process: the run that is refused is told how.

Every command of the run that changes something looks whether the lock is still its own (hosts/guard.py). Whoever takes the lock
waits for the commands of an earlier run that are under way, and ends its copies of images: these may take hours, and go on
later where they were.
"""

from __future__ import annotations

import math
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Literal

from snowha.errors import CommandError, SiteError, SnowError, UnreachableError
from snowha.hosts import guard as guards
from snowha.hosts.current_waits import waiting_for
from snowha.hosts.files import read_text
from snowha.hosts.guarded import Guard
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.plan.who import current_user

BEAT_S = 5.0
"""Seconds between two signs of life of the process that holds the lock: it ends when nobody reads them any more."""
PATIENCE_S = 2 * BEAT_S + 20.0
"""Seconds to wait for a lock: a run that was killed has given it back by then, also on servers that are busy."""
COMMAND_PATIENCE_S = 900.0
"""Seconds to wait for commands of an earlier run: apt-get goes on when nobody listens any more, with a new kernel for minutes."""

_TAKEN, _LOST, _BUSY = 75, 76, 77
"""Exit statuses instead of a lock: another owner has it; this run may not take it again; commands of an earlier run go on."""
_LONGEST_S = 48 * 3600.0
NAME = "snow-ha-lock"
"""What the process that holds a lock is called, with the lock behind it."""

_End = Literal["taken", "away", "ended", "lost"]
"""Why a lock is not held, or no longer: another owner has it; there is no way to the server; its process was ended; this run has
lost it."""
Since = Literal["begin", "loss", "restart"]
"""When a lock may be taken: at the begin of a run; after the connection broke, if nobody had it since; or, if somebody ended it,
only after the server was restarted."""

# Parameters: the lock, seconds between two beats, owner, token, since (as above), beats to wait for commands of an earlier run,
# how commands begin that are ended where an earlier run has left them. `[ ]` in a pattern does not match itself among the words
# of this process.
# A read that nobody answers is its sleep. Writing fails once whoever started the run is gone, and that ends it.
_MAY = """\
{ read -r owner; read -r token; read -r ended; } 2> /dev/null < "$1"
case $5 in
    loss) [ -z "$token" ] || [ "$token $ended" = "$4 " ] ;;
    restart) [ -z "$token" ] ;;
esac || { [ "$token" = "$4" ] || echo "lost $owner"; exit 76; }
"""
_HOLD = f"""\
{_MAY}\
printf '%s\\n%s\\n' "$3" "$4" > "$1"
trap 'echo ended >> "$1"; exit 143' TERM
if [ "$5" = begin ]; then
    left=$(pgrep -d , -f "{guards.NAME}[ ]$1 [0-9a-f]* $7") && pkill -P "$left"
    exec 4>> "$1{guards.ACTING}"
    if ! flock --nonblock 4; then
        left=$(pgrep -d , -f "{guards.NAME}[ ]$1 ") || left=0
        busy=$(ps -o args= --ppid "$left" | grep -v -F {guards.NAME} | head -n 1)
        echo "waits $busy"
        for ((beat = 0; beat < $6; beat++)); do
            flock --wait "$2" 4 && break
            echo || exit
        done
        if [ "$beat" = "$6" ]; then
            echo "busy $busy"
            echo ended >> "$1"
            exit 77
        fi
    fi
    exec 4>&-
fi
echo "held $$"
exec 3<> <(:)
while read -r -t "$2" -u 3 || echo; do :; done"""

_END = 'grep -qzFx -- "$2" "/proc/$1/cmdline" && kill "$1"'
"""For a process with this token among its arguments, and for no other."""


@dataclass(frozen=True)
class _Run:
    """What the locks of all servers have in common."""

    guard: Guard
    say: Callable[[str], None]
    owner: str
    token: str
    copies: str
    beat_s: float
    command_patience_s: float
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def site_lock(
    guard: Guard,
    say: Callable[[str], None],
    *,
    copies: str = "-",
    beat_s: float = BEAT_S,
    patience_s: float = PATIENCE_S,
    command_patience_s: float = COMMAND_PATIENCE_S,
) -> Iterator[None]:
    """Be the only run on the servers of ``guard`` until the end of ``with``, or of this process, however it ends.

    A server that cannot be reached is left out, as long as another one can be, and locked when it answers. Waits for as long as a
    run that was killed needs to release the lock, then for the commands that it has left, and tells ``say`` so. ``copies``: how
    commands begin that are ended where an earlier run has left them. Raises SiteError, which names the owner if another run holds
    the lock, else what is under way.
    """
    owner = (
        f"{current_user()} on {socket.gethostname()}, pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    run = _Run(guard, say, owner, secrets.token_hex(12), copies, beat_s, command_patience_s)
    holds = {name: _ServerLock(host, run) for name, host in guard.hosts.items()}
    guard.taken(run.token)

    def acquire(some: Iterable[_ServerLock], wait_s: float) -> list[_ServerLock]:
        """Those on which somebody else holds it."""
        free = each([hold.host for hold in some], lambda host: holds[host.name].acquire(wait_s))
        return [holds[name] for name, is_free in free.items() if not is_free]

    first, *rest = holds.values()
    try:
        # the first server before the others: of two runs that start at the same time one gets all of them
        others = acquire([first], 0) or acquire(rest, 0)
        if others:
            say(f"waiting up to {patience_s:g} s for the end of another run: {_owner(others[0].host, guard.path)}")
            others = acquire(others, patience_s) or acquire([hold for hold in rest if not hold.is_kept], patience_s)
        if others:
            raise SiteError(
                f"another run holds the site lock: {_owner(others[0].host, guard.path)}",
                where=others[0].host.name,
                remedy="wait until it has ended, or end it there with Ctrl-C; if that machine is lost or hangs, on every "
                f"server: pkill -f {_name(guard.path)} (that run then changes nothing more, even if it resumes)",
            )
        if not any(hold.process for hold in holds.values()):
            raise UnreachableError("no server can be reached", where=", ".join(holds))
        yield
    finally:
        run.over.set()
        guard.wake(*holds)
        each([hold.host for hold in holds.values() if hold.process], lambda host: holds[host.name].release())


class _ServerLock:
    """The lock of one server, held until the run is over; taken anew when the server was restarted meanwhile, or when the
    connection broke and nobody else had it since."""

    def __init__(self, host: Host, run: _Run) -> None:
        self.host = host
        self.process = ""
        """The one that holds it, or held it last; empty if none did."""
        self.is_kept = False
        """It is held, or is taken as soon as the server answers."""
        self._run = run
        self._since: Since = "begin"

    def acquire(self, wait_s: float) -> bool:
        """Whether no other owner has it: it is held now, or will be, since there is no way to the server yet."""
        answers: SimpleQueue[_End | SnowError | None] = SimpleQueue()

        def hold() -> None:
            with waiting_for(""):  # it lasts as long as the run: nobody waits for it
                end = self._hold(wait_s, lambda: answers.put(None))
                answers.put(end)
                self._reacquire(end)

        threading.Thread(target=hold, name=f"lock {self.host.name}", daemon=True).start()
        with waiting_for(self.host.name):
            answer = answers.get()
        if isinstance(answer, SnowError):
            raise answer
        self.is_kept = answer in (None, "away")
        return self.is_kept

    def release(self) -> None:
        end_holder(self.host, self.process, self._run.token)

    def _reacquire(self, end: _End | SnowError) -> None:
        """Take it again whenever it has ended, as long as that is right."""
        run, server = self._run, self.host.name
        while (self.process or end == "away") and not run.over.is_set():
            if end == "ended":
                self._since = "restart"
                run.guard.ended(server)
            elif end == "lost":
                return
            run.guard.pause(server, run.beat_s)
            if not run.over.is_set():
                end = self._hold(0, lambda: None)

    def _hold(self, wait_s: float, begun: Callable[[], None]) -> _End | SnowError:
        """Hold it for as long as the connection lives, and call ``begun`` once it is held; why it ended."""
        run, server = self._run, self.host.name
        said = ""

        def line(text: str) -> None:
            nonlocal said
            word, _, rest = text.partition(" ")
            if word == "held":
                self.process, self._since = rest, "loss"
                run.guard.held(server)
                begun()
                if run.over.is_set():  # the run ended just now, and knew only of the process before
                    self.release()
            elif word == "waits":
                patience = f"waiting up to {run.command_patience_s:g} s"
                run.say(f"{patience} for what an earlier run still does on {server}: {rest or 'it is about to end'}")
            elif word in ("busy", "lost"):
                said = rest

        before = self.process
        words = holder_words(
            run.guard.path,
            wait_s=wait_s,
            beat_s=run.beat_s,
            owner=run.owner,
            token=run.token,
            since=self._since,
            command_patience_s=run.command_patience_s,
            copies=run.copies,
        )
        try:
            done = self.host.run(words, timeout=_LONGEST_S, check=False, on_line=line)
        except UnreachableError:
            return "away"
        except SnowError as error:
            return error
        if done.returncode == _TAKEN:
            return "taken"
        if done.returncode == _BUSY:
            return SiteError(
                f"a command of an earlier run still runs there: {said}",
                where=server,
                remedy="wait until it has ended, or end it there; then run this again",
            )
        if done.returncode == _LOST and said:
            run.guard.mark_lost(server, said)
            return "lost"
        if done.returncode == _LOST or self.process != before:
            return "ended"
        return CommandError(f"no lock for this run: {done.stderr.strip()}", where=f"{server}:{run.guard.path}")


def holder_words(
    path: str,
    *,
    wait_s: float,
    beat_s: float,
    owner: str,
    token: str,
    since: Since,
    command_patience_s: float,
    copies: str,
) -> list[str]:
    """The command that takes the lock ``path`` and holds it.

    Whether it may be taken again is asked before it is locked, too: a command of this run that is just begun must not take the
    lock of a process that only looks for its own.
    """
    given = [_name(path), path, f"{beat_s:g}", owner, token, since]
    lock = ["flock", "--wait", f"{wait_s:g}", "--conflict-exit-code", str(_TAKEN), path]
    hold = [*lock, "bash", "-c", _HOLD, *given, str(math.ceil(command_patience_s / beat_s)), copies]
    return hold if since == "begin" else ["bash", "-c", f'{_MAY}exec "${{@:6}}"', *given, *hold]


def _name(path: str) -> str:
    """What the process that holds the lock is called."""
    return f"{NAME}:{path}"


def end_holder(host: Host, process: str, token: str) -> None:
    """End the process that holds the lock for ``token``. Only that one: the server may have been restarted meanwhile, and another
    process have its number."""
    with suppress(SnowError):  # it ends by itself
        host.run(["sh", "-c", _END, "sh", process, token], check=False, timeout=20)


def _owner(host: Host, path: str) -> str:
    text = (read_text(host, path) or "").strip()
    return text.splitlines()[0] if text else "it does not say whose"
