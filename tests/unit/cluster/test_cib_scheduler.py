"""The CIB before Pacemaker's own tools (pacemaker-cli-utils): its schema, and what its scheduler would do. No daemon runs:
crm_simulate(8) works on a file.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_sites import composed, fresh_cib, options, site
from lxml import etree

from snowha.cluster import cib, cib_facts, cib_merge, placement
from snowha.site.model import Alerts

pytestmark = pytest.mark.needs("crm_verify", "crm_simulate")


def simulate(file: Path, *words: str) -> dict[str, str]:
    """Let the scheduler work ``words`` out on ``file``, which is changed. Resource → the server it ends up on."""
    _, _, after = transition(file, *words).rpartition("Revised Cluster Status")
    return dict(re.findall(r"^ +\* (\S+)\s+\((?:ocf|stonith):\S+\):\s+Started (\S+)", after, re.MULTILINE))


def transition(file: Path, *words: str) -> str:
    """The same; what crm_simulate prints."""
    command = ["crm_simulate", "--simulate", "--xml-file", str(file), "--save-output", str(file), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """A cluster of two servers, everything started."""
    file = tmp_path / "cib.xml"
    file.write_bytes(cib.merge(fresh_cib(site()), composed(site())))
    simulate(file, "--node-up", "snow01", "--node-up", "snow02")
    return file


def test_pacemaker_accepts_it(running: Path) -> None:
    verify(running)


def verify(file: Path) -> None:
    done = subprocess.run(["crm_verify", "-VV", "--xml-file", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pacemaker_accepts_alerts(running: Path) -> None:
    told = replace(site(), alerts=Alerts("admins@example.org", "/usr/local/sbin/page-us"))
    running.write_bytes(cib.merge(running.read_bytes(), composed(told)))
    assert b"<recipient" in running.read_bytes()
    verify(running)


@pytest.mark.parametrize("turned", [False, True])
def test_every_domain_starts_where_it_is_preferred(tmp_path: Path, turned: bool) -> None:
    """Else the servers' memory is not shared out as it was worked out. Turned round, so that it is the preference that
    counts and not an order in which Pacemaker takes servers."""
    here = site()
    wanted = placement.spread(here.domains, [server.name for server in here.servers], here.apart)
    if turned:
        other = {"snow01": "snow02", "snow02": "snow01"}
        wanted = {name: other[server] for name, server in wanted.items()}
    assert sorted(wanted.values()) == ["snow01", "snow01", "snow02", "snow02"]
    file = tmp_path / "cib.xml"
    file.write_bytes(cib.merge(fresh_cib(here), cib.compose(here, wanted, options=options(here))))
    where = simulate(file, "--node-up", "snow01", "--node-up", "snow02")
    assert {name: where[name] for name in wanted} == wanted
    assert (where["fence-snow01"], where["fence-snow02"]) == ("snow02", "snow01")


def test_the_last_server_runs_everything_and_nothing_fails_back(running: Path) -> None:
    """Pairs too: a finite score must not leave one half of them down."""
    names = {"deploy01", "proxy01", "slurm01", "slurm02", "xsnow-vip"}
    lost = simulate(running, "--node-fail", "snow02")
    assert {name for name in names if lost.get(name) == "snow01"} == names
    back = simulate(running, "--node-up", "snow02")
    assert {name for name in names if back.get(name) == "snow01"} == names


def test_a_start_that_fails_on_the_last_server_is_tried_again_there(running: Path) -> None:
    """As long as the lost server's NFS lease lasts."""
    simulate(running, "--node-fail", "snow02", "--op-fail", "proxy01_start_0@snow01=1")
    again = simulate(running)
    assert (again["proxy01"], again["slurm02"]) == ("snow01", "snow01")


def test_of_three_servers_a_pair_stays_apart_when_one_is_lost(tmp_path: Path) -> None:
    here = site(3)
    file = tmp_path / "cib.xml"
    file.write_bytes(cib.merge(fresh_cib(here), composed(here)))
    where = simulate(file, *(word for server in here.servers for word in ("--node-up", server.name)))
    after = simulate(file, "--node-fail", where["slurm02"])
    assert after["slurm01"] != after["slurm02"]
    assert after["slurm01"] == where["slurm01"]


