"""Which requests are answered: what stands in their headers is from anybody."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.dashboard.limits import LOOPBACK, Bucket, Rules, host_of, refused, token_of


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8620", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:8620", "127.0.0.1"),
        ("[::1]:8620", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::1", ""),
        ("[::1]x", ""),
        ("[evil]", ""),
        ("localhost:8620@evil.example", ""),
        ("localhost:", ""),
        ("", ""),
    ],
)
def test_a_host_is_the_name_that_the_browser_asked_for(header: str, host: str) -> None:
    assert host_of(header) == host


@given(st.text(max_size=40))
def test_no_other_name_is_taken_for_this_machine(header: str) -> None:
    """A page whose name leads to 127.0.0.1 (DNS rebinding) could read the site."""
    is_served = refused("GET", "/", {"host": header}, Rules()) is None
    name = header.strip().lower().rpartition(":")[0] or header.strip().lower()
    assert (
        not is_served or {name.strip("[]").removesuffix("."), header.strip().lower().strip("[]").rstrip(".")} & LOOPBACK
    )


def test_behind_a_socket_the_reverse_proxy_knows_the_names() -> None:
    assert refused("GET", "/", {"host": "status.example.org"}, Rules(frozenset())) is None
    assert refused("GET", "/", {"host": "status.example.org"}, Rules({"status.example.org"})) is None
    assert refused("GET", "/", {}, Rules()) is not None


@given(st.binary(max_size=40))
def test_whatever_stands_in_authorization_is_no_token(content: bytes) -> None:
    """A header that is no text would end with a traceback, or let somebody in."""
    rules = Rules(token="correct-horse-battery-staple")
    for scheme in ("Basic ", "Bearer ", "basic ", ""):
        for value in (scheme + content.decode("latin-1"), scheme + base64.b64encode(content).decode()):
            said = refused("GET", "/", {"host": "localhost", "authorization": value}, rules)
            assert said is not None and said.status == 401


def test_a_token_is_the_password_of_any_name() -> None:
    assert token_of(f"Basic {base64.b64encode(b'ada:a:b').decode()}") == b"a:b"
    assert token_of("Bearer a:b") == b"a:b"


def test_a_bucket_gives_so_many_at_once_and_then_so_many_a_second() -> None:
    """A page that was loaded again would be refused, or a script never."""
    bucket = Bucket(2.0, 3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.5) for _ in range(2)] == [True, False]
    assert [bucket.take(900.0) for _ in range(4)] == [True, True, True, False]
