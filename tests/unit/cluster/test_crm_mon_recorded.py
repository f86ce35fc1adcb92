"""What a real cluster of two servers printed, in the lab. A parser that fits only invented samples sees no cluster."""

from __future__ import annotations

from pathlib import Path

from snowha.cluster.crm_mon import parse_links, parse_quorum

RECORDED = Path(__file__).parent / "recorded"


def test_two_links_are_connected() -> None:
    links = parse_links((RECORDED / "corosync-cfgtool-s.trixie.txt").read_text())
    assert [(link.number, link.connected) for link in links] == [(0, True), (1, True)]


def test_two_servers_have_quorum() -> None:
    quorum = parse_quorum((RECORDED / "corosync-quorumtool-s.trixie.txt").read_text())
    assert quorum.quorate
    assert [member.name for member in quorum.members] == ["snow01", "snow02"]
    assert {"2Node", "WaitForAll"} <= quorum.flags
