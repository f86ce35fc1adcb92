"""A command that runs only while the lock of its run is held on the server that carries it out.

Whether it is held is looked up there, by the process that then starts the command: nothing lies between the two. While the
command runs, that process holds a second lock, shared; whoever takes the site's lock needs that one exclusively first
(plan/lock.py). So no run begins while a command of an earlier one is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REFUSED = 94
"""Exit status of a command that was not run."""
NAME = "snow-ha-guard"
"""What the process is called: the name, the lock, the token and the command stand behind each other among its words."""
ACTING = ".acting"
"""What is added to the name of the lock for the lock that is held while a command runs."""

# Parameters: the lock, the run's token, the command.
# The file has a line for who holds it and one for that run's token, and a third if somebody ended that lock.
# `exec` in a subshell, since a word may be the name of a builtin. The command does not get the descriptors: `xl create` leaves a
# process that lives as long as its domain. Signals are trapped, so that this process ends after the command and not before.
_SCRIPT = """\
lock=$1 token=$2
shift 2
owner= holder= ended=
refuse() {
    state=$(timeout 5 systemctl is-system-running 2>/dev/null)
    printf '%s %s %s %s %s\\n' "$token" "${holder:--}" "${ended:--}" "${state:--}" "$owner" >&2
    exit 94
}
act() {
    flock --shared 9 || refuse
    IFS= read -r owner <&8; IFS= read -r holder <&8; IFS= read -r ended <&8
    [ "$holder" = "$token" ] && [ -z "$ended" ] || refuse
    flock --shared --nonblock 8
    if [ $? -ne 1 ]; then ended=free; refuse; fi
    (exec "$@") 8<&- 9>&-
    exit
}
trap : HUP INT TERM
[ -e "$lock" ] || refuse
act "$@" 8<"$lock" 9>>"$lock.acting"
refuse
"""
_BEGIN = ("sh", "-c", _SCRIPT, NAME)
_WORDS = len(_BEGIN) + 2


@dataclass(frozen=True)
class Refusal:
    """Why a command was not run."""

    holder: str
    """The token of the run that held the lock last; empty where nobody did since the server was started."""
    owner: str
    """Who that is, for a person."""
    ended: str
    """``ended`` if somebody has ended its lock, ``free`` if it is not held for another reason, else empty."""
    stopping: bool
    """The server is being shut down or restarted."""


def guarded(argv: Sequence[str], path: str, token: str) -> list[str]:
    """The words that run ``argv`` if the lock ``path`` is held for ``token``, and end with REFUSED else.

    The command has the same standard streams; its exit status is passed on, 128 and the number for one that a signal ended.
    """
    return [*_BEGIN, path, token, *argv]


def given(argv: Sequence[str]) -> tuple[str, ...]:
    """``argv`` as it was given, without the guard: for whoever reads it."""
    words = tuple(argv)
    return words[_WORDS:] if words[: len(_BEGIN)] == _BEGIN else words


def is_refusal(line: str, token: str) -> bool:
    return line.startswith(f"{token} ")


def refusal_of(returncode: int, stderr: str, token: str) -> Refusal | None:
    """Why a guarded command was not run; None if it was."""
    if returncode != REFUSED:
        return None
    line = next((line for line in reversed(stderr.splitlines()) if is_refusal(line, token)), None)
    if line is None:
        return None
    _, holder, ended, state, owner = line.split(" ", 4)
    return Refusal(holder.strip("-"), owner.strip(), ended.strip("-"), state == "stopping")
