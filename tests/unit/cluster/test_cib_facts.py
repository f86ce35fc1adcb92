"""What is read of a cluster's configuration beside crm_mon, and what disarms it, before Pacemaker's own scheduler."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cluster_sites import composed, fresh_cib, options, site
from lxml import etree

from snowha.cluster import cib, cib_facts, cib_overrides
from snowha.errors import SiteError

NOW = datetime(2026, 11, 27, 7, 10, 5, tzinfo=UTC)


def simulate(file: Path, *words: str) -> str:
    """What crm_simulate prints; ``file`` is changed."""
    done = subprocess.run(
        ["crm_simulate", "--simulate", "--xml-file", str(file), "--save-output", str(file), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def committed() -> etree._Element:
    return etree.fromstring(cib.merge(fresh_cib(site()), composed(site())))


def disarmed(root: etree._Element) -> bytes:
    """As ``cibadmin --create`` leaves it."""
    section = root.find("configuration/crm_config")
    assert section is not None
    section.append(etree.fromstring(cib_overrides.disarming(NOW)))
    return etree.tostring(root)


def test_which_resources_migrate_live() -> None:
    assert cib_facts.live_migratable(etree.tostring(committed())) == options(site()).live_migration


def test_what_is_to_run_is_read_from_a_stopped_clusters_configuration() -> None:
    """Of two servers' copies the older one would be believed, or a domain that is kept off be said to be started."""
    root = committed()
    meta = root.find(".//primitive[@id='slurm01']/meta_attributes")
    assert meta is not None
    etree.SubElement(meta, "nvpair", {"id": "t", "name": "target-role", "value": "stopped"})
    found = cib_facts.target_roles(etree.tostring(root))
    assert (found["slurm01"], found["slurm02"]) == ("stopped", "") and "compute01" not in found
    for name, value in (("admin_epoch", "1"), ("epoch", "12"), ("num_updates", "x")):
        root.set(name, value)
    assert cib_facts.version(etree.tostring(root)) == (1, 12, 0)
    with pytest.raises(SiteError, match="is not XML"):
        cib_facts.target_roles(b"<cib")


def test_what_a_move_has_left() -> None:
    root = committed()
    assert cib_facts.left_by_moves(etree.tostring(root)) == frozenset()
    section = root.find("configuration/constraints")
    assert section is not None
    etree.SubElement(section, "rsc_location", {"id": "cli-prefer-deploy01", "rsc": "deploy01", "node": "snow02"})
    assert cib_facts.left_by_moves(etree.tostring(root)) == {"deploy01"}


@pytest.mark.needs("crm_resource")
@pytest.mark.parametrize(("lifetime", "left"), [("--lifetime=PT30M", {"slurm02"}), ("--force", set())])
def test_what_an_interrupted_move_has_left_is_told_from_what_an_administrator_wants(
    tmp_path: Path, lifetime: str, left: set[str]
) -> None:
    """As crm_resource itself writes it. A domain would be tied to one server for half an hour, also if that is lost."""
    file = tmp_path / "cib.xml"
    file.write_bytes(etree.tostring(committed()))
    words = ["crm_resource", "--move", "--resource=slurm02", "--node=snow02", lifetime, "--force"]
    subprocess.run(words, env={**os.environ, "CIB_file": str(file)}, check=True, capture_output=True)
    assert cib_facts.left_by_moves(file.read_bytes()) == {"slurm02"}
    assert cib_facts.left_by_interrupted_moves(file.read_bytes()) == left


def test_the_time_is_in_what_disarms() -> None:
    root = committed()
    assert cib_facts.disarmed_since(etree.tostring(root)) == {}
    (since,) = cib_facts.disarmed_since(disarmed(root)).values()
    assert since == NOW


def test_what_is_no_configuration_is_said_so() -> None:
    with pytest.raises(SiteError):
        cib_facts.live_migratable(b"Could not connect to the CIB")


def test_disarming_is_no_difference_for_the_migration() -> None:
    """`snow ha apply` would take a part of it back, fencing first."""
    root = committed()
    current = disarmed(root)
    assert cib.differs(current, composed(site())) == ()
    assert len(cib_facts.disarmed_since(current)) == 1
    merged = etree.fromstring(cib.merge(current, composed(site())))
    (pairs,) = (one for one in merged.iter("cluster_property_set") if one.get("id", "").startswith("snow-disarmed-"))
    assert {pair.get("name"): pair.get("value") for pair in pairs} == {
        "maintenance-mode": "true",
        "stonith-enabled": "false",
    }


@pytest.mark.needs("crm_verify", "crm_simulate")
def test_nobody_is_fenced_and_nothing_started_while_disarmed(tmp_path: Path) -> None:
    """A switch is replaced, and two servers that lose sight of each other run every domain twice, or cut each other's power."""
    file = tmp_path / "cib.xml"
    file.write_bytes(etree.tostring(committed()))
    simulate(file, "--node-up", "snow01", "--node-up", "snow02")
    running = file.read_bytes()
    file.write_bytes(disarmed(etree.fromstring(running)))
    verified = subprocess.run(["crm_verify", "--xml-file", str(file)], check=False, capture_output=True, text=True)
    assert "rror" not in verified.stderr.replace("stonith-enabled", ""), verified.stderr
    said = simulate(file, "--node-fail", "snow02")
    _, _, transition = said.partition("Transition Summary")
    assert not re.search(r"\* (?:Fence|Start|Stop|Move|Migrate|Recover)", transition), said

    file.write_bytes(running)
    assert re.search(r"\* Fence .* snow02", simulate(file, "--node-fail", "snow02"))


