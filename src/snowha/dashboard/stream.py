"""The stream of events behind the page: what has changed, as server-sent events (WHATWG HTML, 9.2).

``parts``: ``{"now", "whole", "set", "gone"}``, the whole page or what is other than before; ``beat``: nothing is new, and the
stream lives; ``full``: as many pages are open as may be. Each ends after some minutes, and the browser opens the next one.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from snowha.dashboard.parts import Parts, Value, changed
from snowha.dashboard.watcher import Watcher

MOST = 16
"""Streams at the same time."""
LONGEST_S = 600.0
"""Seconds that a stream lasts at most."""
BEAT_S = 10.0
"""Seconds without a change after which a ``beat`` is sent."""
STALLED_S = 30.0
"""Seconds that a browser may need to take what it is sent."""
_RETRY_MS = 2000
_HEADERS = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
"""The second one is for nginx, which would keep the events until it has some kilobytes of them."""


def message(event: str, value: Value) -> bytes:
    """One event. JSON has no line break in it."""
    return f"event: {event}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def difference(before: Parts | None, after: Parts, now: float) -> bytes:
    """The event that makes ``after`` of ``before``; of None: the whole."""
    new, gone = changed(before or {}, after)
    return message("parts", {"now": now, "whole": before is None, "set": new, "gone": [*gone]})


class EventStream:
    """An ASGI application: one stream for each request."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        if self._open >= MOST:
            await send({"type": "http.response.body", "body": message("full", {"most": MOST})})
            return
        self._open += 1
        try:
            await self._serve(receive, send)
        finally:
            self._open -= 1

    async def _serve(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        new = asyncio.Event()

        def notify() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(new.set)

        left = asyncio.ensure_future(_disconnected(receive))
        try:
            with self._watcher.viewer(notify), suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S):
                    await self._send_changes(new, left, send)
            if not left.done():
                await _send_body(send, b"", more=False)
        finally:
            left.cancel()

    async def _send_changes(self, new: asyncio.Event, left: asyncio.Future[None], send: Send) -> None:
        await _send_body(send, f"retry: {_RETRY_MS}\n\n".encode())
        sent: Parts | None = None
        while not left.done() and not self._watcher.is_closed:
            new.clear()
            parts = self._watcher.parts
            if parts is not sent:
                await _send_body(send, difference(sent, parts, time.time()))
                sent = parts
            else:
                await _send_body(send, message("beat", {"now": time.time()}))
            waiting = asyncio.ensure_future(new.wait())
            try:
                futures: set[asyncio.Future[Any]] = {waiting, left}
                await asyncio.wait(futures, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the browser has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError if the browser does not take it in time."""
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
