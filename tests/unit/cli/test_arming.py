"""``snow disarm`` and ``snow arm`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from everyday_site import EverydaySite
from view_site import code_of

from snowha.cli import arming
from snowha.errors import UnreachableError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EverydaySite:
    return EverydaySite(tmp_path, monkeypatch)


def test_it_is_disarmed_in_one_commit_and_armed_in_one(site: EverydaySite) -> None:
    """Between two of them servers would be out of sight of each other with fencing off and everything being started."""
    assert code_of(site.run("disarm")) == 4 and site.told == [], "nobody was there to say yes"
    ended = site.run("disarm", "--yes")
    assert ended.exit_code == 0, ended.output
    assert len(site.told) == 1 and "maintenance-mode" in site.told[0] and "stonith-enabled" in site.told[0]
    assert site.run("disarm", "--yes").exit_code == 0 and len(site.told) == 1

    status = site.run("status", "--json")
    (finding,) = [one for one in json.loads(status.output)["findings"] if one["code"] == "maintenance-mode"]
    assert status.exit_code == 4 and "the cluster has been disarmed since" in finding["message"]
    assert "snow arm" in finding["remedy"]
    refused = site.run("shutdown", "deploy01")
    assert refused.exit_code == 4 and len(site.told) == 1

    ended = site.run("arm")
    assert ended.exit_code == 0, ended.output
    assert site.told[1] == "snow02: crm_resource --refresh" and "--delete" in site.told[2] and len(site.told) == 3
    assert site.run("status").exit_code == 0


def test_it_is_not_armed_while_a_server_would_be_fenced_or_a_domain_started_twice(site: EverydaySite) -> None:
    site.run("disarm", "--yes")
    at = site.told[:]
    site.changes.append(lambda root: root.find("nodes/node[@name='snow01']").set("online", "false"))  # type: ignore[union-attr]
    ended = site.run("arm")
    assert ended.exit_code == 4 and "snow01 is not in the cluster" in ended.output
    assert site.properties and site.told == [*at, "snow02: crm_resource --refresh"]

    at = site.told[:]
    assert code_of(site.run("arm", "--fence", "snow03", "--yes")) == 2
    assert code_of(site.run("arm", "--fence", "snow01")) == 4 and site.told == at, "nobody was there to say yes"
    for name, server in list(site.world.running.items()):
        if server == "snow01":
            del site.world.running[name]
    ended = site.run("arm", "--fence", "snow01", "--yes")
    assert ended.exit_code == 0, ended.output
    assert not site.properties


def test_what_somebody_else_has_set_is_left_alone(site: EverydaySite) -> None:
    site.changes.append(lambda root: root.find("summary/cluster_options").set("maintenance-mode", "true"))  # type: ignore[union-attr]
    ended = site.run("arm")
    assert ended.exit_code == 4 and "it was not `snow disarm`" in ended.output and site.told == []


def test_a_server_that_does_not_answer_is_fenced_if_it_is_named(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked for its domains first, and the cluster stayed disarmed, since it did not answer."""
    site.run("disarm", "--yes")
    site.changes.append(lambda root: root.find("nodes/node[@name='snow01']").set("online", "false"))  # type: ignore[union-attr]
    for name, server in list(site.world.running.items()):
        if server == "snow01":
            del site.world.running[name]
    whole = EverydaySite.crm_mon

    def crm_mon() -> str:
        with monkeypatch.context() as patched:
            patched.setattr(site, "lost", "")
            return whole(site)

    site.lost = "snow01"
    monkeypatch.setattr(site, "crm_mon", crm_mon)
    refused = site.run("arm")
    assert code_of(refused) == 3 and "snow arm --fence snow01" in str(refused.exception)
    ended = site.run("arm", "--fence", "snow01", "--yes")
    assert "there is no route" not in ended.output and "Traceback" not in ended.output
    assert not site.properties, ended.output


def test_the_command_that_is_named_has_the_servers_that_were_named_before() -> None:
    """Whoever pastes it would be refused for the server that was named first."""
    lost = {name: UnreachableError("no route to host", where=name) for name in ("snow02", "snow03")}
    with pytest.raises(UnreachableError) as refused:
        arming.refuse_lost(lost, ("snow02",))
    assert "snow arm --fence snow02 --fence snow03," in refused.value.remedy
    arming.refuse_lost(lost, ("snow02", "snow03"))
