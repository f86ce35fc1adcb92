"""A host on which nothing is changed: it looks at the real one, and notes what would have been done.

Files that would have been written read as if they had been. Other commands that change something are noted and count
as having worked; where a step needs to see what came of one, ``simulate`` answers in the server's place.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snowha.hosts import files
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.host import Completed, Host
from snowha.hosts.read_only import is_read_only
from snowha.hosts.recording import text_of

_ABSENT = 44
"""What the scripts of ``files`` end with where there is no such file."""


@dataclass(frozen=True)
class Written:
    """A file as it is, and as it would be (None: it would be removed). ``readable``: by everybody, before or after."""

    path: str
    before: bytes | None
    after: bytes | None
    readable: bool


Simulate = Callable[[Sequence[str], Completed | None], str | None]
"""``simulate(argv, answer)``: what a command would have printed. A command that only looks is tried again with what the
server answered. None: nothing to say."""


class DryRunHost(BaseHost):
    """``host`` with nothing changed. ``written`` and ``commands`` are what would have been done, in order."""

    def __init__(self, host: Host, simulate: Simulate) -> None:
        super().__init__(host.name)
        self._host = host
        self._simulate = simulate
        self._overlay: dict[str, tuple[bytes | None, int]] = {}
        self.written: list[Written] = []
        self.commands: list[str] = []

    def take(self) -> tuple[tuple[Written, ...], tuple[str, ...]]:
        """What was noted since the last time."""
        noted = tuple(self.written), tuple(self.commands)
        self.written, self.commands = [], []
        return noted

    def _run(self, request: Request) -> Completed:
        argv, input = request.argv, request.input
        call = files.call_of(argv, input)
        if call is not None:
            completed = self._file(call, argv, input, request.timeout)
        elif is_read_only(argv, input):
            completed = self._run_read_only(argv, input, request.timeout)
        else:
            self.commands.append(text_of(argv, input))
            completed = Completed(tuple(argv), 0, self._simulate(argv, None) or "", "")
        if request.on_line is not None:
            for line in completed.stdout.splitlines():
                request.on_line(line)
        return completed

    def _run_read_only(self, argv: Sequence[str], input: str | bytes, timeout: float) -> Completed:
        said = self._simulate(argv, None)
        if said is not None:
            return _answer(argv, said)
        completed = self._host.run(argv, input=input, timeout=timeout, check=False)
        said = self._simulate(argv, completed)
        return completed if said is None else _answer(argv, said)

    def _file(self, call: files.FileCall, argv: Sequence[str], input: str | bytes, timeout: float) -> Completed:
        path = call.paths[0]
        if call.verb == "make":
            return _answer(argv, "same")
        if call.verb == "write":
            return self._write(call, argv, call.content)
        if call.verb == "remove":
            return self._write(call, argv, None)
        if call.verb == "link":
            self.commands.append(text_of(argv, input))
            return _answer(argv, "changed")
        if call.verb == "absent":
            gone = self._host.run(argv, timeout=timeout).stdout.splitlines()
            known = {name for name in gone if name not in self._overlay}
            known |= {name for name, (content, _) in self._overlay.items() if content is None and name in call.paths}
            return _answer(argv, "".join(f"{name}\n" for name in call.paths if name in known))
        if call.verb == "folder":
            return self._folder(call, argv, timeout)
        if path not in self._overlay or call.verb == "kept":
            return self._host.run(argv, input=input, timeout=timeout, check=False)
        content, mode = self._overlay[path]
        if content is None:
            return Completed(tuple(argv), _ABSENT, "", "")
        if call.verb == "read":
            return _answer(argv, base64.b64encode(content).decode())
        if call.verb == "hash":
            return _answer(argv, f"{hashlib.sha256(content).hexdigest()}  -\n")
        return _answer(argv, f"{mode:o} root root {len(content)} regular file\n")

    def _folder(self, call: files.FileCall, argv: Sequence[str], timeout: float) -> Completed:
        folder, suffix = call.paths
        there = self._host.run(argv, timeout=timeout).stdout.splitlines()
        lines = {base64.b64decode(line.partition(" ")[0]).decode(errors="surrogateescape"): line for line in there}
        for path, (content, _) in self._overlay.items():
            if path.rpartition("/")[0] == folder and path.endswith(suffix):
                lines.pop(path, None)
                if content is not None:
                    lines[path] = f"{base64.b64encode(path.encode()).decode()} {base64.b64encode(content).decode()}"
        return _answer(argv, "".join(f"{line}\n" for line in lines.values()))

    def _write(self, call: files.FileCall, argv: Sequence[str], content: bytes | None) -> Completed:
        path = call.paths[0]
        facts = files.stat(self, path)
        before = files.read_file(self, path) if facts else None
        if (content is None and facts is None) or (before == content and facts and call.mode in (None, facts.mode)):
            return _answer(argv, "same")
        mode = call.mode if call.mode is not None else facts.mode if facts else 0o600
        readable = bool((facts.mode if facts else mode) & mode & 0o004)
        self._overlay[path] = (content, mode)
        self.written.append(Written(path, before, content, readable))
        return _answer(argv, "changed")


def _answer(argv: Sequence[str], text: str) -> Completed:
    return Completed(tuple(argv), 0, text, "")
