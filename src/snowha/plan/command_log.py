"""Commands on the servers, noted in the journal under the step that gave them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from snowha.hosts.recording import Command
from snowha.hosts.redaction import redact
from snowha.plan.journal import Journal

_step: ContextVar[str] = ContextVar("step", default="")


@contextmanager
def on_behalf_of(step: str) -> Iterator[None]:
    """Commands that are given in this block, by this thread or by those that ask many servers for it, are ``step``'s."""
    token = _step.set(step)
    try:
        yield
    finally:
        _step.reset(token)


class CommandLog:
    """What a RecordingHost tells goes to its ``journal``. ``secrets`` that stand in a command are blotted out: none should
    ever be there, and a journal is copied to every server."""

    def __init__(self) -> None:
        self.journal: Journal | None = None
        """Not open before the servers are known: they may have it. Nothing is changed until then."""
        self.secrets: tuple[str, ...] = ()

    def hide(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secret for secret in secrets if secret)

    def __call__(self, command: Command) -> None:
        if self.journal is None:
            return
        text = redact(command.text, self.secrets)
        self.journal.command(
            _step.get(), command.host, text, at=command.at, seconds=command.seconds, status=command.status
        )
