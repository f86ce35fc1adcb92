"""The afternoon of docs/lab.md: a server loses its power, and somebody watches its domains come back on the other one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Administrator, wait_until

from snowha.lab import lifecycle
from snowha.lab.layout import DOMAINS

NAMES = {plan.name for plan in DOMAINS}


def lose(server: str) -> None:
    """Its power and its cables: fenced, it gets power again, and would answer in the middle of the test. Its BMC has a cable of
    its own. `site.restore` plugs all of them in again."""
    lifecycle.power(server, "off")
    for network in ("snow", "mgmt"):
        lifecycle.cable(server, network, False)


@pytest.mark.parametrize(("lost", "other"), [("snow01", "snow02"), ("snow02", "snow01")])
def test_whoever_needs_it_tonight_sees_what_is_left(
    cluster: Administrator, tmp_path: Path, lost: str, other: str
) -> None:
    """With the first server dead `status` was one line, and `check`, `log` and `images list` were no more."""
    before = cluster.status()
    assert before["healthy"], before
    spared = {row["name"] for row in before["domains"] if row["servers"] == [other]}
    assert spared and spared < NAMES

    lose(lost)
    # at once, over a connection that does not know yet that nobody is there
    ended = cluster.snow("ha", "status")
    assert ended.code == 4
    assert "NOT well" in ended.output and f"WRONG  {lost}: " in ended.output
    seen = cluster.status()
    assert not seen["healthy"]
    assert {row["name"] for row in seen["domains"]} == NAMES
    assert {row["name"] for row in seen["domains"] if row["servers"] == [other]} >= spared
    reachable = {row["name"]: row["reachable"] for row in seen["servers"]}
    assert reachable == {lost: False, other: True}
    assert "unreachable" in {finding["code"] for finding in seen["findings"]}

    def back() -> bool:
        return all(row["servers"] == [other] and row["state"] == "running" for row in cluster.status()["domains"])

    wait_until(back, timeout=600, what=f"every domain runs on {other}, as `status` says")

    seen = cluster.status()
    red = {(finding["code"], finding["where"]) for finding in seen["findings"] if finding["severity"] == "red"}
    assert {("unreachable", lost), ("server-out", lost)} <= red, red
    assert not red & {(code, name) for name in NAMES for code in ("runs-twice", "domain-differs", "domain-unknown")}
    assert not seen["healthy"]

    ended = cluster.snow("ha", "check", "--json")
    assert ended.code == 4
    found = {
        (one["code"], one["where"]): one["severity"] for one in json.loads(ended.output.splitlines()[-1])["findings"]
    }
    assert found["unreachable", lost] == "stop"
    assert found["server-out", lost] == "warn"

    ended = cluster.snow("images", "list")
    assert ended.code == 3 and f"snow: {lost}" in ended.output
    for name in NAMES:
        assert f"/sNow/domains/{name}/{name}-disk" in ended.output

    elsewhere = Administrator(cluster.folder)  # somebody whose machine has no journal
    elsewhere.journal = tmp_path / "journal.sqlite"
    ended = elsewhere.snow("ha", "log")
    assert ended.code == 3 and f"snow: {lost}" in ended.output
    assert "pacemaker.cib done" in ended.output
    assert cluster.snow("ha", "log").code == 0  # that of this machine is all there is to know

    ended = cluster.snow("ha", "plan")
    assert ended.code == 3 and f"snow: {lost}" in ended.output
