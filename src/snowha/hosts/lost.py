"""A server that was found not to answer: whoever asks it again learns that at once, and does not wait for it a second time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snowha.errors import UnreachableError
from snowha.hosts.api import Completed


class LostHost:
    """In place of a host, for a run that goes on without it."""

    def __init__(self, name: str, error: UnreachableError) -> None:
        self._name = name
        self._error = error

    @property
    def name(self) -> str:
        return self._name

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Raises UnreachableError: what was said when it was asked."""
        raise UnreachableError(self._error.message, where=self._error.where, remedy=self._error.remedy)
