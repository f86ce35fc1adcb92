"""The lab's network: one namespace, a bridge per network, a tap per card. Nothing reaches in or out."""

from __future__ import annotations

from pathlib import Path

from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.lab import layout
from snowha.lab.layout import MACHINES, NETNS, NETWORKS, Machine, NetworkPlan

NETNS_ETC = Path("/etc/netns") / NETNS
"""Files that ``ip netns exec`` lays over /etc (ip-netns(8)): names of the site's hosts for whoever enters."""


def inside(*words: str) -> list[str]:
    """The words that run ``words`` in the namespace."""
    return ["ip", "netns", "exec", NETNS, *words]


def _ip(*words: str, check: bool = True) -> Completed:
    return LocalHost().run(["ip", "-n", NETNS, *words], check=check)


def exists() -> bool:
    return Path("/run/netns", NETNS).exists()


def up(hosts_file: str) -> None:
    """Make namespace, bridges and taps."""
    host = LocalHost()
    NETNS_ETC.mkdir(parents=True, exist_ok=True)
    (NETNS_ETC / "hosts").write_text(hosts_file)
    (NETNS_ETC / "resolv.conf").write_text("")
    host.run(["ip", "netns", "add", NETNS])
    _ip("link", "set", "lo", "up")
    for network in NETWORKS:
        _ip("link", "add", network.bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        _ip("address", "add", f"{network.address(layout.MANAGER_NUMBER)}/24", "dev", network.bridge)
        for machine in MACHINES:
            if network == layout.MGMT and machine.bmc_address:
                _ip("address", "add", f"{machine.bmc_address}/24", "dev", network.bridge)
        _ip("link", "set", network.bridge, "up")
    for machine in MACHINES:
        for network in NETWORKS:
            tap = machine.tap(network)
            _ip("tuntap", "add", tap, "mode", "tap")
            _ip("link", "set", tap, "master", network.bridge, "up")


def cable(machine: Machine, network: NetworkPlan, *, connected: bool) -> None:
    """Plug or pull the cable of one card."""
    _ip("link", "set", machine.tap(network), "up" if connected else "down")


def processes() -> list[int]:
    """Ids of the processes in the namespace: all of them were started by the lab, whoever lost track of them."""
    if not exists():
        return []
    output = LocalHost().run(["ip", "netns", "pids", NETNS], check=False).stdout
    return [int(word) for word in output.split()]


def down() -> None:
    """Remove the namespace and what it laid over /etc."""
    if exists():
        LocalHost().run(["ip", "netns", "delete", NETNS])
    for name in ("hosts", "resolv.conf"):
        (NETNS_ETC / name).unlink(missing_ok=True)
    if NETNS_ETC.exists():
        NETNS_ETC.rmdir()
