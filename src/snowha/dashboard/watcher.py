"""One thread that reads the site for all viewers, and nothing while there are none."""

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
"""Seconds for which the first viewer is shown what was read for an earlier one."""


class Watcher:
    """``read`` gives all parts, or raises. ``every``: seconds between two readings."""

    def __init__(self, read: Callable[[], Parts], every: float) -> None:
        self._read = read
        self._every = every
        self._changed = threading.Condition()
        self._viewers: set[Callable[[], None]] = set()
        self._closed = False
        self._due = False
        """The site is to be read now, however long ago that was done last."""
        self._parts: Parts = self._nothing()
        self._thread = threading.Thread(target=self._work, name="dashboard", daemon=True)

    @property
    def parts(self) -> Parts:
        """As published last. A new mapping whenever anything changes."""
        return self._parts

    @property
    def is_closed(self) -> bool:
        return self._closed

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End, and notify every viewer. Does not wait for a reading that is under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            viewers = list(self._viewers)
        for notify in viewers:
            notify()

    def refresh(self) -> None:
        """Read now, or once more if a reading is under way; without a viewer, as soon as there is one."""
        with self._changed:
            self._due = True
            self._changed.notify_all()

    @contextmanager
    def viewer(self, notify: Callable[[], None]) -> Iterator[None]:
        """Read the site until the end of ``with``. ``notify`` is called by another thread whenever anything has changed."""
        with self._changed:
            at = self._reading().get("at")
            if not self._viewers and (not isinstance(at, float) or time.time() - at > _OLD_S):
                self._parts = self._nothing()
                self._due = True
            self._viewers.add(notify)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._viewers.discard(notify)

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
            self._publish(self._read_once())
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due, timeout=self._every)

    def _read_once(self) -> Parts:
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
        """What was read before, with the reason why it is not newer."""
        known = explained(error)
        if isinstance(known, SnowError):
            trouble = str(known)
        else:  # a bug; and no reason to show nothing any more
            traceback.print_exception(error, file=sys.stderr)
            trouble = f"snow-ha has a bug: {error!r}. The traceback is on the terminal of `snow dashboard`."
        before = self._parts[READING]
        assert isinstance(before, dict)
        since = before["trouble_since"] or time.time()
        return {**self._parts, READING: {**before, "trouble": trouble, "trouble_since": since}}

    def _publish(self, parts: Parts) -> None:
        with self._changed:
            self._parts = parts
            viewers = list(self._viewers)
        for notify in viewers:
            notify()
