"""One process: started from a list of words, fed, read, and ended at its time. The only place that starts one."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from snowha.errors import CommandError
from snowha.hosts.host import Completed

_CHUNK = 1 << 16
_TICK = 0.05
"""Seconds between two looks whether the process has ended, while something else still holds its output open."""
_AFTERMATH = 0.3
"""Seconds without output after which a process that has ended counts as read to the end: a daemon that it left behind
may keep its output open for ever."""
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL at the timeout."""


@dataclass(frozen=True)
class Ended:
    """How a process ended. ``timed_out``: it was killed, with its process group, because its time was up."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


def execute(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    input: bytes = b"",
    timeout: float,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run ``argv`` in a session of its own: no terminal to ask on, no Ctrl-C meant for us. ``timeout`` is in seconds.

    Raises FileNotFoundError and PermissionError as subprocess.Popen does. Whatever ``on_line`` raises ends the process.
    """
    deadline = time.monotonic() + timeout
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE if input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        stdout, stderr, timed_out = _converse(process, input, deadline, on_line)
    finally:
        if process.poll() is None:
            _end(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    return Ended(process.returncode, stdout, stderr, timed_out)


def _converse(
    process: subprocess.Popen[bytes], input: bytes, deadline: float, on_line: Callable[[str], None] | None
) -> tuple[bytes, bytes, bool]:
    """Feed and read at once, in one thread, so that neither side can block the other. The caller ends the process."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.fileno(), process.stderr.fileno()
    gathered: dict[int, list[bytes]] = {out: [], err: []}
    lines = {number: _Lines(on_line) for number in gathered}
    unsent = memoryview(input)
    timed_out = False
    quiet_since: float | None = None
    with selectors.DefaultSelector() as selector:
        for number in gathered:
            os.set_blocking(number, False)
            selector.register(number, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            ended = process.poll() is not None
            ready = selector.select(min(left, _TICK if ended else 5 * _TICK))
            for key, _ in ready:
                if process.stdin is not None and key.fileobj is process.stdin:
                    unsent = _send(process.stdin, unsent, selector)
                    continue
                data = os.read(key.fd, _CHUNK)
                if data:
                    gathered[key.fd].append(data)
                    lines[key.fd].feed(data)
                else:
                    selector.unregister(key.fd)
            if not ended or ready:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > _AFTERMATH:
                break
    if not timed_out:
        try:
            process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            timed_out = True
    for rest in lines.values():
        rest.end()
    return b"".join(gathered[out]), b"".join(gathered[err]), timed_out


def _send(stdin: IO[bytes], unsent: memoryview, selector: selectors.BaseSelector) -> memoryview:
    try:
        unsent = unsent[os.write(stdin.fileno(), unsent[:_CHUNK]) :]
    except BlockingIOError:
        return unsent
    except BrokenPipeError:
        unsent = unsent[:0]  # it does not want to read on: its exit status says whether that was right
    if not unsent:
        selector.unregister(stdin)
        with contextlib.suppress(OSError):
            stdin.close()
    return unsent


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what outlived the leader


class _Lines:
    """Bytes as they come, cut into lines. A carriage return ends one too: progress displays use it."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        if self._on_line is None:
            return
        *whole, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if line:
                self._on_line(line.decode(errors="replace"))

    def end(self) -> None:
        if self._on_line is not None and self._rest:
            rest, self._rest = self._rest, b""
            self._on_line(rest.decode(errors="replace"))


def as_bytes(input: str | bytes) -> bytes:
    return input.encode() if isinstance(input, str) else input


def failed(host: str, completed: Completed) -> CommandError:
    """The error for a command that ended badly: shown once, ready to paste, with the last of what it said."""
    said = _last_lines(completed.stderr) or _last_lines(completed.stdout)
    message = f"exit status {completed.returncode} from: {shlex.join(completed.argv)}"
    return CommandError(f"{message}\n{said}" if said else message, where=host)


def too_slow(host: str, argv: Sequence[str], timeout: float, ended: Ended) -> CommandError:
    said = _last_lines(ended.stderr.decode(errors="replace")) or _last_lines(ended.stdout.decode(errors="replace"))
    message = f"timed out after {timeout:g} s, ended: {shlex.join(argv)}"
    return CommandError(f"{message}\n{said}" if said else message, where=host)


def _last_lines(text: str, count: int = 8) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-count:])
