"""This machine as a Host."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence

from snowha.hosts import trace
from snowha.hosts.api import Completed
from snowha.hosts.guard import given
from snowha.hosts.process import as_bytes, execute, failed, too_slow

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


class LocalHost:
    """Commands on this machine. ``environment`` is added to the scrubbed one, for those who ask."""

    def __init__(self, name: str = "localhost", *, environment: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._environment = dict(environment or {})

    @property
    def name(self) -> str:
        return self._name

    def reset(self) -> None:
        """There is no connection to drop."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See Host.run. A command that is not there ends with 127, one that cannot be run with 126, as in a shell."""
        words = tuple(argv)
        with trace.given(self.name, given(words), input) as command:
            completed = self._run(words, as_bytes(input), timeout, on_line)
            command.status = completed.returncode
        if check and not completed.ok:
            raise failed(self.name, completed)
        return completed

    def _run(
        self, words: tuple[str, ...], input: bytes, timeout: float, on_line: Callable[[str], None] | None
    ) -> Completed:
        environment = scrubbed_environment() | self._environment
        try:
            ended = execute(words, environment=environment, input=input, timeout=timeout, on_line=on_line)
        except FileNotFoundError:
            return Completed(given(words), 127, "", f"{words[0]}: not found\n")
        except PermissionError:
            return Completed(given(words), 126, "", f"{words[0]}: permission denied\n")
        if ended.timed_out:
            raise too_slow(self.name, given(words), timeout, ended)
        return Completed(
            given(words), ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        )
