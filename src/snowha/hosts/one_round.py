"""Everything that is asked of a server at once: a status must not wait for one answer to ask the next question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from snowha.errors import CommandError
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.batch import run_all
from snowha.hosts.host import Completed, Host


class _Asked(BaseException):
    """Ends a question as soon as its command is known."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self.argv = argv


class _Listener(BaseHost):
    """A host on which nothing is run."""

    def _run(self, request: Request) -> Completed:
        raise _Asked(request.argv)


def words_of(question: Callable[[Host], object]) -> tuple[str, ...]:
    """The command that ``question``, which runs one, would run on a host."""
    try:
        question(_Listener("nobody"))
    except _Asked as asked:
        return asked.argv
    raise AssertionError("the question runs no command")


class AnsweredHost(BaseHost):
    """``host``, of which ``answers`` are known. What was not asked is passed on."""

    def __init__(self, host: Host, answers: Mapping[tuple[str, ...], Completed | CommandError]) -> None:
        super().__init__(host.name)
        self._host = host
        self._answers = answers

    def _run(self, request: Request) -> Completed:
        """As the host's own. A command that had no answer in time fails as it did."""
        known = None if request.input or request.on_line is not None else self._answers.get(request.argv)
        if known is None:
            return request.on(self._host)
        if isinstance(known, CommandError):
            raise known
        return known


def ask(
    host: Host, own: Sequence[Sequence[str]], shared: Sequence[Sequence[str]], *, limit: float, timeout: float
) -> AnsweredHost:
    """``host`` with the answers to all commands, in one go. ``own``: what it knows by itself; ``shared``: what the storage knows.

    ``limit``: seconds for each command; ``timeout``: for all. What is not answered by then fails as too slow; what a server knows
    by itself is asked once more, without what may have held it up. Raises UnreachableError.
    """
    answers: dict[tuple[str, ...], Completed | CommandError] = {}
    for questions in ([*own, *shared], own):
        try:
            answers |= {answer.argv: answer for answer in run_all(host, questions, timeout=timeout, limit=limit)}
            break
        except CommandError as error:
            answers = {tuple(words): error for words in (*own, *shared)}
    return AnsweredHost(host, answers)
