"""The dashboard on the finished cluster: what its stream tells while a domain is shut down and booted."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from conftest import Administrator
from test_4_everyday import running_on

from snowha.lab.layout import DOMAINS


class Page:
    """What a browser would show: the parts of the stream at ``path``, put together."""

    def __init__(self, path: Path) -> None:
        self.parts: dict[str, Any] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)  # it beats every 10 s
        self._socket.connect(str(path))
        self._socket.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def until(self, condition: Callable[[dict[str, Any]], object]) -> None:
        """Take events until it is so, for at most some hundred of them."""
        for _ in range(400):
            if self.parts.get("reading", {}).get("at") and condition(self.parts):
                return
            self._take()
        raise AssertionError(self.parts)

    def _take(self) -> None:
        while not (line := self._lines.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        value = json.loads(line.removeprefix(b"data: "))
        if value.get("whole"):
            self.parts.clear()
        self.parts.update(value.get("set", {}))
        for name in value.get("gone", ()):
            del self.parts[name]


@contextmanager
def shown(cluster: Administrator) -> Iterator[Page]:
    path = cluster.folder / "dashboard.sock"
    with cluster.started("dashboard", "--socket", str(path), "--every", "2") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"the dashboard is at {path}\n"
            with closing(Page(path)) as page:
                yield page
        finally:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)[0]
    assert (process.returncode, said.splitlines()[-1]) == (0, "the dashboard has ended"), said


def test_the_page_follows_a_domain_that_is_shut_down_and_booted(cluster: Administrator) -> None:
    """Pacemaker's real log and real leases, where the unit tests have recorded ones."""
    with shown(cluster) as page:
        page.until(lambda parts: parts["verdict"]["level"] != "red")
        for plan in DOMAINS:
            row = page.parts[f"domain/{plan.name}"]
            assert ([row["servers"]], row["held"], row["well"]) == (running_on(plan.name), row["servers"], True)
        assert all(server["proven"] for server in page.parts["servers"])
        (here,) = running_on("proxy01")
        assert cluster.snow("shutdown", "proxy01").code == 0
        page.until(lambda parts: parts["domain/proxy01"]["state"] == "off on purpose")
        page.until(lambda parts: any(one["text"] == f"proxy01 stopped on {here}" for one in parts["events"]))
        (off,) = [one for one in page.parts["downtimes"] if one["domain"] == "proxy01" and one["until"] is None]
        assert off["why"] == "stopped, on purpose"
        assert cluster.snow("boot", "proxy01").code == 0
        page.until(lambda parts: parts["domain/proxy01"]["state"] == "running")
        page.until(
            lambda parts: any(
                (one["domain"], one["since"]) == ("proxy01", off["since"]) and one["until"]
                for one in parts["downtimes"]
            )
        )
        runs = [one for one in page.parts["events"] if one["kind"] == "run"]
        assert any(one["text"].endswith("ended: done") for one in runs)
