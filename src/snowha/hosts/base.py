"""What all kinds of hosts have in common: how they are asked to run a command, and what becomes of one that fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snowha.hosts.host import Completed, Host
from snowha.hosts.process import failed


@dataclass(frozen=True)
class Request:
    """A command as ``Host.run`` is given it."""

    argv: tuple[str, ...]
    input: str | bytes
    timeout: float
    """Seconds."""
    on_line: Callable[[str], None] | None

    def on(self, host: Host) -> Completed:
        """Have ``host`` run it, whether it fails or not."""
        return host.run(self.argv, input=self.input, timeout=self.timeout, check=False, on_line=self.on_line)


class BaseHost(ABC):
    """A Host called ``name``. A kind of host says in ``_run`` how it carries a command out."""

    def __init__(self, name: str) -> None:
        self._name = name

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
        """See Host.run."""
        completed = self._run(Request(tuple(argv), input, timeout, on_line))
        if check and not completed.ok:
            raise failed(self.name, completed)
        return completed

    @abstractmethod
    def _run(self, request: Request) -> Completed:
        """How it ended. Raises CommandError if it took longer than ``timeout``, UnreachableError."""
