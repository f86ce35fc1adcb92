"""The dashboard's server, as a browser and others meet it: real uvicorn on this machine."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import machine
import pytest
from dashboard_site import Shown, lost, of, served, well
from simulated import single_server

from snowha.dashboard import app, listening, server, stream
from snowha.dashboard.limits import LOOPBACK, Rules
from snowha.dashboard.server import Tls
from snowha.errors import InputError
from snowha.site import ha_toml
from snowha.site.ha_file import HaFile

pytestmark = pytest.mark.timeout(300)
TOKEN = "correct-horse-battery-staple"


@contextmanager
def connected(address: str, trusted: Path | None = None) -> Iterator[http.client.HTTPConnection]:
    place = address.partition("://")[2]
    made: http.client.HTTPConnection = http.client.HTTPConnection(place, timeout=60)
    if trusted is not None:
        made = http.client.HTTPSConnection(place, timeout=60, context=ssl.create_default_context(cafile=str(trusted)))
    with closing(made):
        yield made


def answer(address: str, path: str = "/", method: str = "GET", body: str | None = None, **headers: str) -> Any:
    """The status, the headers, and the text of an answer. ``_`` in the name of a header is a hyphen."""
    with connected(address) as asked:
        asked.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        said = asked.getresponse()
        return said.status, dict(said.getheaders()), said.read().decode()


@contextmanager
def streaming(address: str) -> Iterator[http.client.HTTPResponse]:
    with connected(address) as asked:
        asked.request("GET", "/events")
        yield asked.getresponse()


def event(said: http.client.HTTPResponse, wanted: str = "parts") -> Any:
    """The next event of that name; None at the end of the stream."""
    name = ""
    while line := said.readline():
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data" and name == wanted:
            return json.loads(value)
    return None


def parts(said: http.client.HTTPResponse) -> Any:
    """The next event in which the site was read."""
    while (found := event(said)) is not None:
        if found["set"].get("reading", {}).get("at"):
            return found
    raise AssertionError("the stream has ended")


def test_every_answer_allows_nothing_but_the_pages_own_files() -> None:
    """What comes from a domain's name or from another site would run in the browser."""
    with served(Shown(of(well()))) as (address, _):
        for path in (*app.FILES, "/none"):
            status, headers, _ = answer(address, path)
            assert status == (404 if path == "/none" else 200)
            policy = headers["content-security-policy"]
            assert (
                policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';") and "unsafe" not in policy
            )
            assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
            assert headers["connection"] == "close"
        status, headers, text = answer(address, method="HEAD")
        assert (status, text) == (200, "") and int(headers["content-length"]) > 0
        assert answer(address, "/events", method="HEAD")[0] == 200
    page = Path(app.__file__).with_name("page")
    for file in page.iterdir():
        text = file.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text), file
        assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}, file
    assert not re.search(r"<style|style=|<script>| on\w+=", (page / "index.html").read_text())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (405, {"method": "POST"}),
        (405, {"method": "DELETE"}),
        (413, {"body": "x"}),
        (421, {"host": "evil.example"}),
        (421, {"host": "127.0.0.1.evil.example:80"}),
        (403, {"path": "/events", "sec_fetch_site": "cross-site"}),
        (404, {"path": "/../limits.py"}),
        (200, {"host": "localhost:9999"}),
        (200, {"sec_fetch_site": "cross-site"}),  # a link to the page
    ],
    ids=str,
)
def test_a_request_that_no_page_of_ours_makes_is_refused(status: int, words: dict[str, str]) -> None:
    """A page of somebody else, open in the same browser, could read the site or fill the server."""
    with served(Shown(of(well()))) as (address, _):
        assert answer(address, **words)[0] == status


def test_a_stream_sends_the_whole_first_and_then_what_has_changed() -> None:
    """With 1,000 domains each page would get all of them every five seconds."""
    with served(Shown(of(well()), of(lost()))) as (address, watcher), streaming(address) as said:
        assert said.headers["content-type"] == "text/event-stream"
        first = parts(said)
        whole = first["whole"] or "domain/deploy01" in first["set"]
        assert whole and first["set"]["verdict"] == {"text": "all is well", "level": "good"}
        watcher.refresh()
        second = parts(said)
        assert not second["whole"] and second["gone"] == []
        assert "domain/proxy01" in second["set"] and "domain/deploy01" not in second["set"]


