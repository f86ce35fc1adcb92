"""Which bridges the domains need: a wrong answer makes a bridge that nobody wants, or a domain that nobody reaches."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site.model import Vif
from snowha.xen.xl_conf import Bridges, Defaults, bridges, needed, parse

CONF = """\
## Global XL config file ##
#vif.default.bridge="xenbr0"
autoballoon="off"
vif.default.bridge="br0"
vif.default.script="vif-bridge"
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (CONF, Defaults("br0", "vif-bridge")),
        ("", Defaults("xenbr0", "vif-bridge")),
        ("defaultbridge='old0'\nvifscript='vif-route'\n", Defaults("old0", "vif-route")),
        ("vif.default.backend='netvm'\nvif.default.gatewaydev='eth1'\n", Defaults(backend="netvm", gatewaydev="eth1")),
        ("vif.default.backend='0'\n", Defaults()),
        ("vif.default.backend='Domain-0'\n", Defaults()),
    ],
)
def test_what_xl_conf_says_counts(text: str, wanted: Defaults) -> None:
    assert parse(text, where="xl.conf") == wanted


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError):
        parse("vif.default.bridge='$(id)'\n", where="xl.conf")


@pytest.mark.parametrize(
    ("vif", "own", "switches"),
    [
        (Vif("xsnow0"), {"xsnow0"}, set()),
        (Vif(""), {"br0"}, set()),
        (Vif("br0.100"), {"br0.100"}, set()),
        (Vif("ovsbr0.100"), set(), {"ovsbr0"}),
        (Vif("br1.100", script="vif-openvswitch"), set(), {"br1"}),
        (Vif("br1:10:20", script="/etc/xen/scripts/vif-openvswitch"), set(), {"br1"}),
        (Vif("", script="vif-route"), set(), set()),
    ],
)
def test_a_bridge_is_what_the_script_makes_of_its_name(vif: Vif, own: set[str], switches: set[str]) -> None:
    assert bridges([vif], Defaults("br0")) == Bridges(frozenset(own), frozenset(switches))


def test_only_what_a_card_leaves_open_must_be_alike() -> None:
    """Servers whose xl.conf differ in what no card asks for were a stop; and of those that differ in the script nobody knew."""
    conf = Defaults("br0", "vif-openvswitch")
    assert needed([Vif("xsnow0", script="vif-bridge")], conf) == Defaults()
    assert needed([Vif("xsnow0")], conf) == Defaults(script="vif-openvswitch")
    assert needed([Vif("xsnow0", script="vif-bridge"), Vif("", script="vif-bridge")], conf) == Defaults("br0")
    assert parse("vif.default.script='/etc/xen/scripts/vif-bridge'", where="xl.conf") == Defaults()


def test_who_serves_a_card_must_be_alike_if_a_card_leaves_it_open() -> None:
    """A domain's cards were served by dom0 on one server and by a driver domain on the other: it was not reached after a move."""
    conf = Defaults(backend="netvm")
    own = (("backend", "othervm"),)
    assert needed([Vif("xsnow0")], conf) == conf
    assert needed([Vif("xsnow0", options=own)], conf) == Defaults()
    assert needed([Vif("xsnow0", options=own), Vif("xsnow0")], conf) == conf
    assert str(conf) == "vif-bridge on xenbr0, served by the domain netvm"


def test_the_card_behind_which_a_vif_is_routed_must_be_alike_for_those_that_are() -> None:
    """It was routed through another network after a move. No script that bridges looks at it, so it may differ for these."""
    conf = Defaults(script="vif-route", gatewaydev="eth1")
    assert needed([Vif("xsnow0")], conf) == conf
    assert needed([Vif("xsnow0", script="vif-nat")], conf) == Defaults(gatewaydev="eth1")
    assert needed([Vif("xsnow0", script="/etc/xen/scripts/vif-bridge")], conf) == Defaults()
    for word in ("gatewaydev", "netdev"):
        assert needed([Vif("xsnow0", options=((word, "eth0"),))], conf) == Defaults(script="vif-route")
    assert str(conf) == "vif-route on xenbr0, gatewaydev eth1"
