"""Whether somebody has an address: what ip(8) and ping(8) say of it, and what is made of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snowha.hosts.local import LocalHost
from snowha.hosts.read_only import is_read_only
from snowha.live import address_use

MAC = "52:54:00:00:00:01"
IP = """#!/bin/sh
# ip(8) of iproute2 6.15: whether the address is ours, then the neighbour, anew each time
case $2 in address) cat own ;; esac
case $1 in neighbour) n=$(cat asked) ; echo $((n + 1)) > asked; cat "neighbour.$n" 2> /dev/null || cat neighbour.last ;; esac
"""


@pytest.mark.parametrize(
    ("own", "ping", "seen", "holder"),
    [
        ("2: xsnow0    inet 192.168.8.254/24 scope global secondary xsnow0", 0, [""], "own"),
        ("", 0, [f"192.168.8.254 lladdr {MAC} REACHABLE"], MAC),
        ("", 0, [f"192.168.8.254 lladdr {MAC} DELAY"], MAC),
        # no answer to a ping, but to ARP
        ("", 1, [f"192.168.8.254 lladdr {MAC} REACHABLE"], MAC),
        (
            "",
            1,
            [f"192.168.8.254 lladdr {MAC} DELAY", f"192.168.8.254 lladdr {MAC} PROBE", f"x lladdr {MAC} REACHABLE"],
            MAC,
        ),
        # it had it once
        ("", 1, [f"192.168.8.254 lladdr {MAC} DELAY", f"192.168.8.254 lladdr {MAC} PROBE", "192.168.8.254 FAILED"], ""),
        ("", 1, ["192.168.8.254 INCOMPLETE", "192.168.8.254 FAILED"], ""),
        ("", 1, [""], ""),
        # behind a router
        ("", 0, [""], "somebody"),
        # no ping there, and nothing known
        ("", 127, [f"192.168.8.254 lladdr {MAC} STALE"], ""),
    ],
)
def test_who_has_it(tmp_path: Path, own: str, ping: int, seen: list[str], holder: str) -> None:
    """A router that answers no ping would be talked over; a machine that is gone would keep its address for ever."""
    (tmp_path / "ip").write_text(
        IP.replace("own ;;", f"{tmp_path}/own ;;")
        .replace("asked", f"{tmp_path}/asked")
        .replace("neighbour.", f"{tmp_path}/neighbour.")
    )
    (tmp_path / "ping").write_text(f"#!/bin/sh\nexit {ping}\n")
    for name in ("ip", "ping"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "own").write_text(own)
    (tmp_path / "asked").write_text("0")
    for number, line in enumerate(seen):
        (tmp_path / f"neighbour.{number}").write_text(f"{line}\n" if line else "")
    (tmp_path / "neighbour.last").write_text(f"{seen[-1]}\n" if seen[-1] else "")
    here = LocalHost(environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert address_use.holder(here, "192.168.8.254", "xsnow0") == holder


def test_it_only_looks() -> None:
    """It would wait for the lock of the site, and be noted as a change."""
    assert is_read_only(["sh", "-c", address_use._ASK, "sh", "192.168.8.254", "xsnow0", "32"])