def test_nothing_is_read_while_nobody_looks() -> None:
    """The servers would be asked all day and night for a page that nobody has open."""
    shown = Shown(of(well()))
    with served(shown) as (address, watcher):
        watcher.refresh()
        assert answer(address)[0] == 200
        assert shown.read == 0
        with streaming(address) as said:
            parts(said)
        assert shown.read == 1


def test_there_are_only_so_many_streams_and_each_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that opens one after the other would take all descriptors of the process, or hold one for ever."""
    monkeypatch.setattr(stream, "MOST", 1)
    with served(Shown(of(well()))) as (address, watcher), streaming(address) as said:
        parts(said)
        with streaming(address) as another:
            assert event(another, "full") == {"most": 1}
            assert another.read() == b"\n"  # and no more
        watcher.close()
        assert event(said) is None
    monkeypatch.setattr(stream, "LONGEST_S", 0.01)
    with served(Shown(of(well()))) as (address, _), streaming(address) as said:
        said.read()  # to its end


def test_who_connects_and_asks_for_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 of them would keep everybody else out."""
    monkeypatch.setattr(server, "REQUEST_S", 0.01)
    with served(Shown(of(well()))) as (address, _):
        host, _, port = address.removeprefix("http://").partition(":")
        for begin in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "):
            with socket.create_connection((host, int(port)), timeout=60) as made:
                made.sendall(begin)
                assert _rest(made) == b""


def _rest(made: socket.socket) -> bytes:
    """What comes until the other side ends the connection, in whichever way."""
    try:
        return made.recv(1)
    except ConnectionResetError:
        return b""


def test_a_request_that_is_too_long_is_refused() -> None:
    """Somebody could fill the memory of the machine."""
    with served(Shown(of(well()))) as (address, _):
        assert answer(address, x="a" * 20_000)[0] == 431
        assert answer(address, f"/{'a' * 20_000}")[0] == 431
        assert answer(address, f"/?{'a' * 20_000}")[0] == 431
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as made, suppress(OSError):
            made.sendall(b"GET / HTTP/1.1\r\n")
            while True:  # a header without an end
                made.sendall(b"a" * 10_000)
        assert answer(address)[0] == 200


