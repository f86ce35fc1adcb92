"""A link that is none is a cluster whose servers believe in a second path that they do not have."""

from __future__ import annotations

import ipaddress
import json

import pytest

from snowha.errors import SiteError
from snowha.hosts.playback import Call, PlaybackHost
from snowha.migration.shared_mounts import shared_mounts
from snowha.migration.site_discovery import link_networks
from snowha.provision.network_interfaces import NetworkInterface, network_interfaces
from snowha.provision.servers import mounts
from snowha.site import fstab
from snowha.site.model import Mount

ASK = ("ip", "-j", "-d", "address", "show")


def link(name: str, *addresses: str, kind: str = "", **more: object) -> dict[str, object]:
    """As ip(8) says it."""
    info = [
        {
            "family": "inet",
            "scope": "global",
            "local": address,
            "prefixlen": 24,
            **({"dynamic": True} if "dhcp" in more else {}),
        }
        for address in addresses
    ]
    return {"ifname": name, "addr_info": info, **({"linkinfo": {"info_kind": kind}} if kind else {}), **more}


def own(number: int, *links: dict[str, object]) -> tuple[NetworkInterface, ...]:
    with PlaybackHost(f"snow0{number}", [Call(ASK, json.dumps(links))]) as host:
        return network_interfaces(host)


def common(*pattern: dict[str, object]) -> list[str]:
    """The links of two servers that have these, with N in an address as their number."""
    both = (json.loads(json.dumps(pattern).replace(".N", f".{number}")) for number in (1, 2))
    found = link_networks({f"snow0{number}": own(number, *links) for number, links in enumerate(both, 1)})
    return [str(network) for network in found]


def test_only_networks_with_a_card_of_their_own_are_links() -> None:
    """What a server with docker, libvirt, a dummy card, an alias, a VLAN and a card from DHCP says."""
    named = ["docker0", "virbr0", "dummy0", "br-0123456789ab", "ppp0", "ztabcd1234", "tailscale0"]
    assert common(
        link("eth0", "10.0.0.N", "10.7.0.N"),
        *(link(name, f"10.{number}.0.N") for number, name in enumerate(named, 100)),
        link("eth1", "10.5.0.N", dhcp=True),
        link("eth0.9", "10.8.0.N", kind="vlan", link="eth0"),
        link("lan9", "10.9.0.1"),
        link("idrac", "169.254.1.N"),
        link("lo", "10.4.0.N"),
        link("eth3", "10.6.0.N"),
    ) == ["10.0.0.0/24", "10.6.0.0/24"]


@pytest.mark.parametrize("kind", ["dummy", "tun", "wireguard", "vxlan", "gre", "ipip", "veth"])
def test_what_is_no_wire_is_known_by_its_kind_whatever_it_is_called(kind: str) -> None:
    """A second link that fails with the first, or that no cable carries."""
    assert common(link("eth0", "10.0.0.N"), link("office", "10.1.0.N", kind=kind)) == ["10.0.0.0/24"]
    assert common(
        link("eth0", "10.0.0.N"), link("office", kind=kind), link("v", "10.1.0.N", kind="vlan", link="office")
    ) == ["10.0.0.0/24"]


def test_a_bridge_is_the_card_in_it_and_without_one_a_network_of_the_server_alone() -> None:
    guest = link("vif1.0", master="xsnow0")
    bridged = link("xsnow0", "10.0.0.N", kind="bridge")
    inside = [link("lab", "10.3.0.N", kind="bridge"), link("vnet0", kind="tun", master="lab")]
    found = common(
        link("eth0", master="xsnow0"), bridged, guest, link("eth0.5", "10.2.0.N", kind="vlan", link="eth0"), *inside
    )
    assert found == ["10.0.0.0/24"]
    bond = [link("bond0", kind="bond", master="xsnow0"), *(link(name, master="bond0") for name in ("eth0", "eth1"))]
    assert common(*bond, bridged, link("eth2", "10.2.0.N")) == ["10.0.0.0/24", "10.2.0.0/24"]
    two = [link(name, master="xsnow0") for name in ("eth0", "eth1")]
    assert common(*two, bridged, link("eth2", "10.2.0.N")) == ["10.0.0.0/24", "10.2.0.0/24"]


def test_a_card_is_told_by_itself() -> None:
    assert NetworkInterface("eth0", ipaddress.IPv4Interface("10.0.0.1/24")).device == "eth0"


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
        read("/etc/fstab", "  # x\nnfs01:/export/sNow /sNow/ nfs4 vers=4.2,clientaddr=10.0.0.1,hard 0 0\n"),
        Call((*find, "/home"), json.dumps(home)),
    ]
    with PlaybackHost("snow01", calls) as host:
        assert shared_mounts(host) == (Mount("nfs01:/export/sNow", "/sNow", "nfs4", "vers=4.2,hard"),)


def test_what_nobody_has_looked_into_yet_is_mounted_before_it_is_left_out() -> None:
    """/home, which was mounted when somebody logged in, was missing in ha.toml: a new server came without it."""
    find = ("findmnt", "--json", "--output", "SOURCE,FSTYPE,TARGET", "--target")
    home = {"source": "nfs01:/export/home", "fstype": "nfs4", "target": "/home"}
    from recorded import read

    idle = AUTOFS | {"source": "systemd-1", "target": "/home"}
    calls = [
        Call((*find, "/sNow"), json.dumps({"filesystems": [NFS]})),
        read("/etc/fstab", "nfs01:/export/home /home nfs4 hard,x-systemd.automount 0 0\n"),
        Call(("findmnt", "--noheadings", "--raw", "--output", "OPTIONS", "--mountpoint", "/sNow"), "rw,vers=4.2\n"),
        Call((*find, "/home"), json.dumps({"filesystems": [idle]})),
        Call(("ls", "-d", "/home/."), "/home/.\n"),
        Call((*find, "/home"), json.dumps({"filesystems": [idle, home]})),
        read("/etc/fstab", "nfs01:/export/home /home nfs4 hard,x-systemd.automount 0 0\n"),
    ]
    with PlaybackHost("snow01", calls) as host:
        assert shared_mounts(host)[1] == Mount("nfs01:/export/home", "/home", "nfs4", "hard,x-systemd.automount")


