"""Several threads over a list of pieces, with progress, a rate limit, and an orderly end when one fails.

Reading, writing and hashing all release the GIL, so threads overlap them: while one waits for the disk another hashes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from .ranges import Piece

THREADS = 6
Work = Callable[[Piece], None]


class Stopped(Exception):
    """Another worker failed, or somebody asked for an end: leave the piece where it is."""


class RateLimiter:
    """Counts bytes, holds everybody to a rate, and tells workers to stop."""

    def __init__(self, rate: float | None = None) -> None:
        self.done = 0
        self._rate = rate
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._free_at = time.monotonic()

    def stop(self) -> None:
        self._stop.set()

    def wait(self, size: int) -> None:
        """Before ``size`` bytes are read. Raises Stopped."""
        if self._rate:
            with self._lock:
                now = time.monotonic()
                wait = self._free_at - now
                self._free_at = max(now, self._free_at) + size / self._rate
            if wait > 0:
                self._stop.wait(wait)
        if self._stop.is_set():
            raise Stopped

    def count(self, size: int) -> None:
        with self._lock:
            self.done += size


def run(
    pieces: Sequence[Piece],
    make_work: Callable[[], Work],
    limiter: RateLimiter,
    tick: Callable[[], None],
    *,
    threads: int = THREADS,
    every: float = 0.25,
    last: Callable[[], None] | None = None,
) -> None:
    """Give every piece to one of the workers that ``make_work`` makes (one a thread, so that each has its own buffer).

    ``last`` is called by every worker when there is no piece left. ``tick`` is called every ``every`` seconds in the
    caller's thread. The first failure ends the others and is raised; so does an exception from ``tick`` (a signal).
    """
    queue: Iterator[Piece] = iter(pieces)
    lock = threading.Lock()
    failures: list[BaseException] = []
    left = threading.Semaphore(0)

    def loop() -> None:
        try:
            work = make_work()
            while not failures:
                with lock:
                    piece = next(queue, None)
                if piece is None:
                    if last:
                        last()
                    break
                work(piece)
        except Stopped:
            pass
        except BaseException as error:
            failures.append(error)
            limiter.stop()
        finally:
            left.release()

    crew = [threading.Thread(target=loop, daemon=True) for _ in range(max(1, min(threads, len(pieces))))]
    for thread in crew:
        thread.start()
    waiting = len(crew)
    try:
        while waiting:
            if left.acquire(timeout=every):
                waiting -= 1
            else:
                tick()
    except BaseException:
        limiter.stop()
        raise
    finally:
        for thread in crew:
            thread.join()
    if failures:
        raise failures[0]
