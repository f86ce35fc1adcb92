"""``snow resize domain`` from the command line: a size changed, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from domain_site import MIB, DomainSite, image
from simulated import DOMAINS
from view_site import code_of

from snowha.operations.domains import disks


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    return DomainSite(tmp_path, monkeypatch)


def test_memory_counts_from_the_next_start_on_and_pacemaker_is_told(site: DomainSite) -> None:
    """The time that Pacemaker gives a migration depends on it: `snow ha apply` would change that later."""
    before = site.config("proxy01")
    ended = site.run("resize", "domain", "proxy01", "--memory", "512", "--vcpus", "2")
    assert ended.exit_code == 0, ended.output
    after = site.config("proxy01")
    assert after.replace("vcpus       = 2\n", "") == before.replace("'256'", "'512'") and "vcpus       = 2\n" in after
    assert "memory: 256 MiB now, 512 MiB from its next start on" in ended.output
    assert "snow shutdown proxy01, then snow boot proxy01" in ended.output
    assert "survived" in ended.output
    assert site.world.running["proxy01"] == "snow02" and site.domids["proxy01"] == 5, "it was restarted"
    assert site.due() == []
    site.told.clear()
    ended = site.run("resize", "domain", "proxy01", "--memory", "512")
    assert ended.exit_code == 0 and "nothing to change" in ended.output and site.told == []


def test_a_disk_grows_and_its_content_stays(site: DomainSite) -> None:
    assert site.run("shutdown", "proxy01").exit_code == 0
    before = site.world.disks[image("proxy01")]
    config = site.config("proxy01")
    ended = site.run("resize", "domain", "proxy01", "--disk", "3")
    assert ended.exit_code == 0, ended.output
    assert site.world.disks[image("proxy01")] == before + bytes(MIB) and site.config("proxy01") == config
    assert "2 MiB now, 3 MiB then" in ended.output and "resize2fs /dev/xvda2" in ended.output
    ended = site.run("resize", "domain", "proxy01", "--disk", "4", "--vdev", "xvda1")
    assert ended.exit_code == 0 and len(site.world.disks[image("proxy01", "swap")]) == 4 * MIB, ended.output


def test_a_disk_never_shrinks_and_never_changes_under_a_domain(site: DomainSite) -> None:
    """What is behind its new end would be lost; a running domain's device would have another size than the domain knows."""
    ended = site.run("resize", "domain", "proxy01", "--disk", "3")
    assert code_of(ended) == 4 and "only while the domain is off" in str(ended.exception)
    site.run("shutdown", "proxy01")
    site.told.clear()
    ended = site.run("resize", "domain", "proxy01", "--disk", "1")
    assert code_of(ended) == 4 and "cannot be made smaller" in str(ended.exception)
    site.free = MIB - 1
    ended = site.run("resize", "domain", "proxy01", "--disk", "3")
    assert code_of(ended) == 4 and "1 MiB are needed" in str(ended.exception)
    assert site.told == [] and len(site.world.disks[image("proxy01")]) == 2 * MIB


def test_what_no_server_has_is_refused_and_a_dry_run_changes_nothing(site: DomainSite) -> None:
    before = site.config("proxy01")
    ended = site.run("resize", "domain", "proxy01", "--memory", "100000")
    assert code_of(ended) == 4 and "no server has more than" in str(ended.exception)
    assert site.run("resize", "domain", "proxy01", "--memory", "512", "--dry-run").exit_code == 0
    assert site.config("proxy01") == before and site.told == []


def test_a_single_server_has_a_limit_too(site: DomainSite) -> None:
    """Its config was written, and after its next shutdown the domain could not be started any more."""
    site.alone()
    before = site.config("proxy01")
    ended = site.run("resize", "domain", "proxy01", "--memory", "100000")
    assert code_of(ended) == 4 and "no server has more than" in str(ended.exception)
    ended = site.run("add", "domain", "new01", "--size", "2", "--memory", "100000")
    assert code_of(ended) == 4 and "no server has more than" in str(ended.exception)
    assert site.config("proxy01") == before and site.told == []


def test_on_a_single_server_a_volume_grows(site: DomainSite) -> None:
    site.alone()
    site.run("shutdown", "proxy01")
    site.told.clear()
    ended = site.run("resize", "domain", "proxy01", "--disk", "3", "--memory", "512")
    assert ended.exit_code == 0, ended.output
    assert site.told == ["snow01: lvextend --yes --size 3145728b /dev/snow_vg/proxy01-disk"]
    assert "'512'" in site.config("proxy01")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["proxy01"], "no new size is given"),
        (["proxy01", "--vdev", "xvda1", "--memory", "1"], "--vdev needs --disk"),
        (["proxy0", "--memory", "1"], "did you mean 'proxy01'"),
        (["domains", "--memory", "1"], "there is no domain 'domains'"),
        (["proxy01", "--memory", "-1"], "it cannot be '-1'"),
        (["proxy01", "--disk", "1.5"], "a whole number"),
    ],
)
def test_wrong_input_is_told_before_any_server_is_asked(site: DomainSite, words: list[str], said: str) -> None:
    site.hosts.clear()
    ended = site.run("resize", "domain", *words)
    assert code_of(ended) == 2 and said in str(ended.exception), ended.output


def test_a_disk_that_is_none_is_named_with_those_that_are(site: DomainSite) -> None:
    ended = site.run("resize", "domain", "proxy01", "--disk", "3", "--vdev", "xvdz")
    assert code_of(ended) == 2 and "--vdev xvda2|xvda1" in str(ended.exception)


def written(site: DomainSite, path: str = f"{DOMAINS}/proxy01.cfg") -> None:
    """By somebody's hand, without the lock."""
    text, mode = site.world.shared[path]
    site.world.shared[path] = (text + b"extra = 'mitigations=off'\n", mode)


def test_what_is_written_into_its_config_until_the_lock_is_taken_stays(site: DomainSite) -> None:
    """A setting that makes no other domain of it for snow-ha, as a kernel's argument, was gone without a word; or that was seen
    when the disk had been enlarged."""
    site.run("shutdown", "proxy01")
    site.told.clear()
    site.until_lock = lambda: written(site)
    ended = site.run("resize", "domain", "proxy01", "--memory", "512", "--disk", "3")
    assert code_of(ended) == 4 and f"since the plan was made: {DOMAINS}/proxy01.cfg" in str(ended.exception)
    assert "mitigations=off" in site.config("proxy01") and "'256'" in site.config("proxy01") and site.told == []
    site.until_lock = lambda: None
    assert site.run("resize", "domain", "proxy01", "--memory", "512", "--disk", "3").exit_code == 0


def test_what_is_written_into_its_config_while_its_disk_is_enlarged_stays(
    site: DomainSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan's config would be written over it."""
    grow = disks.grow

    def grown(*args: Any) -> None:
        grow(*args)
        written(site)

    site.run("shutdown", "proxy01")
    monkeypatch.setattr(disks, "grow", grown)
    ended = site.run("resize", "domain", "proxy01", "--memory", "512", "--disk", "3")
    assert ended.exit_code != 0 and "was changed meanwhile" in ended.output and "run this again" in ended.output
    assert "mitigations=off" in site.config("proxy01") and "'256'" in site.config("proxy01")
    assert site.run("resize", "domain", "proxy01", "--memory", "512", "--disk", "3").exit_code == 0
