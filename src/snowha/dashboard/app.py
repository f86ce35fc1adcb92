"""The page, its style and its script, the stream of events, and the filter for requests in front of them."""

from __future__ import annotations

import time
from importlib import resources

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snowha.dashboard.limits import Bucket, Refusal, Rules, refused
from snowha.dashboard.stream import EventStream
from snowha.dashboard.watcher import Watcher

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
EVENTS = "/events"
RATE, BURST = 20.0, 100
"""Requests a second on average, and at once. Loading the page makes five."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    # one request a connection: each has the limits in time of a connection (server.py)
    "connection": "close",
}


def application(watcher: Watcher, rules: Rules) -> ASGIApp:
    """What uvicorn serves."""
    routes = [Route(path, _File(name, kind)) for path, (name, kind) in FILES.items()]
    return RequestFilter(Starlette(routes=[*routes, Route(EVENTS, EventStream(watcher))]), rules)


class _File:
    """An ASGI application that answers with one file of ``page/``, as it is in the package."""

    def __init__(self, name: str, kind: str) -> None:
        self._content = resources.files("snowha.dashboard").joinpath("page", name).read_bytes()
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Response(self._content, media_type=self._kind)(scope, receive, send)


class RequestFilter:
    """An ASGI application in front of ``app``. It refuses what breaks a rule, and gives every answer ``HEADERS``."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._bucket = Bucket(RATE, BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                headers.update(HEADERS)
                message = {**message, "headers": headers.raw}
            await send(message)

        if (refusal := self._refused(scope)) is not None:
            response = PlainTextResponse(f"{refusal.text}\n", refusal.status, headers=dict(refusal.headers))
            await response(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    def _refused(self, scope: Scope) -> Refusal | None:
        if not self._bucket.take(time.monotonic()):
            return Refusal(429, "too many requests", (("retry-after", "5"),))
        query = len(scope["query_string"])
        return refused(scope["method"], scope["path"], Headers(scope=scope), self._rules, query=query)
