"""A host that is asked every question once, for as long as nothing is changed there.

Before a run changes anything, every step looks, and many look at the same thing: where domains run, what Pacemaker says. On a
busy server each command costs a noticeable part of a second. The answers are good until the first change: then ``invalidate``.

What steps look at is nearly the same in every run: ``asked`` tells what it was, and ``ask`` asks all of it at once the next
time. On a finished site that is all that there is to do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from snowha.hosts.base import BaseHost, Request
from snowha.hosts.batch import run_all
from snowha.hosts.host import Completed, Host
from snowha.hosts.process import as_bytes
from snowha.hosts.read_only import is_read_only

_for_prefetch: ContextVar[bool] = ContextVar("for_prefetch", default=False)


@contextmanager
def for_prefetch() -> Iterator[None]:
    """What is asked in this block is asked to look, and will be asked again in the next run."""
    token = _for_prefetch.set(True)
    try:
        yield
    finally:
        _for_prefetch.reset(token)


@runtime_checkable
class ResettableHost(Host, Protocol):
    """A host with a connection that can be dropped."""

    def reset(self) -> None: ...


class CachingHost(BaseHost):
    """Passes commands on to ``host``, the same one only once, until ``invalidate`` is called; from then on all of them."""

    def __init__(self, host: ResettableHost) -> None:
        super().__init__(host.name)
        self._host = host
        self._lock = threading.Lock()
        self._answers: dict[tuple[tuple[str, ...], bytes], tuple[threading.Lock, list[Completed]]] | None = {}
        self._questions: dict[tuple[str, ...], None] = {}

    def prefetch(self, questions: Sequence[Sequence[str]]) -> None:
        """Ask all of ``questions`` in one go. Those that are not known to only look are left out, wherever they come from.

        Raises UnreachableError, CommandError.
        """
        for answer in run_all(self._host, [words for words in questions if is_read_only(words)]):
            with self._lock:
                if self._answers is not None:
                    self._answers[answer.argv, b""] = (threading.Lock(), [answer])

    def asked(self) -> tuple[tuple[str, ...], ...]:
        """The commands without input that were run in a block of ``for_prefetch``, in order."""
        with self._lock:
            return tuple(self._questions)

    def invalidate(self) -> None:
        """Something is about to be changed: no answer of before counts any more."""
        with self._lock:
            self._answers = None

    def renew(self) -> None:
        """Answers of before count no more; those from now on are remembered as they were."""
        with self._lock:
            if self._answers is not None:
                self._answers = {}

    def reset(self) -> None:
        self._host.reset()

    def _run(self, request: Request) -> Completed:
        """An answer is remembered whether the command failed or not; not being reached is not."""
        with self._lock:
            if _for_prefetch.get() and not request.input:
                self._questions.setdefault(request.argv)
            if self._answers is None or request.on_line is not None:
                known = None
            else:
                known = self._answers.setdefault((request.argv, as_bytes(request.input)), (threading.Lock(), []))
        if known is None:
            return request.on(self._host)
        asking, answer = known
        with asking:
            if not answer:
                answer.append(request.on(self._host))
        return answer[0]