@pytest.mark.needs("crm_simulate")
@pytest.mark.parametrize(
    ("sets", "is_so"),
    [
        ("", False),
        (
            '<cluster_property_set id="a"><nvpair id="a1" name="maintenance-mode" value="{}"/></cluster_property_set>',
            True,
        ),
        (
            '<cluster_property_set id="a" score="5"><nvpair id="a1" name="maintenance-mode" value="{}"/></cluster_property_set>'
            '<cluster_property_set id="b" score="+9"><nvpair id="b1" name="maintenance-mode" value="no"/></cluster_property_set>',
            False,
        ),
        (
            '<cluster_property_set id="a" score="-INFINITY"><nvpair id="a1" name="maintenance-mode" value="0"/>'
            '</cluster_property_set><cluster_property_set id="b" score="-9"><nvpair id="b1" name="maintenance-mode" value="{}"/>'
            "</cluster_property_set>",
            True,
        ),
    ],
)
@pytest.mark.parametrize("value", ["true", "Yes", "1"])
@pytest.mark.parametrize("first", ["", "false", "on"])
def test_maintenance_mode_is_read_as_pacemaker_reads_it(
    tmp_path: Path, sets: str, is_so: bool, value: str, first: str
) -> None:
    """It would be said that Pacemaker starts a domain as soon as it runs again, while it does not; or the other way round."""
    root = committed()
    section = root.find("configuration/crm_config")
    assert section is not None
    for one in etree.fromstring(f"<all>{sets.format(value)}</all>"):
        section.append(one)
    if first:
        etree.SubElement(section[0], "nvpair", {"id": "first", "name": "maintenance-mode", "value": first})
    file = tmp_path / "cib.xml"
    file.write_bytes(etree.tostring(root))
    assert section[0].get("id") == "cib-bootstrap-options"
    wanted = first == "on" if first else is_so
    assert cib_facts.in_maintenance(file.read_bytes()) is wanted
    _, _, transition = simulate(file, "--node-up", "snow01", "--node-up", "snow02").partition("Transition Summary")
    assert bool(re.search(r"\* Start .* deploy01", transition)) is not wanted, transition


ORDER = ("slurm02", "slurm01", "proxy01", "deploy01", "fence-snow01", "fence-snow02")


@pytest.fixture
def running(tmp_path: Path) -> Path:
    file = tmp_path / "cib.xml"
    file.write_bytes(etree.tostring(committed()))
    simulate(file, "--node-up", "snow01", "--node-up", "snow02")
    return file


def stopped(cib_: bytes) -> bytes:
    """As the two commits of `snow stop site` leave it."""
    root = etree.fromstring(cib_)
    for section, text in (
        ("constraints", cib_overrides.stop_order(ORDER)),
        ("crm_config", cib_overrides.stopping(NOW)),
    ):
        root.find(f"configuration/{section}").append(etree.fromstring(text))  # type: ignore[union-attr]
    return etree.tostring(root)


def test_what_stops_a_site_is_no_difference_for_the_migration_and_has_its_time() -> None:
    """`snow ha apply` during the work would start the domains on a storage that is being taken apart."""
    current = stopped(etree.tostring(committed()))
    assert cib.differs(current, composed(site())) == ()
    (since,) = cib_facts.stopped_since(current).values()
    assert since == NOW and cib_facts.disarmed_since(current) == {}
    merged = cib.merge(current, composed(site()))
    assert cib_facts.stopped_since(merged) == cib_facts.stopped_since(current)


@pytest.mark.needs("crm_verify", "crm_simulate")
def test_domains_stop_in_their_order_and_the_fence_devices_last(running: Path) -> None:
    """The first domain of ha.toml is what the others boot from; and whoever cannot be stopped must be fenced until the end."""
    running.write_bytes(stopped(running.read_bytes()))
    verified = subprocess.run(
        ["crm_verify", "-VV", "--xml-file", str(running)], check=False, capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stderr
    stops = re.findall(r"Resource action: (\S+) +stop on", simulate(running))
    assert [name for name in stops if name in ORDER] == list(ORDER)
    assert "xsnow-vip" in stops


@pytest.mark.needs("crm_simulate")
def test_nothing_starts_before_it_is_taken_back_and_then_everything_does(running: Path) -> None:
    before = running.read_bytes()
    running.write_bytes(stopped(before))
    simulate(running)
    assert not re.search(
        r"Resource action: \S+ +start", simulate(running, "--node-up", "snow01", "--node-up", "snow02")
    )
    root = etree.fromstring(running.read_bytes())
    for section, tag in (("crm_config", "cluster_property_set"), ("constraints", "rsc_order")):
        inside = root.find(f"configuration/{section}")
        assert inside is not None
        for one in inside.findall(tag):
            if (one.get("id") or "").startswith("snow-stop"):
                inside.remove(one)
    running.write_bytes(etree.tostring(root))
    said = simulate(running)
    assert set(re.findall(r"Resource action: (\S+) +start on", said)) == {*ORDER, "xsnow-vip"}
