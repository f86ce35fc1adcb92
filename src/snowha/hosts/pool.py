"""Threads that nobody waits for after Ctrl-C. Those of ``concurrent.futures.ThreadPoolExecutor`` are joined when Python ends
(``_python_exit`` in concurrent/futures/thread.py): of a server that hangs that takes half a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Pool(Executor):
    """At most ``workers`` calls at once. At the end of ``with`` all of them are waited for, but after Ctrl-C."""

    def __init__(self, workers: int, *, name: str) -> None:
        self._workers, self._name = workers, name
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._calls.put(call)
        if len(self._threads) < self._workers:
            thread = threading.Thread(target=self._work, name=f"{self._name} {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """``cancel_futures``: what was not begun is not begun any more."""
        while cancel_futures:
            try:
                self._calls.get_nowait()
            except Empty:
                break
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leaves = error is not None and not isinstance(error, Exception)
        self.shutdown(wait=not leaves, cancel_futures=leaves)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
