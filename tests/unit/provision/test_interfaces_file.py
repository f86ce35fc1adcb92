"""A server whose network file is written wrongly does not come back after its reboot."""

from __future__ import annotations

import re
import subprocess

import pytest

from snowha.errors import SiteError
from snowha.provision.interfaces_file import PATH, interfaces, sources, with_bridge

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


def bridged(text: str, card: str = "ens3") -> str:
    return with_bridge({PATH: text}, card=card, bridge="xsnow0", where=f"snow02:{PATH}")[PATH]


def test_the_bridge_gets_the_address_and_the_card_is_in_it() -> None:
    assert bridged(STOCK) == STOCK.replace(
        "auto ens3\niface ens3 inet static\n",
        "auto xsnow0\niface ens3 inet manual\n\niface xsnow0 inet static\n"
        "    bridge_ports ens3\n    bridge_stp off\n    bridge_fd 0\n",
    )


def test_done_twice_changes_nothing_more() -> None:
    once = bridged(STOCK)
    assert bridged(once) == once


def test_a_hotplugged_card_becomes_an_automatic_bridge_and_its_neighbour_stays_hotplugged() -> None:
    text = STOCK.replace("auto ens3", "allow-hotplug ens3")
    assert "auto xsnow0\n" in bridged(text)
    both = bridged(STOCK.replace("auto ens3", "allow-hotplug ens3 ens4"))
    assert "allow-hotplug ens4\nauto xsnow0\n" in both


FIELD = {
    "second stanza": STOCK + "\niface ens3 inet static\n    address 192.168.9.2/24\n",
    "inet6": STOCK + "\niface ens3 inet6 static\n    address fd00::2/64\n",
    "inet6 auto": STOCK.replace("auto ens4", "iface ens3 inet6 auto\n\nauto ens4"),
    "alias": STOCK + "\nauto ens3:mgmt\niface ens3:mgmt inet static\n    address 10.7.0.2/24\n",
    "mtu": STOCK.replace("    gateway", "    mtu 9000\n    gateway"),
    "route": STOCK.replace("    gateway", "    up ip route add 10.9.0.0/16 via 192.168.8.9 dev ens3\n    gateway"),
    "route iface": STOCK.replace("    gateway", "    up ip route add 10.9.0.0/16 dev $IFACE\n    gateway"),
    "route continued": STOCK.replace(
        "    gateway", "    up ip route add 10.9.0.0/16 \\\n  dev ens3 || true\n    gateway"
    ).replace(" || true", ""),
    "route elsewhere": STOCK + "    up ip route add 10.9.0.0/16 via 192.168.8.9 dev ens3\n",
    "vlan": STOCK + "\nauto ens3.100\niface ens3.100 inet static\n    address 10.6.0.2/24\n    vlan-raw-device ens3\n",
    "another bridge": STOCK + "\nauto br1\niface br1 inet static\n    bridge_ports ens5\n    address 10.5.0.2/24\n",
    "offload": STOCK.replace(
        "    gateway", "    up ethtool -K ens3 tso off\n    post-up ethtool -G $IFACE rx 4096\n    gateway"
    ),
    "hwaddress": STOCK.replace("    gateway", "    hwaddress ether 02:00:00:00:00:02\n    gateway"),
    "bond": STOCK.replace("ens3", "bond0").replace(
        "    gateway", "    bond-slaves ens5 ens6\n    bond-mode 4\n    gateway"
    ),
    "card on a vlan": STOCK.replace("ens3", "ens3.8").replace("    gateway", "    vlan-raw-device ens3\n    gateway"),
    "one line": STOCK.replace("auto ens3\n", "auto ens3 ens4\n").replace("\nauto ens4\n", "\n"),
    "comment": STOCK.replace("    gateway", "    # up ifconfig ens3 \\\n    gateway"),
    "firewall": STOCK.replace("    gateway", "    pre-up iptables-restore < /etc/iptables.up.rules\n    gateway"),
    "netmask": STOCK.replace("192.168.8.2/24", "192.168.8.2\n\tnetmask 255.255.255.0\n\tdns-nameservers 192.168.8.9"),
    "route that may fail": STOCK.replace(
        "    gateway", "    up ip route add 10.9.0.0/16 via 192.168.8.9 dev ens3 2>/dev/null || true\n    gateway"
    ),
    "two routes": STOCK.replace(
        "    gateway", "    up ip route add 10.9.0.0/16 dev ens3 && ip rule add from 192.168.8.2 table 5\n    gateway"
    ),
    "offload that may fail": STOCK.replace(
        "    gateway", "    up ethtool -K $IFACE tso off >/dev/null 2>&1 || :\n    gateway"
    ),
    "bond by its cards": STOCK.replace("ens3", "bond0").replace(
        "    gateway", "    bond-slaves none\n    bond-mode 802.3ad\n    gateway"
    )
    + "".join(f"\nauto {card}\niface {card} inet manual\n    bond-master bond0\n" for card in ("ens5", "ens6")),
    "bond with underscores": STOCK.replace("ens3", "bond0").replace(
        "    gateway", "    bond_slaves ens5 ens6\n    bond_mode 4\n    gateway"
    ),
    "bond by its old word": STOCK.replace("ens3", "bond0").replace("    gateway", "    slaves ens5 ens6\n    gateway"),
    "link shortened": STOCK.replace("    gateway", "    up ip li set dev ens3 mtu 9000\n    gateway"),
    "link with an option": STOCK.replace("    gateway", "    up ip -d link set dev $IFACE txqueuelen 9\n    gateway"),
    "route shortened": STOCK.replace("    gateway", "    up ip -6 r add fd01::/64 dev ens3\n    gateway"),
    "route of a family": STOCK.replace("    gateway", "    up ip -f inet ro add 10.9.0.0/16 dev ens3\n    gateway"),
    "described": STOCK.replace("    gateway", "    description uplink of rack 7\n    gateway"),
    "indented": STOCK.replace("auto ens3\niface ens3", "  auto ens3\n  iface ens3"),
    "no newline": STOCK.rstrip().replace("auto ens4", "auto ens4") + "\nauto ens3",
}
CARDS = {
    "bond": "bond0",
    "bond by its cards": "bond0",
    "bond with underscores": "bond0",
    "bond by its old word": "bond0",
    "card on a vlan": "ens3.8",
}


