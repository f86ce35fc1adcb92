"""A bridge on the wrong network looks fine from the server, and no domain on it is ever reached."""

from __future__ import annotations

import json

import pytest

from snowha.errors import SiteError
from snowha.hosts.playback import Call, PlaybackHost
from snowha.provision.network_interfaces import NetworkInterface, network_interfaces, network_of, on_network

ASK = ("ip", "-j", "-d", "address", "show")
IPV4 = {"family": "inet", "scope": "global"}

# The management card comes first, as the kernel lists it where the bridge was made later.
FIRST = [
    {"ifname": "ens4", "addr_info": [{**IPV4, "local": "10.0.0.1", "prefixlen": 24}]},
    {
        "ifname": "xsnow0",
        "addr_info": [
            {**IPV4, "local": "192.168.8.1", "prefixlen": 24},
            {**IPV4, "local": "192.168.8.254", "prefixlen": 24, "secondary": True},
        ],
    },
]
NEW = [
    {"ifname": "ens3", "addr_info": [{**IPV4, "local": "192.168.8.2", "prefixlen": 24}]},
    {"ifname": "ens4", "addr_info": [{**IPV4, "local": "10.0.0.2", "prefixlen": 24}]},
]


def read(answer: object) -> tuple[NetworkInterface, ...]:
    with PlaybackHost("snow01", [Call(ASK, json.dumps(answer))]) as host:
        return network_interfaces(host)


def test_the_card_for_a_bridge_is_the_one_on_its_network_whatever_comes_first() -> None:
    network = network_of("xsnow0", read(FIRST), where="snow01")
    found = on_network(network, read(NEW))
    assert found is not None
    assert found.name == "ens3"


def test_a_floating_ip_is_no_address_of_the_server() -> None:
    assert [str(card.address.ip) for card in read(FIRST)] == ["10.0.0.1", "192.168.8.1"]


def test_a_bridge_whose_network_is_not_known_is_not_guessed() -> None:
    with pytest.raises(SiteError, match="xdmz0 has no address"):
        network_of("xdmz0", read(FIRST), where="snow01")


def test_a_server_that_is_not_on_the_network_has_no_card_for_it() -> None:
    network = network_of("xsnow0", read(FIRST), where="snow01")
    assert on_network(network, read(NEW[1:])) is None
