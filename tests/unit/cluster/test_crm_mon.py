"""What the cluster says of itself. ``recorded/``: crm_mon 2.1.5 and 3.0.0 on real CIBs, made with crm_simulate."""

from __future__ import annotations

from pathlib import Path

import pytest

from snowha.cluster.crm_mon import parse_crm_mon, parse_links, parse_quorum
from snowha.errors import SiteError

RECORDED = Path(__file__).parent / "recorded"

LINKS = """\
Local node ID 1, transport knet
LINK ID 0 udp
\taddr\t= 192.168.8.1
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tconnected
LINK ID 1 udp
\taddr\t= 10.0.0.1
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tdisconnected
"""

QUORUM = """\
Quorum information
------------------
Date:             Tue Nov 24 10:12:01 2026
Quorum provider:  corosync_votequorum
Nodes:            2
Node ID:          1
Ring ID:          1.9
Quorate:          Yes

Votequorum information
----------------------
Expected votes:   2
Highest expected: 2
Total votes:      2
Quorum:           1  
Flags:            2Node Quorate WaitForAll 

Membership information
----------------------
    Nodeid      Votes Name
         1          1 snow01 (local)
         2          1 snow02
"""

QDEVICE = """\
Quorate:          No
Flags:            Qdevice 

Membership information
----------------------
    Nodeid      Votes    Qdevice Name
         1          1    A,V,NMW snow01 (local)
         3          1         NR snow03
         0          1            Qdevice
"""


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.xml").read_bytes()


def test_a_start_that_failed_is_seen_with_its_server() -> None:
    state = parse_crm_mon(recorded("crm_mon-2.1-failed-start"))
    assert [(f.resource, f.server, f.task) for f in state.failures] == [("proxy01", "snow01", "start")]
    proxy = state.resource("proxy01")
    assert proxy is not None
    assert proxy.failed
    assert state.quorate
    assert state.dc == "snow01"


def test_a_lost_server_is_unclean_until_it_is_fenced() -> None:
    """Its domains are still written down as started there: nobody may take that for running."""
    state = parse_crm_mon(recorded("crm_mon-2.1-lost"))
    lost = state.node("snow02")
    assert lost is not None
    assert lost.unclean
    assert not state.is_online("snow02")
    assert state.is_online("snow01")
    proxy = state.resource("proxy01")
    assert proxy is not None
    assert proxy.servers == ("snow02",)


def test_a_server_in_standby_is_online_and_not_usable() -> None:
    state = parse_crm_mon(recorded("crm_mon-3.0-standby"))
    assert state.is_online("snow02")
    assert [node.name for node in state.nodes if node.is_usable] == ["snow01"]
    assert {resource.agent for resource in state.resources if resource.is_fencing} == {"stonith:fence_ipmilan"}


def test_a_domain_on_two_servers_and_one_that_is_not_configured_are_seen() -> None:
    state = parse_crm_mon(recorded("crm_mon-3.0-two-places"))
    proxy, slurm = state.resource("proxy01"), state.resource("slurm02")
    assert proxy is not None
    assert proxy.servers == ("snow01", "snow02")
    assert slurm is not None
    assert slurm.orphaned


def test_grouped_by_node_says_the_same() -> None:
    text = """<pacemaker-result api-version="2.38"><summary/><nodes>
      <node name="snow01" online="true"><resource id="x" resource_agent="ocf::heartbeat:Xen" role="Started"
        managed="true"><node name="snow01"/></resource></node>
      <node name="snow02" online="true"><resource id="x" resource_agent="ocf::heartbeat:Xen" role="Started"
        managed="true"><node name="snow02"/></resource></node></nodes><status code="0"/></pacemaker-result>"""
    (resource,) = parse_crm_mon(text).resources
    assert (resource.agent, resource.servers) == ("ocf:heartbeat:Xen", ("snow01", "snow02"))


def test_a_fencing_that_failed_is_in_the_history() -> None:
    text = """<pacemaker-result api-version="2.25"><summary/><fence_history status="0">
      <fence_event status="failed" action="reboot" target="snow02" client="pacemaker-controld.700" origin="snow01"
        delegate="snow01" completed="2026-11-24 10:12:01Z" exit-reason="no answer"/>
      </fence_history><status code="0"/></pacemaker-result>"""
    (event,) = parse_crm_mon(text).fencing
    assert (event.server, event.status, event.by) == ("snow02", "failed", "snow01")


@pytest.mark.parametrize("text", [b"", b"connection refused", b"<html/>"])
def test_no_answer_is_not_an_empty_cluster(text: bytes) -> None:
    """An empty cluster would be one in which nothing runs, and everything could be started."""
    with pytest.raises(SiteError):
        parse_crm_mon(text)


def test_a_pacemaker_that_does_not_run_is_said_so() -> None:
    with pytest.raises(SiteError, match="Connection refused"):
        parse_crm_mon(recorded("crm_mon-2.1-not-running"))


def test_a_link_that_is_down_is_named() -> None:
    first, second = parse_links(LINKS)
    assert (first.number, first.address, first.peers, first.connected) == (0, "192.168.8.1", ((2, "connected"),), True)
    assert (second.number, second.connected) == (1, False)


def test_a_server_alone_has_no_connected_link() -> None:
    (link,) = parse_links("LINK ID 0 udp\n\taddr\t= 192.168.8.1\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n")
    assert not link.connected


def test_the_manual_pages_example_reads_too() -> None:
    text = "LINK ID 0\n addr    = 192.168.100.80\n status:\n  nodeid  1:      localhost\n  nodeid  2:      connected\n"
    assert parse_links(text)[0].peers == ((2, "connected"),)


def test_corosync_that_does_not_run_has_no_links() -> None:
    assert parse_links("Could not initialize corosync configuration API error 2\n") == ()


def test_quorum_and_who_is_in() -> None:
    quorum = parse_quorum(QUORUM)
    assert quorum.quorate
    assert quorum.flags == {"2Node", "Quorate", "WaitForAll"}
    assert (quorum.expected_votes, quorum.total_votes) == (2, 2)
    assert [(member.nodeid, member.name) for member in quorum.members] == [(1, "snow01"), (2, "snow02")]


def test_a_quorum_device_is_not_a_server() -> None:
    quorum = parse_quorum(QDEVICE)
    assert not quorum.quorate
    assert [(member.nodeid, member.votes, member.name) for member in quorum.members] == [
        (1, 1, "snow01"),
        (3, 1, "snow03"),
    ]


def test_no_answer_is_not_no_quorum() -> None:
    with pytest.raises(SiteError):
        parse_quorum("Cannot initialize QUORUM service\n")
