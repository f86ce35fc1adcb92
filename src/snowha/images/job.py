"""What one copy is about, handed from phase to phase."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .copy_plan import CopyPlan
from .events import Report
from .journal import Journal
from .ranges import Piece, Range
from .storage import Reader, Storage
from .workers import THREADS


@dataclass(frozen=True)
class Options:
    """``rate`` in bytes a second. ``wrap`` lets a test put a failing disk in front of the source."""

    rate: float | None = None
    every_block: bool = False
    replace: bool = False
    threads: int = THREADS
    manifest: str = ""
    point: str = ""
    """Which snapshot the source is, as the caller calls it: written into the manifest, for ``incremental``."""
    wrap: Callable[[Storage], Reader] = lambda source: source


DEFAULTS = Options()


@dataclass
class Done:
    """What workers report. Lists and dicts are appended to under the GIL; counts need ``count``."""

    hashes: dict[int, str] = field(default_factory=dict)
    unsynced: list[tuple[Piece, str]] = field(default_factory=list)
    differing: list[Range] = field(default_factory=list)
    kept: list[Piece] = field(default_factory=list)
    """What an earlier run had written, and was not written again."""
    written: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, written: int) -> None:
        with self._lock:
            self.written += written


@dataclass(frozen=True)
class Job:
    """An open source and target. ``journal`` is None for a block device, which cannot be resumed."""

    source: Reader
    target: Storage
    source_name: str
    target_name: str
    plan: CopyPlan
    pieces: tuple[Piece, ...]
    journal: Journal | None
    report: Report
    options: Options
    done: Done = field(default_factory=Done)
