"""A domain that starts at boot behind Pacemaker's back writes the image that another server writes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from simulated import config, single_server

from snowha.errors import SiteError
from snowha.hosts.files import kept, remove_file
from snowha.hosts.local import LocalHost
from snowha.live import autostart
from snowha.live.context import SiteContext
from snowha.site import domain_config


class Site:
    """The files of one server below a folder, looked at by the real script."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.auto, self.configs, self.default = folder / "auto", folder / "domains", folder / "xendomains"
        self.auto.mkdir()
        self.configs.mkdir()
        self.default.write_text(f"XENDOMAINS_AUTO={self.auto}\n")
        self.kept = folder / "kept"
        self.host = LocalHost("snow01")
        domains = []
        for number, name in enumerate(("deploy01", "slurm01"), start=11):
            path = self.configs / f"{name}.cfg"
            path.write_text(config(name, number))
            domains.append(domain_config.parse(path.read_text(), where="x", path=str(path)))
        context, _, _ = single_server()
        self.context = SiteContext(
            replace(context.site, domains=tuple(domains), servers=context.site.servers[:1]), {"snow01": self.host}
        )
        text = (
            autostart.script()
            .replace("/etc/default/xendomains", str(self.default))
            .replace("/etc/xen/auto", str(self.auto))
        )
        monkeypatch.setattr(autostart, "script", lambda: text)
        monkeypatch.setattr(autostart, "remove_file", partial(remove_file, kept=str(self.kept)))
        monkeypatch.setattr(autostart, "kept", partial(kept, root=str(self.kept)))
        monkeypatch.setattr(autostart, "KEPT", str(self.kept))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path.resolve(), monkeypatch)


def absolute(site: Site) -> None:
    (site.auto / "10-deploy").symlink_to(site.configs / "deploy01.cfg")


def relative(site: Site) -> None:
    (site.auto / "deploy01.cfg").symlink_to("../domains/deploy01.cfg")


def through_a_linked_folder(site: Site) -> None:
    (site.auto.parent / "other").symlink_to(site.configs)
    (site.auto / "deploy01.cfg").symlink_to(site.auto.parent / "other" / "deploy01.cfg")


def copy(site: Site) -> None:
    (site.auto / "whatever").write_text((site.configs / "deploy01.cfg").read_text())


def hard_link(site: Site) -> None:
    (site.auto / "deploy01.cfg").hardlink_to(site.configs / "deploy01.cfg")


def linked_folder(site: Site) -> None:
    real = site.auto.parent / "real auto"
    site.auto.rmdir()
    real.mkdir()
    site.auto.symlink_to(real)
    (real / "deploy01").symlink_to(site.configs / "deploy01.cfg")


def half_a_copy(site: Site) -> None:
    (site.auto / "x").write_text("name = 'deploy01'\nmemory = ")


def not_mounted_yet(site: Site) -> None:
    (site.auto / "deploy01").symlink_to(site.configs / "deploy01.cfg")
    (site.configs / "deploy01.cfg").rename(site.configs / "away")


WAYS = [absolute, relative, through_a_linked_folder, copy, hard_link, linked_folder, half_a_copy, not_mounted_yet]


@pytest.mark.parametrize("way", WAYS)
def test_whatever_would_start_a_domain_is_found_taken_out_and_given_back(site: Site, way: object) -> None:
    way(site)  # type: ignore[operator]
    (site.auto / "theirs.cfg").write_text("name = 'theirs'\nmemory = 1\n")
    before = {path.name: (path.is_symlink(), path.exists() and path.read_text()) for path in site.auto.iterdir()}
    configs = sorted(path.name for path in site.configs.iterdir())
    assert "still starts 1 domains" in str(autostart.missing(site.context))
    (path,) = autostart.remove(site.host, site.context)
    assert autostart.missing(site.context) is None
    assert [one.name for one in site.auto.iterdir()] == ["theirs.cfg"]
    assert sorted(one.name for one in site.configs.iterdir()) == configs
    for lost, what in autostart.lost(site.host, site.context).items():
        assert Path(lost).name == Path(path).name
        autostart.restore(site.host, lost, what)
    after = {path.name: (path.is_symlink(), path.exists() and path.read_text()) for path in site.auto.iterdir()}
    assert after == before
    assert autostart.lost(site.host, site.context) == {}


def test_a_folder_that_is_the_configs_own_is_taken_away_as_a_link_and_no_config_is_lost(site: Site) -> None:
    site.auto.rmdir()
    site.auto.symlink_to(site.configs)
    assert autostart.remove(site.host, site.context) == [str(site.auto)]
    assert not site.auto.exists() and len(list(site.configs.iterdir())) == 2
    assert autostart.missing(site.context) is None
    assert autostart.lost(site.host, site.context) == {str(site.auto): str(site.configs)}


def test_where_others_start_from_the_folder_of_the_configs_a_person_decides(site: Site) -> None:
    site.default.write_text(f"XENDOMAINS_AUTO='{site.configs}'\n")
    with pytest.raises(SiteError, match="the folder of their configs") as caught:
        autostart.remove(site.host, site.context)
    assert "XENDOMAINS_AUTO" in caught.value.remedy
    assert len(list(site.configs.iterdir())) == 2


@pytest.mark.parametrize(
    "text",
    [
        "XENDOMAINS_AUTO=({})\n",
        "function folder { XENDOMAINS_AUTO={}; }\nfolder\n",
        "XENDOMAINS_AUTO=/nowhere\n[[ -d {0} ]] && XENDOMAINS_AUTO={0}\n",
        "source {0}/../settings\n",
        "declare -r XENDOMAINS_AUTO={}\n",
        "XENDOMAINS_SAVE=<(true)\nXENDOMAINS_AUTO='{}'\n",
    ],
)
def test_the_folder_is_what_bash_reads_as_xendomains_is_a_script_of_it(site: Site, text: str) -> None:
    """sh gave such a file up, or read another folder: the domain would have been started at boot beside Pacemaker's."""
    absolute(site)
    (site.auto.parent / "settings").write_text(f"XENDOMAINS_AUTO={site.auto}\n")
    site.default.write_text(text.replace("{ XEN", "{{ XEN").replace("; }", "; }}").format(site.auto))
    assert "still starts 1 domains" in str(autostart.missing(site.context))


@pytest.mark.parametrize(
    "text", ["XENDOMAINS_AUTO=\n", "XENDOMAINS_AUTO=''\n", "XENDOMAINS_AUTO=/x\nXENDOMAINS_AUTO=/nowhere\n"]
)
def test_a_folder_that_xendomains_does_not_look_into_starts_nothing(site: Site, text: str) -> None:
    absolute(site)
    site.default.write_text(text)
    assert autostart.missing(site.context) is None
