"""The copy of ``ha.toml`` that every server keeps: the file as it was applied, below one line that says since when it is so.

The time is that of the last edit, not of the copying: so the newest of several copies is known, and a plan that is made twice
writes the same file twice. The digest tells a copy that somebody has edited on its server.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

PATH = "/etc/snow-ha/ha.toml"
_HEADER = re.compile(
    r"# snow-ha keeps this file on every server of the site\. Edited (\S+), sha256 ([0-9a-f]{64})\r?\n"
)


@dataclass(frozen=True)
class Definition:
    """``ha.toml`` as a run has read it. ``text``: what every server must keep; empty if it was read from no file."""

    text: str = ""
    is_sites: bool = False
    """It is a copy that the servers keep, not a file of the user's own."""


@dataclass(frozen=True)
class Copy:
    """What a server keeps. ``edited`` (UTC, ISO 8601) and ``digest`` are what its first line says."""

    body: str
    edited: str
    digest: str

    @property
    def is_whole(self) -> bool:
        """It is as snow-ha has written it: nobody has edited it on its server."""
        return digest(self.body) == self.digest


def read(text: str) -> Copy | None:
    """What is in a copy; None for a file without its first line."""
    match = _HEADER.match(text)
    return Copy(text[match.end() :], match[1], match[2]) if match else None


def body(text: str) -> str:
    """The file below the first line of a copy, or all of one that is none."""
    copy = read(text)
    return text if copy is None else copy.body


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def copy_of(text: str, edited: float) -> str:
    """What the servers keep of the file ``text``, which was edited last at ``edited`` (seconds since 1970). A copy that nobody
    has edited stays as it is."""
    copy = read(text)
    if copy is not None and copy.is_whole:
        return text
    when = datetime.fromtimestamp(int(edited), UTC).isoformat().replace("+00:00", "Z")
    content = body(text)
    return f"# snow-ha keeps this file on every server of the site. Edited {when}, sha256 {digest(content)}\n{content}"
