"""The server itself: uvicorn in a thread of its own, with limits in time for every connection."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from snowha.dashboard import stream

REQUEST_S = 10.0
"""Seconds from the start of a connection until its request has arrived."""
CONNECTION_S = stream.LONGEST_S + 60.0
"""Seconds that any connection lasts."""
CONNECTIONS = 64
"""At the same time. A page has one for its stream, and some for a moment."""
_GRACE_S = 5.0
"""Seconds that streams have to end by themselves when the server is closed, and then those that are cut off."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


class _Protocol(H11Protocol):
    """uvicorn's, with limits in time. h11 limits what it keeps of a header without an end (16 or 64 KiB)."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(REQUEST_S, self._end_without_request),
            loop.call_later(CONNECTION_S, transport.abort),
        ]
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def _end_without_request(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, with ``REQUEST_S`` for a TLS handshake, which comes before ``connection_made``. uvicorn has no option for it."""

    async def create_server(self, *words: Any, **more: Any) -> Any:
        if more.get("ssl") is not None:
            more["ssl_handshake_timeout"] = REQUEST_S
        return await super().create_server(*words, **more)


class Server:
    """Serves ``app`` on ``listening`` until ``close``. In its own thread uvicorn leaves the signals to whoever started it."""

    def __init__(self, app: ASGIApp, listening: socket.socket, tls: Tls | None) -> None:
        files: dict[str, Any] = {}
        if tls is not None:
            files = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
        config = uvicorn.Config(
            app,
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # an invalid request is not worth a line
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            **files,
        )
        self._server = uvicorn.Server(config)
        self._listening = listening
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)
        self.error: BaseException | None = None
        """Why it has ended by itself; None: it has not."""

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._server.serve(sockets=[self._listening]))
        except BaseException as error:
            self.error = error

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it still serves after ``seconds``."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def close(self) -> None:
        """End it. Streams must have been told before."""
        self._server.should_exit = True
        if self.wait(_GRACE_S):
            self._server.force_exit = True
            self.wait(_GRACE_S)
