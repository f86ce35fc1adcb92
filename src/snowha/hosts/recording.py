"""A host whose changing commands are told to somebody: what was done is then known word for word."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snowha.errors import LostLockError
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.caching import ResettableHost
from snowha.hosts.files import FileCall, call_of
from snowha.hosts.host import Completed
from snowha.hosts.read_only import batch_of, is_read_only


@dataclass(frozen=True)
class Command:
    """A command that may have changed something. Never with what was given to it on stdin: that may be a secret."""

    host: str
    text: str
    """Ready to paste; a file that is written is told by its path, and by size and hash if everybody may read it."""
    at: float
    """Seconds since 1970 when it began."""
    seconds: float
    status: int | None
    """Its exit status; None if it did not end by itself or the connection broke."""


class RecordingHost(BaseHost):
    """Passes everything on to ``host``, and tells ``record`` of each command that is not known to only look."""

    def __init__(self, host: ResettableHost, record: Callable[[Command], None]) -> None:
        super().__init__(host.name)
        self._host = host
        self._record = record

    def reset(self) -> None:
        self._host.reset()

    def _run(self, request: Request) -> Completed:
        if is_read_only(request.argv, request.input):
            return request.on(self._host)
        at, begin = time.time(), time.monotonic()
        completed: Completed | None = None
        refused = False
        try:
            completed = request.on(self._host)
        except LostLockError as error:  # of this command, or of another that was to be run while this one goes on
            refused = error.command == request.argv
            raise
        finally:
            if not (refused or (completed and _left_as_it_was(request.argv, completed))):
                status = completed.returncode if completed else None
                text = text_of(request.argv, request.input)
                self._record(Command(self.name, text, at, time.monotonic() - begin, status))
        return completed


def _left_as_it_was(argv: Sequence[str], completed: Completed) -> bool:
    """Whether a file had the content already."""
    return call_of(argv) is not None and completed.stdout.strip() == "same"


def text_of(argv: Sequence[str], input: str | bytes = b"", *, looks: bool = False) -> str:
    """The command as a person may read it, without what came on stdin. Of many that are given at once, those that only look are
    left out unless ``looks``."""
    batch = batch_of(argv, input)
    if batch is not None:
        return "; ".join(text_of(one) for one in batch if looks or not is_read_only(one))
    call = call_of(argv, input)
    return shlex.join(argv) if call is None else _file_text(call)


def _file_text(call: FileCall) -> str:
    words = [call.verb, *map(shlex.quote, call.paths)]
    if call.mode is not None:
        words.append(f"mode={call.mode:o}")
    if call.owner:
        words.append(f"owner={call.owner}")
    if call.verb == "write" and call.mode is not None and call.mode & 0o004:
        # of what others may read only: a short secret can be guessed from its hash
        words += [f"bytes={len(call.content)}", f"sha256={hashlib.sha256(call.content).hexdigest()[:16]}"]
    return " ".join(words)
