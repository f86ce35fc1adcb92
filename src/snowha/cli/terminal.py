"""What a stream can show: colours, and a live screen. As the environment has it: TERM, NO_COLOR (no-color.org), FORCE_COLOR
(force-color.org)."""

from __future__ import annotations

import os
from typing import TextIO

_DUMB = ("", "dumb", "unknown")
"""Terminals that have no escape sequences. Also one of which nobody says what it is (as in git, is_terminal_dumb)."""


def has_colour(stream: TextIO) -> bool:
    """Whether what goes there is coloured: NO_COLOR forbids it anywhere, FORCE_COLOR asks for it also in a pipe."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_live(stream)


def is_live(stream: TextIO) -> bool:
    """Whether it is a terminal on which text can be replaced, whatever is asked for in colours."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in _DUMB
