"""Whether this machine is a server."""

from __future__ import annotations

import socket
from collections.abc import Iterable


def is_here(name: str, addresses: Iterable[str]) -> bool:
    """Whether this machine is called ``name`` and has one of ``addresses`` (IP). The name alone is no evidence: a workstation may
    be called as a server of somebody else's site."""
    return socket.gethostname().partition(".")[0] == name and any(map(_is_own, addresses))


def _is_own(address: str) -> bool:
    """The source of what is sent to an own address is that address itself. Nothing is sent: connect(2) of a datagram socket only
    looks up the route. (bind(2) would also take foreign addresses where net.ipv4.ip_nonlocal_bind is set.)"""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return str(probe.getsockname()[0]) == address
    except OSError:
        return False
