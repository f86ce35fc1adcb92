"""Every command that this process gives to a machine, told as it happens. Both kinds of host pass each through here.

What came to a command on its standard input is not told, as in the journal: it may be a secret.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from snowha.hosts.recording import text_of

COMMANDS = logging.getLogger("snowha.commands")
"""INFO as a command begins, DEBUG as it ends."""


@dataclass
class Given:
    """A command that goes on. ``status``: its exit status; None if it did not end by itself, or the connection broke."""

    status: int | None = None


@contextmanager
def given(host: str, argv: Sequence[str], input: str | bytes) -> Iterator[Given]:
    """Tell of ``argv`` at the beginning and at the end of this block."""
    command = Given()
    if not COMMANDS.isEnabledFor(logging.INFO):
        yield command
        return
    text = text_of(argv, input, looks=True)
    COMMANDS.info("%s$ %s", host, text)
    begin = time.monotonic()
    try:
        yield command
    finally:
        ended = "no end recorded" if command.status is None else f"exit status {command.status}"
        COMMANDS.debug("%s: %s after %.2f s: %s", host, ended, time.monotonic() - begin, text)