@pytest.mark.parametrize("half", ["migrate_to", "migrate_from"])
def test_a_migration_that_fails_is_followed_by_a_stop_on_both_servers_and_one_start(running: Path, half: str) -> None:
    """What the agent leaves open is decided so: never two copies, and never none for good."""
    source = simulate(running)["deploy01"]
    target = {"snow01": "snow02", "snow02": "snow01"}[source]
    move = f'<rsc_location id="cli-prefer-deploy01" rsc="deploy01" node="{target}" score="INFINITY"/>'
    running.write_text(running.read_text().replace("<constraints>", f"<constraints>{move}", 1))
    fails = source if half == "migrate_to" else target
    assert f"{half} on {fails}" in transition(running, "--op-fail", f"deploy01_{half}_0@{fails}=1")
    after = re.findall(r"Resource action: deploy01 +(stop|start|migrate_\w+) on (\S+)", transition(running))
    assert sorted(after[:2]) == [("stop", "snow01"), ("stop", "snow02")]
    assert after[2:] == [("start", target)]


def test_a_live_migration_is_told_from_a_restart_by_what_pacemaker_has_done(running: Path) -> None:
    """A domain whose config gives it a UUID has the same one after either: a restart would count as proof of live migration."""
    source = simulate(running)["deploy01"]
    target = {"snow01": "snow02", "snow02": "snow01"}[source]
    assert not any(cib_facts.arrived_live(running.read_bytes(), "deploy01", server) for server in (source, target))
    move = f'<rsc_location id="cli-prefer-deploy01" rsc="deploy01" node="{target}" score="INFINITY"/>'
    running.write_text(running.read_text().replace("<constraints>", f"<constraints>{move}", 1))
    assert "migrate_from on " + target in transition(running)
    assert cib_facts.arrived_live(running.read_bytes(), "deploy01", target)
    assert not cib_facts.arrived_live(running.read_bytes(), "deploy01", source)
    assert "start on " + target in transition(running, "--op-inject", f"deploy01_monitor_60000@{target}=7")
    assert not cib_facts.arrived_live(running.read_bytes(), "deploy01", target)


def element(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path)
    assert found is not None, path
    return found


@pytest.mark.parametrize(("orphans", "stops"), [("true", True), ("false", False)])
def test_a_domain_keeps_running_that_is_taken_out_as_is_said(running: Path, orphans: str, stops: bool) -> None:
    """`check` said that it is enough if its resource is unmanaged first: Pacemaker shut the domain down."""
    name = site().domains[0].name
    root = etree.fromstring(running.read_bytes())
    etree.SubElement(
        element(root, "configuration/crm_config/cluster_property_set"),
        "nvpair",
        id="orphans",
        name="stop-orphan-resources",
        value=orphans,
    )
    etree.SubElement(
        element(root, f".//primitive[@id='{name}']/meta_attributes"),
        "nvpair",
        id="unmanaged",
        name="is-managed",
        value="false",
    )
    running.write_bytes(etree.tostring(root))
    assert name in simulate(running)
    root = etree.fromstring(running.read_bytes())
    resources, constraints = element(root, "configuration/resources"), element(root, "configuration/constraints")
    resources.remove(element(root, f"configuration/resources/primitive[@id='{name}']"))
    for constraint in [one for one in constraints if name in one.attrib.values()]:
        constraints.remove(constraint)
    for reference in [one for one in root.iter("resource_ref") if one.get("id") == name]:
        if (parent := reference.getparent()) is not None:
            parent.remove(reference)
    running.write_bytes(etree.tostring(root))
    said = transition(running)
    assert re.search(rf"{name}\s.*ORPHANED Started", said)
    assert (re.search(rf"Resource action: {name} +stop on", said) is not None) is stops
    assert "stop-orphan-resources --update=false" in cib_merge.TAKE_OUT