@pytest.mark.parametrize("shape", sorted(FIELD))
def test_what_belongs_to_the_address_moves_and_all_else_stays(shape: str) -> None:
    card = CARDS.get(shape, "ens3")
    changed = bridged(FIELD[shape], card)
    assert f"iface {card} inet manual\n" in changed and f"    bridge_ports {card}\n" in changed
    assert not re.search(rf"^\s*(up|post-up) ip .*dev {re.escape(card)}$", changed, re.MULTILINE)
    assert interfaces({PATH: changed}).count("xsnow0") == 1
    for line in FIELD[shape].splitlines():
        if line.strip().startswith(("address", "gateway", "netmask", "dns", "mtu", "#")):
            assert changed.count(line) >= FIELD[shape].count(line)


OF_THE_WIRE = {
    "link shortened": "ip li set dev ens3 mtu 9000",
    "link with an option": "txqueuelen",
    "mtu": "mtu 9000",
    "offload": "tso off",
    "offload that may fail": "tso off",
    "hwaddress": "02:00",
    "bond": "bond-mode",
    "bond by its cards": "bond-slaves none",
    "bond with underscores": "bond_slaves ens5 ens6",
    "bond by its old word": "slaves ens5 ens6",
    "card on a vlan": "raw",
}


@pytest.mark.parametrize("shape", sorted(OF_THE_WIRE))
def test_what_is_of_the_wire_stays_with_the_card_which_comes_up_first(shape: str) -> None:
    card = CARDS.get(shape, "ens3")
    changed = bridged(FIELD[shape], card)
    assert f"auto {card} xsnow0\n" in changed
    stanza = changed.partition(f"iface {card} inet manual\n")[2].partition("\n\n")[0]
    assert OF_THE_WIRE[shape] in stanza


def test_an_alias_goes_with_its_address() -> None:
    assert "auto xsnow0:mgmt\niface xsnow0:mgmt inet static\n    address 10.7.0.2/24\n" in bridged(FIELD["alias"])


