"""One thread that reads the site for all who look, and nothing while nobody does."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snowha.dashboard.parts import Parts
from snowha.errors import SnowError, explained

READING = "reading"
"""The part that says when the site was read: ``at`` (seconds since 1970; None: not yet), ``every`` and ``took`` (seconds), and
``trouble`` with ``trouble_since`` if the last try failed: the other parts are those of ``at`` then."""
_OLD_S = 30.0
"""Seconds after which nobody is shown first what was read for somebody else."""


class Watcher:
    """``read`` gives all parts, or raises. ``every``: seconds between two readings."""

    def __init__(self, read: Callable[[], Parts], every: float) -> None:
        self._read = read
        self._every = every
        self._changed = threading.Condition()
        self._viewers: set[Callable[[], None]] = set()
        self._closed = False
        self._due = False
        """To be read now, whenever it was read last."""
        self._parts: Parts = self._nothing()
        self._thread = threading.Thread(target=self._work, name="dashboard", daemon=True)

    @property
    def parts(self) -> Parts:
        """As they were published last. A new mapping each time that anything changes."""
        return self._parts

    @property
    def is_closed(self) -> bool:
        return self._closed

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End, and let every stream know. A reading under way is not waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            viewers = list(self._viewers)
        for tell in viewers:
            tell()

    def refresh(self) -> None:
        """Read now, or again if a reading is under way; while nobody looks, when somebody does."""
        with self._changed:
            self._due = True
            self._changed.notify_all()

    @contextmanager
    def looking(self, tell: Callable[[], None]) -> Iterator[None]:
        """Until the end of ``with`` somebody looks. ``tell`` is called by another thread whenever there is something new."""
        with self._changed:
            at = self._reading().get("at")
            if not self._viewers and (not isinstance(at, float) or time.time() - at > _OLD_S):
                self._parts = self._nothing()
                self._due = True
            self._viewers.add(tell)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._viewers.discard(tell)

    def _reading(self) -> dict[str, object]:
        reading = self._parts[READING]
        assert isinstance(reading, dict)
        return {**reading}

    def _nothing(self) -> Parts:
        return {READING: {"at": None, "took": 0.0, "every": self._every, "trouble": "", "trouble_since": None}}

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._viewers)
                if self._closed:
                    return
                self._due = False
            self._publish(self._look())
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due, timeout=self._every)

    def _look(self) -> Parts:
        began = time.time()
        try:
            parts = self._read()
        except Exception as error:
            return self._failed(error)
        took = round(time.time() - began, 2)
        return {
            **parts,
            READING: {"at": began, "took": took, "every": self._every, "trouble": "", "trouble_since": None},
        }

    def _failed(self, error: Exception) -> Parts:
        """What was read before, with why it is not newer."""
        known = explained(error)
        if isinstance(known, SnowError):
            trouble = str(known)
        else:  # a bug; and no reason to show nothing any more
            traceback.print_exception(error, file=sys.stderr)
            trouble = f"snow-ha has a bug: {error!r}. The traceback is where `snow dashboard` was started."
        before = self._parts[READING]
        assert isinstance(before, dict)
        since = before["trouble_since"] or time.time()
        return {**self._parts, READING: {**before, "trouble": trouble, "trouble_since": since}}

    def _publish(self, parts: Parts) -> None:
        with self._changed:
            self._parts = parts
            viewers = list(self._viewers)
        for tell in viewers:
            tell()
