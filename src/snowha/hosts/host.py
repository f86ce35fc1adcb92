"""What a host can do for us. Everything that starts a process anywhere goes through this protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0


class Host(Protocol):
    """A machine on which commands run. A command is a list of words, never a string with names pasted in."""

    @property
    def name(self) -> str: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``argv``; ``on_line`` gets every line of its output (both streams) as it comes.

        Raises CommandError if ``check`` and it fails or takes longer than ``timeout`` seconds,
        UnreachableError if the host cannot be reached.
        """
        ...
