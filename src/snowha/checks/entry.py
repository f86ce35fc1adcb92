"""What is said of a kind of finding."""

from __future__ import annotations

from dataclasses import dataclass

from snowha.errors import SnowError
from snowha.site.rules import Severity


@dataclass(frozen=True)
class Entry:
    """``fix``: the id of the step, with ``{server}`` in it, that ``--fix`` carries out; empty where a person must.

    ``error``: what ``snow ha apply`` ends with if this is a stop.
    """

    title: str
    severity: Severity
    why: str
    remedy: str
    fix: str = ""
    error: type[SnowError] | None = None
