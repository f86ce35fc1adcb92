"""A server whose network file is written wrongly does not come back after its reboot."""

from __future__ import annotations

import pytest

from snowha.errors import SiteError
from snowha.migration.interfaces import with_bridge

STOCK = """\
auto lo
iface lo inet loopback

auto ens3
iface ens3 inet static
    address 192.168.8.2/24
    gateway 192.168.8.254

auto ens4
iface ens4 inet static
    address 10.0.0.2/24
"""


def test_the_bridge_gets_the_address_and_the_card_is_in_it() -> None:
    changed = with_bridge(STOCK, card="ens3", bridge="xsnow0", where="snow02:/etc/network/interfaces")
    assert changed == STOCK.replace(
        "auto ens3\niface ens3 inet static\n",
        "auto xsnow0\niface ens3 inet manual\n\niface xsnow0 inet static\n"
        "    bridge_ports ens3\n    bridge_stp off\n    bridge_fd 0\n",
    )


def test_done_twice_changes_nothing_more() -> None:
    once = with_bridge(STOCK, card="ens3", bridge="xsnow0", where="x")
    assert with_bridge(once, card="ens3", bridge="xsnow0", where="x") == once


def test_a_hotplugged_card_becomes_an_automatic_bridge() -> None:
    text = STOCK.replace("auto ens3", "allow-hotplug ens3")
    assert "auto xsnow0\n" in with_bridge(text, card="ens3", bridge="xsnow0", where="x")


def test_a_card_that_the_file_does_not_configure_is_refused_with_a_remedy() -> None:
    with pytest.raises(SiteError, match="by hand") as caught:
        with_bridge("auto lo\n", card="ens3", bridge="xsnow0", where="snow02:/etc/network/interfaces")
    assert caught.value.where == "snow02:/etc/network/interfaces"
