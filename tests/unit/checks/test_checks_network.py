"""Rules about the network: the floating IP is of its bridge's network, and nobody else has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_sites import SITE, change, healthy, messages, server

from snowha.checks.facts import InterfaceFact
from snowha.site.model import FloatingIp, Vif


@pytest.mark.parametrize(
    ("address", "length", "nic", "said"),
    [
        ("192.168.8.254", 24, "xsnow0", []),
        (
            "192.168.8.254",
            16,
            "xsnow0",
            ["snow01: 192.168.8.254/16 is not in 192.168.8.0/24, the network of xsnow0"] * 2,
        ),
        (
            "192.168.9.254",
            24,
            "xsnow0",
            ["snow01: 192.168.9.254/24 is not in 192.168.8.0/24, the network of xsnow0"] * 2,
        ),
        ("192.168.8.254", 24, "xsnow9", ["snow01: xsnow9 has no IPv4 address there, so its network is unknown"]),
        (
            "192.168.8.255",
            24,
            "xsnow0",
            ["ha.toml: 192.168.8.255/24 is the address of the network itself, or its broadcast"],
        ),
        ("fd00::1", 64, "xsnow0", ["snow01: xsnow0 has no IPv6 address there, so its network is unknown"]),
    ],
)
def test_the_floating_ip_is_of_its_bridges_network(address: str, length: int, nic: str, said: list[str]) -> None:
    """Every domain lost its gateway: a /16 sends answers to half of the world into the bridge."""
    site = replace(SITE, floating_ip=FloatingIp(address, length, nic))
    both = [line.replace("snow01", f"snow0{number}") for number, line in enumerate(said, start=1)]
    assert messages("floating-ip-network", site, healthy()) == both
    # the server that has it has it with its own length
    holding = {**server(1).addresses, address: InterfaceFact(nic, 1500, 32)}
    assert messages("floating-ip-network", site, change(healthy(), "snow01", addresses=holding)) == both


def test_a_floating_ip_on_its_way_from_server_to_server_is_theirs() -> None:
    """`snow ha apply` was refused after a run that had been killed while it moved the address: each server was asked when the
    other one had it."""
    macs = {"snow01": "36:b7:b7:68:ff:10", "snow02": "4e:0a:89:ff:f9:3c"}
    moving = healthy()
    for number, (name, mac) in enumerate(macs.items(), start=1):
        cards = {address: replace(card, mac=mac) for address, card in server(number).addresses.items()}
        moving = change(moving, name, addresses=cards)
    moving = replace(moving, floating={"snow01": macs["snow02"], "snow02": macs["snow01"]})
    assert messages("floating-ip-taken", SITE, moving) == []
    printer = replace(moving, floating={"snow01": macs["snow02"], "snow02": "52:54:00:00:00:01"})
    assert messages("floating-ip-taken", SITE, printer) == [
        "snow02: 192.168.8.254 is in use by 52:54:00:00:00:01, which is not a server"
    ]


def test_a_floating_ip_that_somebody_has_is_said_unless_a_server_may_have_it() -> None:
    """The router would have been talked over, or the cluster been told that its own address is taken."""
    heard = replace(healthy(), floating={"snow01": "52:54:00:00:00:01", "snow02": "52:54:00:00:00:01"})
    assert messages("floating-ip-taken", SITE, heard) == [
        "snow01, snow02: 192.168.8.254 is in use by 52:54:00:00:00:01, which is not a server"
    ]
    holding = {**server(2).addresses, "192.168.8.254": InterfaceFact("xsnow0", 1500, 24)}
    over_a_router = replace(heard, floating={"snow01": "52:54:00:00:00:01", "snow02": "somebody"})
    assert messages("floating-ip-taken", SITE, over_a_router) == messages("floating-ip-taken", SITE, heard)
    assert messages("floating-ip-taken", SITE, change(heard, "snow02", addresses=holding)) == []
    assert messages("floating-ip-taken", SITE, change(heard, "snow02", trouble="it does not answer")) == []
    assert messages("floating-ip-taken", SITE, replace(heard, floating={"snow01": "own", "snow02": ""})) == []
    domains_own = replace(SITE, floating_ip=FloatingIp("192.168.8.13", 24, "xsnow0"))
    assert messages("floating-ip-taken", domains_own, healthy()) == [
        "/sNow/etc/domains/slurm01.cfg: 192.168.8.13 is an address of slurm01"
    ]
    several = replace(SITE.domains[0], vifs=(Vif("xsnow0", ip="192.168.8.99 192.168.8.254/24"),))
    assert messages("floating-ip-taken", replace(SITE, domains=(several,)), healthy()) == [
        f"{several.config}: 192.168.8.254 is an address of {several.name}"
    ]
