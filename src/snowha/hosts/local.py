"""This machine as a Host."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence

from snowha.hosts import trace
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.guard import given
from snowha.hosts.host import Completed
from snowha.hosts.process import as_bytes, execute, too_slow

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def scrubbed_environment() -> dict[str, str]:
    """What every command gets: PATH (with the administrator's folders), HOME, LANG. No LC_*, no surprises."""
    path = os.environ.get("PATH", os.defpath)
    missing = [folder for folder in _SBIN if folder not in path.split(":")]
    home = os.environ.get("HOME") or _home()
    return {"PATH": ":".join([path, *missing]), "HOME": home, "LANG": "C.UTF-8"}


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user that passwd(5) does not have, as in a container
        return "/"


class LocalHost(BaseHost):
    """Commands on this machine. One that is not there ends with 127, one that cannot be run with 126, as in a shell.
    ``environment`` is added to the scrubbed one, for those who ask."""

    def __init__(self, name: str = "localhost", *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(name)
        self._environment = dict(environment or {})

    def reset(self) -> None:
        """There is no connection to drop."""

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What runs ``argv`` with this terminal, to be executed in place of this process."""
        return list(argv)

    def _run(self, request: Request) -> Completed:
        with trace.given(self.name, given(request.argv), request.input) as command:
            completed = self._carry_out(request)
            command.status = completed.returncode
        return completed

    def _carry_out(self, request: Request) -> Completed:
        words, timeout = request.argv, request.timeout
        environment = scrubbed_environment() | self._environment
        try:
            ended = execute(
                words,
                environment=environment,
                input=as_bytes(request.input),
                timeout=timeout,
                on_line=request.on_line,
            )
        except FileNotFoundError:
            return Completed(given(words), 127, "", f"{words[0]}: not found\n")
        except PermissionError:
            return Completed(given(words), 126, "", f"{words[0]}: permission denied\n")
        if ended.timed_out:
            raise too_slow(self.name, given(words), timeout, ended)
        return Completed(
            given(words), ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        )
