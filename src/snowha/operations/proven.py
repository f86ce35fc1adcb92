"""What was proven on the real thing, and when: small files that every server has (migration/proofs.py writes them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from snowha.errors import SnowError
from snowha.hosts.api import Host
from snowha.hosts.files import read_folder
from snowha.hosts.many import each

PROOFS = "/var/lib/snow-ha/proofs"
TIME = "%Y-%m-%dT%H:%M:%SZ"
"""Of ``when`` in a proof: UTC, by the clock of the machine that proved it."""


def times(hosts: Mapping[str, Host]) -> dict[str, float]:
    """Proof (``fence-snow01``, ``floating-ip``, ``migration-deploy01``) to its time in seconds since 1970, the newest that a
    server has. A server that does not answer, and a file that says nothing, are passed over."""

    def one(host: Host) -> dict[str, float]:
        try:
            found = read_folder(host, PROOFS, ".json")
        except SnowError:
            return {}
        return {
            path.rpartition("/")[2].removesuffix(".json"): when for path, text in found.items() if (when := _when(text))
        }

    newest: dict[str, float] = {}
    for known in each(list(hosts.values()), one).values():
        for name, when in known.items():
            newest[name] = max(when, newest.get(name, 0.0))
    return newest


def _when(text: bytes) -> float:
    try:
        return datetime.strptime(json.loads(text)["when"], TIME).replace(tzinfo=UTC).timestamp()
    except (ValueError, KeyError, TypeError):
        return 0.0
