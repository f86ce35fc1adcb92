"""Ctrl-C as a request, not as an exception out of nowhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP are counted and ``told``.

    Only in the main thread (else it does nothing), and not for signals that were ignored from the start (nohup).
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self.count = 0
        self._told = told
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._before.clear()

    @contextmanager
    def raised(self) -> Iterator[None]:
        """SIGINT raises KeyboardInterrupt again, as somebody who waits for an answer expects."""
        if signal.SIGINT not in self._before:
            yield
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._told()  # SimpleQueue.put is made to be called from here
