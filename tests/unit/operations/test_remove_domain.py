"""``snow remove domain`` from the command line: it leaves the site whole, and its images stay unless it is said that they go."""

from __future__ import annotations

from pathlib import Path

import pytest
from domain_site import ACTIVE, DomainSite, image
from simulated import DOMAINS
from view_site import code_of

from snowha.site import definition, ha_toml


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    return DomainSite(tmp_path, monkeypatch)


def off(site: DomainSite, name: str = "proxy01") -> None:
    assert site.run("shutdown", name).exit_code == 0
    site.told.clear()


def test_it_leaves_the_site_and_its_images_stay(site: DomainSite) -> None:
    """A domain left in one of the places is started again, or makes every verb fail."""
    off(site)
    before = dict(site.world.disks)
    entries = site.text(ACTIVE)
    ended = site.run("remove", "domain", "proxy01", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.resource("proxy01") is None and b"proxy01" not in site.cib
    assert site.config("proxy01") is None
    kept = [content for host in site.hosts.values() for _, content, _ in host.kept.get(f"{DOMAINS}/proxy01.cfg", ())]
    assert any(b"name        = 'proxy01'" in content for content in kept), "its config is not kept"
    for text in (Path("ha.toml").read_text(), *(host.text(definition.PATH) or "" for host in site.hosts.values())):
        assert "proxy01" not in ha_toml.parse(definition.body(text), where="").domains
    assert site.world.disks == before and f"stays: {image('proxy01')}" in ended.output
    assert site.text(ACTIVE) == entries, "the addresses of all behind it would be others"
    assert site.due() == []
    assert code_of(site.run("remove", "domain", "proxy01", "--yes")) == 2


def test_its_images_go_if_that_is_said(site: DomainSite) -> None:
    off(site)
    site.world.disks[f"{image('proxy01')}.manifest"] = b"{}"
    site.world.disks["/sNow/domains/proxy01/notes"] = b"the administrator's"
    ended = site.run("remove", "domain", "proxy01", "--images", "--yes")
    assert ended.exit_code == 0, ended.output
    assert [path for path in site.world.disks if "/proxy01/" in path] == ["/sNow/domains/proxy01/notes"]
    assert not {image("proxy01"), image("proxy01", "swap")} & site.world.leases.records
    said = [line for line in site.told if "cibadmin --replace" in line or "rm -f" in line]
    assert "cibadmin" in said[0], "Pacemaker could start it while its images go"
    assert f"removed for good: {image('proxy01')}" in ended.output and site.due() == []


def test_one_that_runs_or_may_be_started_is_refused(site: DomainSite) -> None:
    """Its images would be removed under it; Pacemaker would start it between two steps."""
    before = site.cib
    ended = site.run("remove", "domain", "proxy01", "--images", "--yes")
    assert code_of(ended) == 4 and "it runs on snow02" in str(ended.exception)
    assert "snow shutdown proxy01" in str(ended.exception)
    del site.world.running["proxy01"]
    ended = site.run("remove", "domain", "proxy01", "--yes")
    assert code_of(ended) == 4 and "Pacemaker would start it" in str(ended.exception)
    assert site.cib == before and site.told == []


def test_it_asks_first_and_a_dry_run_changes_nothing(site: DomainSite) -> None:
    off(site)
    before = site.cib
    ended = site.run("remove", "domain", "proxy01")
    assert code_of(ended) == 4 and "there is no terminal to ask on" in str(ended.exception)
    ended = site.run("remove", "domain", "proxy01", "--images", "--dry-run")
    assert ended.exit_code == 0 and "removed for good" in ended.output
    assert site.cib == before and site.config("proxy01") and site.told == []


def test_an_image_that_another_domain_has_stays(site: DomainSite) -> None:
    """A config can name an image in another one's folder."""
    off(site)
    shared = "format=raw,vdev=xvdb,access=ro,target=" + image("proxy01")
    text = site.config("deploy01").replace("disk        = [", f"disk        = [ '{shared}',")
    site.config("deploy01", text.encode())
    text = site.config("proxy01").replace("access=rw", "access=ro")
    site.config("proxy01", text.encode())
    site.apply()
    ended = site.run("remove", "domain", "proxy01", "--images", "--yes")
    assert code_of(ended) == 4 and "is also a disk of deploy01" in str(ended.exception), ended.output
    assert image("proxy01") in site.world.disks


def test_a_group_to_keep_apart_goes_with_the_last_but_one(site: DomainSite) -> None:
    file = Path("ha.toml")
    file.write_text(file.read_text() + '\n[[apart]]\ndomains = ["slurm01", "slurm02"]\n')
    site.apply()
    off(site, "slurm02")
    ended = site.run("remove", "domain", "slurm02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert ha_toml.parse(file.read_text(), where="").apart == () and b"snow-apart" not in site.cib and site.due() == []


@pytest.mark.parametrize("word", ["cibadmin --replace", "snow-lease forget", "rm -f --"])
def test_a_run_that_failed_is_gone_on_with(site: DomainSite, word: str) -> None:
    """Half of a domain would be left: its config makes `snow ha init` find it again."""
    off(site)
    site.refused = word
    assert site.run("remove", "domain", "proxy01", "--images", "--yes").exit_code != 0
    assert site.config("proxy01"), "nobody would know of what is left"
    site.refused = ""
    ended = site.run("remove", "domain", "proxy01", "--images", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.config("proxy01") is None and image("proxy01") not in site.world.disks and site.due() == []


def test_on_a_single_server_its_volumes_and_its_start_at_boot_go(site: DomainSite) -> None:
    site.alone()
    off(site)
    ended = site.run("remove", "domain", "proxy01", "--images", "--yes")
    assert ended.exit_code == 0, ended.output
    assert "/etc/xen/auto/proxy01.cfg" not in site.hosts["snow01"].links
    assert "/etc/xen/auto/deploy01.cfg" in site.hosts["snow01"].links
    assert [path for path in site.world.disks if "proxy01" in path] == []
    assert "proxy01" not in ha_toml.parse(Path("ha.toml").read_text(), where="").domains


@pytest.mark.parametrize(
    ("name", "said"), [("proxy0", "did you mean 'proxy01'"), ("domains", "there is no domain domains")]
)
def test_a_name_that_is_none_removes_nothing(site: DomainSite, name: str, said: str) -> None:
    ended = site.run("remove", "domain", name, "--yes")
    assert code_of(ended) == 2 and said in str(ended.exception) and site.told == []
    assert code_of(site.run("remove", "domain", "slurm[01-02]", "--yes")) == 2