def test_too_many_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that asks again and again would take the processor that a copy of images needs."""
    monkeypatch.setattr(app, "BURST", 3)
    monkeypatch.setattr(app, "RATE", 0.0)
    with served(Shown(of(well()))) as (address, _):
        assert [answer(address)[0] for _ in range(5)] == [200, 200, 200, 429, 429]


def test_only_who_has_the_token_gets_an_answer() -> None:
    """Whoever reaches the machine would see the whole site."""
    basic = base64.b64encode(f"ada:{TOKEN}".encode()).decode()
    with served(Shown(of(well())), rules=Rules(LOOPBACK, TOKEN)) as (address, _):
        for path in (*app.FILES, "/events"):
            status, headers, _ = answer(address, path)
            assert status == 401 and headers["www-authenticate"].startswith("Basic ")
        assert answer(address, authorization=f"Basic {basic}")[0] == 200
        assert answer(address, authorization=f"Bearer {TOKEN}")[0] == 200
        for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Basic !", f"Digest {TOKEN}", "Bearer "):
            assert answer(address, authorization=wrong)[0] == 401, wrong


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    machine.need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = Tls(folder / "cert.pem", folder / "key.pem")
    words += ["-out", str(made.certificate), "-keyout", str(made.key)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    made.key.chmod(0o600)
    return made


def test_over_tls_it_is_the_same(tls: Tls) -> None:
    """From another machine everybody between could read it, and the token."""
    listening.check_tls(tls.certificate, tls.key)
    with (
        served(Shown(of(well())), rules=Rules(LOOPBACK, TOKEN), tls=tls) as (address, _),
        connected(address, tls.certificate) as asked,
    ):
        asked.request("GET", "/events", headers={"authorization": f"Bearer {TOKEN}"})
        assert parts(asked.getresponse())["set"]["verdict"]["level"] == "good"


def test_who_connects_and_does_not_begin_tls_is_cut_off(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count for no limit before that, and would take all descriptors of the process."""
    monkeypatch.setattr(server, "REQUEST_S", 0.01)
    with served(Shown(of(well())), tls=tls) as (address, _):
        host, _, port = address.removeprefix("https://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as made:
            assert _rest(made) == b""


def test_a_certificate_or_token_that_cannot_be_used_is_said_before_anything_is_served(tls: Tls, tmp_path: Path) -> None:
    """A browser would say that the connection was reset, or everybody could read the token."""
    other = tmp_path / "other.pem"
    other.write_text("no key")
    other.chmod(0o600)
    with pytest.raises(InputError, match="the certificate or its key cannot be used"):
        listening.check_tls(tls.certificate, other)
    other.chmod(0o644)
    with pytest.raises(InputError, match="others can read the key"):
        listening.check_tls(tls.certificate, other)
    with pytest.raises(InputError, match="others can read the token"):
        listening.token(other)
    other.chmod(0o600)
    with pytest.raises(InputError, match="at least 16"):
        listening.token(other)
    other.write_text(f"{TOKEN}\n")
    assert listening.token(other) == TOKEN


def test_a_socket_is_for_its_user_alone_and_nothing_else_is_removed(tmp_path: Path) -> None:
    """Every user of the machine could look on; or a file of the same name would be gone."""
    path = tmp_path / "dashboard.sock"
    with listening.on_path(path, "") as made:
        assert made.getsockname() == str(path) and path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(InputError, match="another process listens there"), listening.on_path(path, ""):
            pass
    assert not path.exists()
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))
    with listening.on_path(path, ""):  # a process that was killed has left it
        assert path.is_socket()
    path.write_text("mine")
    with pytest.raises(InputError, match="this file is not a socket"), listening.on_path(path, ""):
        pass
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="there is no group"), listening.on_path(tmp_path / "x", "no-such-group"):
        pass


def test_a_group_that_the_user_is_not_of_is_said_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was about the folder, and the socket stayed."""

    def refuse(path: Path, owner: int, group: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    path = tmp_path / "dashboard.sock"
    with pytest.raises(InputError, match="not in the group") as refused, listening.on_path(path, "root"):
        pass
    assert refused.value.where == "--socket-group" and not path.exists()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an ha.toml whose servers are asked by nobody."""
    context, _, _ = single_server(["deploy01"])
    known = context.site
    text = ha_toml.render(
        HaFile(known.name, known.paths, known.servers, ("deploy01",), known.floating_ip, known.mounts)
    )
    (tmp_path / "ha.toml").write_text(text)
    return tmp_path


def snow(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "SNOW_JOURNAL": str(folder / "journal.sqlite")}
    return subprocess.Popen(
        [sys.executable, "-m", "snowha.cli.main", "dashboard", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_verb_says_where_it_serves_and_ends_when_it_is_asked_to(site: Path, number: signal.Signals) -> None:
    """Nobody would know what to type into the browser; or Ctrl-C would end with a traceback."""
    with snow(site, "--listen", "127.0.0.1:0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"the dashboard is at (http://127\.0\.0\.1:\d+)/\n", line)
        assert found is not None, (line, process.communicate())
        assert "<title>snow dashboard</title>" in answer(found[1])[2]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err.splitlines() == ["Ctrl-C ends it", "the dashboard has ended"]


def test_the_verb_serves_on_a_socket(site: Path) -> None:
    path = site / "dashboard.sock"
    with snow(site, "--socket", str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"the dashboard is at {path}\n"
        with closing(socket.socket(socket.AF_UNIX)) as asked:
            asked.connect(str(path))
            asked.sendall(b"GET /icon.svg HTTP/1.1\r\nHost: status.example.org\r\n\r\n")
            with asked.makefile("rb") as said:
                assert said.readline() == b"HTTP/1.1 200 OK\r\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0 and not path.exists()
