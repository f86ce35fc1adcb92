"""A host that answers from a recording: for tests of parsing, and of scale. Never in place of Xen, LVM or Pacemaker."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from snowha.hosts.base import BaseHost, Request
from snowha.hosts.host import Completed
from snowha.hosts.process import as_bytes


@dataclass(frozen=True)
class Call:
    """One expected call and what was recorded for it. ``stdin`` None: whatever comes in is taken."""

    argv: tuple[str, ...]
    stdout: str = ""
    stderr: str = ""
    returncode: int = 0
    stdin: bytes | None = None


class PlaybackHost(BaseHost):
    """Answers exactly ``calls``, in their order. ``delay``: seconds that every answer takes.

    Any other call raises AssertionError, and so does ``close`` (or the end of ``with``) while calls are left.
    """

    def __init__(self, name: str, calls: Sequence[Call], *, delay: float = 0.0) -> None:
        super().__init__(name)
        self._left = list(calls)
        self._delay = delay
        self._lock = threading.Lock()

    def _run(self, request: Request) -> Completed:
        words = request.argv
        with self._lock:
            assert self._left, f"{self.name}: nothing more was expected, but this came: {shlex.join(words)}"
            call = self._left[0]
            assert call.argv == words, f"{self.name}: expected {shlex.join(call.argv)}, got {shlex.join(words)}"
            if call.stdin is not None:
                assert call.stdin == as_bytes(request.input), (
                    f"{self.name}: {shlex.join(words)} was given other input: {request.input!r}"
                )
            del self._left[0]
        if self._delay:
            time.sleep(self._delay)
        if request.on_line is not None:
            for line in (call.stdout + call.stderr).splitlines():
                request.on_line(line)
        return Completed(words, call.returncode, call.stdout, call.stderr)

    def close(self) -> None:
        left = "\n".join(shlex.join(call.argv) for call in self._left)
        assert not self._left, f"{self.name}: these were expected and never came:\n{left}"

    def __enter__(self) -> PlaybackHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
