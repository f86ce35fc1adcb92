"""What was proven of a site, as every server keeps it: when each server's fencing was seen to work last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

FOLDER = "/var/lib/snow-ha/proofs"
FENCE = "fence-"
"""What the name of a proof of fencing begins with; the server's follows."""


def fenced_at(folders: Iterable[Mapping[str, bytes]]) -> dict[str, str]:
    """When (UTC, ISO 8601) the power of each server was cut to prove its fencing, by the newest proof that a server keeps. What
    cannot be read proves nothing."""
    found: dict[str, str] = {}
    for folder in folders:
        for path, content in folder.items():
            name = path.rpartition("/")[2].removesuffix(".json")
            try:
                when = str(json.loads(content)["when"])
            except (ValueError, KeyError, TypeError):
                continue
            if name.startswith(FENCE):
                server = name.removeprefix(FENCE)
                found[server] = max(when, found.get(server, ""))
    return found