REFUSED = {
    "no stanza": "auto lo\n",
    "dhcp": STOCK.replace("inet static", "inet dhcp", 1),
    "dhcp6 beside it": STOCK + "\niface ens3 inet6 dhcp\n",
    "in a bridge": STOCK + "\niface br1 inet manual\n    bridge-ports ens3 ens5\n",
    "a bridge itself": STOCK.replace("    gateway", "    bridge_ports ens5\n    gateway"),
    "in a bridge with all": STOCK + "\niface br1 inet manual\n    bridge_ports all\n",
    "in a bridge by a pattern": STOCK + "\niface br1 inet manual\n    bridge_ports regex en.* noregex ens9\n",
    "sysctl by name": STOCK.replace("    gateway", "    up sysctl -w net.ipv4.conf.ens3.rp_filter=0\n    gateway"),
    "proc by name": STOCK.replace(
        "    gateway", "    up echo 1 > /proc/sys/net/ipv4/conf/ens3/arp_filter\n    gateway"
    ),
    "in a bond": STOCK + "\niface bond0 inet manual\n    bond-slaves ens3 ens5\n",
    "in a bond by its own word": STOCK.replace("    gateway", "    bond-master bond0\n    gateway"),
    "primary of a bond": STOCK + "\niface bond0 inet manual\n    bond-slaves none\n    bond-primary ens3 ens5\n",
    "in a switch": STOCK + "\niface br1 inet manual\n    ovs_type OVSBridge\n    ovs_ports ens3\n",
    "under a tunnel": STOCK + "\niface vx0 inet manual\n    vxlan-id 5\n    vxlan-physdev ens3\n",
    "mapping by a pattern": STOCK + "\nmapping en*\n    script /x\n",
    "pattern": STOCK + "\nauto /ens*\n",
    "mapping": STOCK + "\nmapping ens3\n    script /x\n",
    "rename": STOCK + "\nrename ens3=lan\n",
    "inherits": STOCK + "\niface ens9 inet static inherits ens3\n",
    "no-scripts": STOCK + "\nno-scripts ens3\n",
    "firewall by name": STOCK.replace("    gateway", "    up iptables -A INPUT -i ens3 -j ACCEPT\n    gateway"),
    "commands of a file": STOCK.replace("    gateway", "    up ip -b /etc/routes dev ens3\n    gateway"),
    "another object of ip": STOCK.replace("    gateway", "    up ip macsec add dev ens3 rx\n    gateway"),
    "own script": STOCK.replace("    gateway", "    up /usr/local/sbin/net $IFACE\n    gateway"),
    "two commands": STOCK.replace("    gateway", "    up ip route add 10.9.0.0/16 dev ens3; reboot\n    gateway"),
    "an address in a command of the wire": STOCK.replace(
        "    gateway", "    up ip link set dev ens3 mtu 9000 && ip addr add 10.7.0.2/24 dev ens3\n    gateway"
    ),
    "a route behind a command of the wire": STOCK.replace(
        "    gateway", "    up ip link set ens3 up; ip route add 10.9.0.0/16 via 192.168.8.9\n    gateway"
    ),
    "not brought up at boot": STOCK.replace("auto ens3\n", ""),
    "wireless": STOCK.replace("    gateway", "    wpa-ssid x\n    gateway"),
    "misplaced option": STOCK.replace("auto ens4\n", "auto ens4\n    mtu 9000\n"),
    "option first": "mtu 9000\n" + STOCK,
    "unknown": STOCK.replace("    gateway", "    frobnicate 1\n    gateway"),
    "long alias": STOCK + "\niface ens3:management inet static\n    address 10.7.0.2/24\n",
}


@pytest.mark.parametrize("shape", sorted(REFUSED))
def test_what_is_not_understood_is_refused_with_a_remedy(shape: str) -> None:
    with pytest.raises(SiteError, match="by hand") as caught:
        bridged(REFUSED[shape])
    assert caught.value.where == f"snow02:{PATH}"


def test_a_sourced_file_is_the_one_that_is_changed() -> None:
    main = "source /etc/network/interfaces.d/*\nsource-directory more\nauto lo\niface lo inet loopback\n"
    assert list(sources(main)) == [("source", "/etc/network/interfaces.d/*"), ("source-directory", "more")]
    part = "/etc/network/interfaces.d/ens3"
    changed = with_bridge({PATH: main, part: STOCK}, card="ens3", bridge="xsnow0", where="x")
    assert changed == {PATH: main, part: bridged(STOCK)}


def ifquery(text: str, *words: str) -> str:
    done = subprocess.run(
        ["ifquery", "--interfaces=/dev/stdin", *words],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode in (0, 1) and "couldn't" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.needs("ifquery")
@pytest.mark.parametrize("shape", sorted(FIELD))
def test_ifupdown_itself_reads_the_result_as_meant(shape: str) -> None:
    """Our reading of the file would be all that says so."""
    text, card = FIELD[shape], CARDS.get(shape, "ens3")
    changed = bridged(text, card)
    before, now = ifquery(text, card), ifquery(changed, "xsnow0")
    for line in before.splitlines():
        if line.startswith(("address", "netmask", "gateway", "mtu", "dns")):
            assert line in now.splitlines()
    assert f"bridge_ports: {card}" in now
    assert not re.search("^address", ifquery(changed, card), re.MULTILINE)
    for name in interfaces({PATH: text}):
        if name != card and not name.startswith(f"{card}:") and shape != "route elsewhere":
            assert ifquery(changed, name) == ifquery(text, name)
    started, starts = ifquery(text, "--list", "-a").split(), ifquery(changed, "--list", "-a").split()
    assert "xsnow0" in starts and set(starts) - {"xsnow0", card} >= {n for n in started if not n.startswith(card)}
