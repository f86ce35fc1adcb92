"""A server that was found not to answer: whoever asks it again learns that at once, and does not wait for it a second time."""

from __future__ import annotations

from snowha.errors import UnreachableError
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.host import Completed


class LostHost(BaseHost):
    """In place of a host, for a run that goes on without it."""

    def __init__(self, name: str, error: UnreachableError) -> None:
        super().__init__(name)
        self._error = error

    def _run(self, request: Request) -> Completed:
        """Raises UnreachableError: what was said when it was asked."""
        raise UnreachableError(self._error.message, where=self._error.where, remedy=self._error.remedy)
