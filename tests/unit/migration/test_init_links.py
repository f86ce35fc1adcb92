"""A link that is none is a cluster whose servers believe in a second path that they do not have."""

from __future__ import annotations

import ipaddress
import json

import pytest

from snowha.hosts.playback import Call, PlaybackHost
from snowha.migration.cards import Card, cards
from snowha.migration.init import link_networks, shared_mounts
from snowha.migration.servers import mounts
from snowha.site.model import Mount

ASK = ("ip", "-j", "-4", "address", "show", "scope", "global")


def own(number: int, **more: object) -> tuple[Card, ...]:
    """What a server with docker, libvirt, a dummy card, an alias, a VLAN and a card from DHCP says."""
    links = [
        {"ifname": "eth0", "addr_info": [{"local": f"10.0.0.{number}", "prefixlen": 24}]},
        {"ifname": "docker0", "addr_info": [{"local": "172.17.0.1", "prefixlen": 16}]},
        {"ifname": "virbr0", "addr_info": [{"local": f"192.168.122.{number}", "prefixlen": 24}]},
        {"ifname": "dummy0", "addr_info": [{"local": f"10.99.0.{number}", "prefixlen": 24}]},
        {"ifname": "br-0123456789ab", "addr_info": [{"local": f"172.18.0.{number}", "prefixlen": 16}]},
        {"ifname": "ppp0", "addr_info": [{"local": f"10.97.0.{number}", "prefixlen": 24}]},
        {"ifname": "ztabcd1234", "addr_info": [{"local": f"10.98.0.{number}", "prefixlen": 24}]},
        {"ifname": "eth1", "addr_info": [{"local": f"10.5.0.{number}", "prefixlen": 24, "dynamic": True}]},
        {"ifname": "eth0", "addr_info": [{"local": f"10.7.0.{number}", "prefixlen": 24, "label": "eth0:1"}]},
        {"ifname": "eth0.9", "link": "eth0", "addr_info": [{"local": f"10.8.0.{number}", "prefixlen": 24}]},
        {"ifname": "lan9", "addr_info": [{"local": "10.9.0.1", "prefixlen": 24}]},
        {"ifname": "eth3", "addr_info": [{"local": f"10.6.0.{number}", "prefixlen": 24}]},
    ]
    with PlaybackHost(f"snow0{number}", [Call(ASK, json.dumps(links))]) as host:
        return cards(host)


def test_only_networks_with_a_card_of_their_own_are_links() -> None:
    found = link_networks({"snow01": own(1), "snow02": own(2)})
    assert [str(network) for network in found] == ["10.0.0.0/24", "10.6.0.0/24"]


def test_a_card_is_told_by_itself() -> None:
    assert Card("eth0", ipaddress.IPv4Interface("10.0.0.1/24")).device == "eth0"


AUTOFS = {"source": "/etc/auto.direct", "fstype": "autofs", "target": "/sNow"}
NFS = {"source": "nfs01:/export/sNow", "fstype": "nfs4", "target": "/sNow"}


@pytest.mark.parametrize("mounted", [[NFS], [AUTOFS, NFS]])
def test_of_an_automounted_folder_the_topmost_mount_counts(mounted: list[dict[str, str]]) -> None:
    """It was said not to be on NFS."""
    find = ("findmnt", "--json", "--output", "SOURCE,FSTYPE,TARGET", "--target")
    home = {"filesystems": [{"source": "/dev/vda1", "fstype": "ext4", "target": "/"}]}
    from recorded import read

    calls = [
        Call((*find, "/sNow"), json.dumps({"filesystems": mounted})),
        read("/etc/fstab", "  # x\nnfs01:/export/sNow /sNow/ nfs4 vers=4.2,hard 0 0\n"),
        Call((*find, "/home"), json.dumps(home)),
    ]
    with PlaybackHost("snow01", calls) as host:
        assert shared_mounts(host) == (Mount("nfs01:/export/sNow", "/sNow", "nfs4", "vers=4.2,hard"),)


def test_what_only_the_automounter_has_is_mounted_by_looking_at_it() -> None:
    words = ("findmnt", "--noheadings", "--raw", "--output", "SOURCE,FSTYPE", "--mountpoint", "/sNow")
    calls = [
        Call(words, "/etc/auto.direct autofs\n"),
        Call(("ls", "-d", "/sNow/."), "/sNow/.\n"),
        Call(words, "/etc/auto.direct autofs\nnfs01:/export/my\\x20folder nfs4\n"),
    ]
    with PlaybackHost("snow01", calls) as host:
        assert mounts.mounted(host, Mount("x", "/sNow", "nfs4", "hard")) == "nfs01:/export/my folder"
