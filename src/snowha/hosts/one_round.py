"""Everything that is asked of a server at once: a status must not wait for one answer to ask the next question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from snowha.errors import CommandError
from snowha.hosts.batch import run_all
from snowha.hosts.host import Completed, Host
from snowha.hosts.process import failed


class _Asked(BaseException):
    """Ends a question as soon as its command is known."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)


class _Listener:
    """A host on which nothing is run."""

    name = "nobody"

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        raise _Asked(argv)


def words_of(question: Callable[[Host], object]) -> tuple[str, ...]:
    """The command that ``question``, which runs one, would run on a host."""
    try:
        question(_Listener())
    except _Asked as asked:
        return asked.argv
    raise AssertionError("the question runs no command")


class AnsweredHost:
    """``host``, of which ``answers`` are known. What was not asked is passed on."""

    def __init__(self, host: Host, answers: Mapping[tuple[str, ...], Completed | CommandError]) -> None:
        self._host = host
        self._answers = answers

    @property
    def name(self) -> str:
        return self._host.name

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """As the host's own. A command that had no answer in time fails as it did."""
        known = None if input or on_line is not None else self._answers.get(tuple(argv))
        if known is None:
            return self._host.run(argv, input=input, timeout=timeout, check=check, on_line=on_line)
        if isinstance(known, CommandError):
            raise known
        if check and not known.ok:
            raise failed(self.name, known)
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
