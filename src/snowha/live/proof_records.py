"""What was proven on the real thing, and when: small files that every server has (provision/proofs.py writes them)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from snowha.errors import SnowError
from snowha.hosts.files import read_folder
from snowha.hosts.host import Host
from snowha.hosts.parallel import each

PROOFS = "/var/lib/snow-ha/proofs"
FENCE = "fence-"
"""What the name of a proof of fencing begins with; the server's follows."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
"""Of ``when`` in a proof: UTC, by the clock of the machine that proved it."""


def read(host: Host) -> dict[str, bytes]:
    """The proofs that ``host`` keeps, by path."""
    return read_folder(host, PROOFS, ".json")


def times(hosts: Mapping[str, Host]) -> dict[str, float]:
    """Proof (``fence-snow01``, ``floating-ip``, ``migration-deploy01``) to its time in seconds since 1970, the newest that a
    server has. A server that does not answer, and a file that says nothing, are passed over."""

    def one(host: Host) -> dict[str, bytes]:
        try:
            return read(host)
        except SnowError:
            return {}

    return _newest(each(list(hosts.values()), one).values())


def fenced_at(folders: Iterable[Mapping[str, bytes]]) -> dict[str, str]:
    """When (UTC, ISO 8601) the power of each server was cut to prove its fencing, by the newest proof that a server keeps: what
    ``read`` returned of each."""
    return {
        name.removeprefix(FENCE): datetime.fromtimestamp(when, UTC).strftime(TIME)
        for name, when in _newest(folders).items()
        if name.startswith(FENCE)
    }


def _newest(folders: Iterable[Mapping[str, bytes]]) -> dict[str, float]:
    newest: dict[str, float] = {}
    for folder in folders:
        for path, text in folder.items():
            if when := _when(text):
                name = path.rpartition("/")[2].removesuffix(".json")
                newest[name] = max(when, newest.get(name, 0.0))
    return newest


def _when(text: bytes) -> float:
    try:
        return datetime.strptime(json.loads(text)["when"], TIME).replace(tzinfo=UTC).timestamp()
    except (ValueError, KeyError, TypeError):
        return 0.0
