"""Whoever waits for a cluster that was told to do nothing hears of it at once, and nothing is changed before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from broken_clusters import RECORDED
from listener import Listener

from snowha.errors import SiteError
from snowha.hosts.host import Completed, Host
from snowha.live import cluster

WELL = (RECORDED / "crm_mon-3.0-standby.xml").read_text().replace('standby="true"', 'standby="false"')
MAINTENANCE = WELL.replace('maintenance-mode="false"', 'maintenance-mode="true"')
UNMANAGED = WELL.replace('managed="true"', 'managed="false"', 3)  # two fence devices, and the floating IP


class Server:
    """Pacemaker as it says itself, and what it was told."""

    def __init__(self, said: str) -> None:
        self.name = "snow01"
        self.said = said
        self.told: list[Sequence[str]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        if argv[0] == "crm_mon":
            return Completed(tuple(argv), 0, self.said, "")
        self.told.append(argv)
        return Completed(tuple(argv), 0, "", "")


def attempt(said: str, what: Callable[[dict[str, Host]], object]) -> tuple[Server, SiteError]:
    server = Server(said)
    with pytest.raises(SiteError) as caught:
        what({"snow01": server})
    return server, caught.value


@pytest.mark.parametrize(
    ("said", "words"), [(MAINTENANCE, "maintenance-mode"), (UNMANAGED, "fence-snow01 is not managed by Pacemaker")]
)
def test_settling_ends_at_once_with_what_to_type(said: str, words: str) -> None:
    """`apply` waited a quarter of an hour for what only a person can end, and then said that it had."""
    server, error = attempt(said, lambda hosts: cluster.wait_until_settled(hosts, Listener()))
    assert words in error.message and error.remedy.count("crm_")
    assert server.told == []
    attempt(said, cluster.require_healthy)


def test_a_cluster_that_is_well_has_settled() -> None:
    server = Server(WELL)
    cluster.wait_until_settled({"snow01": server}, Listener())
    assert [words[0] for words in server.told] == ["crm_resource"]


def test_nothing_is_drained_or_moved_that_pacemaker_leaves_alone() -> None:
    """A server would be put in standby, and waited for half an hour; the proof of its fencing would end there."""
    for what in (
        lambda hosts: cluster.drain(hosts, "snow01", Listener()),
        lambda hosts: cluster.move(hosts, {"xsnow-vip": "snow02"}, Listener()),
    ):
        for said in (MAINTENANCE, UNMANAGED):
            server, error = attempt(said, what)
            assert server.told == [] and error.remedy