@pytest.mark.parametrize(
    ("mounted", "said", "remedy"),
    [
        (
            NFS | {"source": "nfs01:/export[/my/sNow]"},
            "bind mount of the folder /my/sNow",
            "nfs01:/export/my/sNow on /sNow",
        ),
        (NFS | {"target": "/srv/nfs"}, "/sNow is a link into /srv/nfs", "its export on /sNow"),
        (NFS | {"source": "[fd00::1]:/export/sNow"}, "", ""),
        (NFS | {"target": "/"}, "", ""),
    ],
)
def test_what_is_at_sNow_by_a_bind_mount_or_a_link_is_said_with_the_way_out(
    mounted: dict[str, str], said: str, remedy: str
) -> None:
    """ha.toml had a source that nobody can mount, or lacked the link: a new server came back without /sNow."""
    find = ("findmnt", "--json", "--output", "SOURCE,FSTYPE,TARGET", "--target")
    home = {"filesystems": [{"source": "/dev/vda1", "fstype": "ext4", "target": "/"}]}
    from recorded import read

    calls = [Call((*find, "/sNow"), json.dumps({"filesystems": [mounted]}))]
    if said:
        with PlaybackHost("snow01", calls) as host, pytest.raises(SiteError, match=said) as caught:
            shared_mounts(host)
        assert remedy in caught.value.remedy
        return
    options = ("findmnt", "--noheadings", "--raw", "--output", "OPTIONS", "--mountpoint", mounted["target"])
    calls += [read("/etc/fstab", ""), Call(options, "rw,vers=4.2\n"), Call((*find, "/home"), json.dumps(home))]
    with PlaybackHost("snow01", calls) as host:
        assert shared_mounts(host)[0].source == mounted["source"]


@pytest.mark.parametrize(
    ("fstab_text", "shown", "wanted"),
    [
        # of an automounter or a unit: another server would not get to storage that is reached by RDMA or with Kerberos
        (
            "",
            "rw,relatime,vers=4.1,rsize=1048576,hard,proto=rdma,port=20049,sec=krb5p,clientaddr=10.0.0.1,addr=10.0.0.9",
            "vers=4.1,proto=rdma,port=20049,sec=krb5p,hard,_netdev",
        ),
        ("", "rw,relatime,vers=4.2,hard,proto=tcp,timeo=600,sec=sys,clientaddr=10.0.0.1", "vers=4.2,hard,_netdev"),
        ("", "", "vers=4.2,hard,_netdev"),
        # mounted by a script here, by nobody there
        ("nfs01:/export/sNow /sNow nfs4 noauto,hard,vers=4.2 0 0\n", None, "hard,vers=4.2"),
        ("nfs01:/export/sNow /sNow nfs4 noauto 0 0\n", None, "defaults"),
        ("nfs01:/export/sNow /sNow nfs4 noauto,x-systemd.automount 0 0\n", None, "noauto,x-systemd.automount"),
    ],
)
def test_another_server_gets_to_the_storage_as_the_first_one_does(
    fstab_text: str, shown: str | None, wanted: str
) -> None:
    """It came back from its boot without /sNow, and could start no domain."""
    find = ("findmnt", "--json", "--output", "SOURCE,FSTYPE,TARGET", "--target")
    home = {"filesystems": [{"source": "/dev/vda1", "fstype": "ext4", "target": "/"}]}
    from recorded import read

    words = ("findmnt", "--noheadings", "--raw", "--output", "OPTIONS", "--mountpoint", "/sNow")
    calls = [Call((*find, "/sNow"), json.dumps({"filesystems": [NFS]})), read("/etc/fstab", fstab_text)]
    calls += [] if shown is None else [Call(words, f"rw,relatime,fd=5\n{shown}\n")]
    with PlaybackHost("snow01", [*calls, Call((*find, "/home"), json.dumps(home))]) as host:
        assert shared_mounts(host)[0].options == wanted


def test_what_only_the_automounter_has_is_mounted_by_looking_at_it() -> None:
    words = ("findmnt", "--noheadings", "--raw", "--output", "SOURCE,FSTYPE", "--mountpoint", "/sNow")
    calls = [
        Call(words, "/etc/auto.direct autofs\n"),
        Call(("ls", "-d", "/sNow/."), "/sNow/.\n"),
        Call(words, "/etc/auto.direct autofs\nnfs01:/export/my\\x20folder nfs4\n"),
    ]
    with PlaybackHost("snow01", calls) as host:
        assert mounts.mounted(host, Mount("x", "/sNow", "nfs4", "hard")) == "nfs01:/export/my folder"


def test_a_slash_at_the_end_of_an_export_makes_it_no_other() -> None:
    """The server was refused, or /sNow said to be mounted from elsewhere."""
    assert fstab.same_source("nfs01:/export/sNow/", "nfs01:/export/sNow") and fstab.same_source("nfs01:/", "nfs01:/")
    assert not fstab.same_source("nfs01:/export/sNow2", "nfs01:/export/sNow")
