"""Which requests are answered: by method, body, Host header, token, and their number in a second. Pure but for the bucket.

Sources: the WHATWG's Fetch (Sec-Fetch-Site), RFC 9110 (Host, Authorization), RFC 7617 (Basic).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
METHODS = ("GET", "HEAD")
HEADER = 16 << 10
"""Bytes of a request without a body."""


@dataclass(frozen=True)
class Rules:
    """``hosts``: names and addresses that a browser may have asked for; empty: any. ``token``: empty if none is needed."""

    hosts: Collection[str] = LOOPBACK
    token: str = ""


@dataclass(frozen=True)
class Refusal:
    """``headers``: beside those that every answer has."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


def refused(method: str, path: str, headers: Mapping[str, str], rules: Rules, *, query: int = 0) -> Refusal | None:
    """Why a request is not answered; None if it is. ``headers``: names in lower case. ``query``: bytes behind the path."""
    if method not in METHODS:
        return Refusal(405, "only GET and HEAD", (("allow", ", ".join(METHODS)),))
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip() != "0":
        return Refusal(413, "a request has no body here")
    if len(path) + query + sum(len(name) + len(value) for name, value in headers.items()) > HEADER:
        return Refusal(431, "the request is too long")
    host = host_of(headers.get("host", ""))
    if rules.hosts and host not in rules.hosts:
        # else a page of somebody whose name leads to 127.0.0.1 could read this one (DNS rebinding)
        return Refusal(421, "this address is not served here: add it with --name")
    if rules.token and not hmac.compare_digest(token_of(headers.get("authorization", "")), rules.token.encode()):
        challenge = (
            "www-authenticate",
            'Basic realm="snow dashboard: any name, the token as password", charset="UTF-8"',
        )
        return Refusal(401, "the token is required: any user name, the token as the password", (challenge,))
    if path != "/" and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return Refusal(403, "the request comes from another site")
    return None


def host_of(header: str) -> str:
    """The name or address in a Host header, in lower case and without port; empty for what is none."""
    text = header.strip().lower()
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        return _address(address) if bracket and (not port or _is_port(port)) else ""
    name, colon, port = text.partition(":")
    return name.removesuffix(".") if not colon or port.isdecimal() else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdecimal()


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def token_of(header: str) -> bytes:
    """The password of an Authorization header (Basic), or its token (Bearer); empty for anything else."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


class Bucket:
    """A token bucket: at most ``burst`` requests at once, and ``rate`` a second on average."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more request is within the limit at ``now`` (seconds of a clock that goes forwards)."""
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        self._left = min(self._burst, self._left + passed * self._rate)
        if self._left < 1:
            return False
        self._left -= 1
        return True
