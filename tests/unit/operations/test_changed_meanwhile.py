"""``snow add``, ``resize`` and ``remove domain``, refused since the site has changed: what has, and what to do that helps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken_clusters import options
from domain_site import ACTIVE, DomainSite
from simulated import DOMAINS
from view_site import code_of

from snowha.cluster.cib import PREFERENCE
from snowha.errors import SiteError
from snowha.operations import stopped_pacemaker
from snowha.operations.domains import disks
from snowha.site import definition

VERBS = (
    ("add", "domain", "new01", "--size", "1"),
    ("resize", "domain", "proxy01", "--memory", "300"),
    ("remove", "domain", "slurm02", "--yes"),
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    made = DomainSite(tmp_path, monkeypatch)
    assert made.run("shutdown", "slurm02").exit_code == 0
    made.told.clear()
    return made


def refused(site: DomainSite, words: tuple[str, ...], meanwhile: Callable[[], object] = lambda: None) -> SiteError:
    """What is said if that happens until the lock is taken. Nothing is changed then."""

    def once() -> None:
        site.until_lock = lambda: None
        meanwhile()
        site.told.clear()

    site.told.clear()
    site.until_lock = once
    ended = site.run(*words)
    assert code_of(ended) == 4 and isinstance(ended.exception, SiteError), ended.output
    assert site.told == [] and site.config("new01") is None and site.config("slurm02")
    return ended.exception


def disarmed(site: DomainSite) -> None:
    site.changes.append(options(maintenance_mode="true"))


def stopped(site: DomainSite) -> None:
    """As `snow stop site` leaves it."""
    site.world.active.clear()
    for host in site.hosts.values():
        host.own[stopped_pacemaker.CIB_FILE] = (site.cib, 0o600)


def edited(site: DomainSite) -> None:
    """By hand: a domain has another preferred server."""
    before = site.cib
    site.cib = before.replace(f'score="{PREFERENCE}"'.encode(), b'score="1"')
    assert site.cib != before


def add_a_domain_that_ha_toml_lacks(site: DomainSite) -> None:
    """As another administrator does; the file in this folder is the older one."""
    file = Path("ha.toml")
    mine = file.read_text()
    site.run("add", "domain", "new02", "--size", "1")
    site.told.clear()
    file.write_text(mine)
    os.utime(file, (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.parametrize(
    ("happens", "said", "remedy"),
    [
        (disarmed, "maintenance-mode", "crm_attribute --type=crm_config --name=maintenance-mode --delete"),
        (stopped, "Pacemaker is stopped on every server", "start it first: snow start site"),
        (edited, "the cluster's configuration differs from ", "run `snow ha apply` first"),
    ],
)
def test_what_running_it_again_would_not_get_round_has_its_own_remedy(
    site: DomainSite, words: tuple[str, ...], happens: Callable[[DomainSite], None], said: str, remedy: str
) -> None:
    """It said to run this again, which is refused for the same reason, with another remedy."""
    error = refused(site, words, lambda: happens(site))
    assert error.message.startswith("the site has changed since the plan was made: ") and said in error.message
    assert remedy in error.remedy and "run this again" not in error.remedy
    same = refused(site, words)
    assert said in same.message and same.remedy == error.remedy


@pytest.mark.parametrize("words", VERBS)
def test_what_somebody_else_did_is_named_and_running_it_again_helps(site: DomainSite, words: tuple[str, ...]) -> None:
    """It named Pacemaker's configuration, and not the domain that had been added."""
    error = refused(site, words, lambda: site.run("add", "domain", "new02", "--size", "1"))
    assert f"{DOMAINS}/new02.cfg" in error.message and f"{definition.PATH} on snow01" in error.message
    assert "snow ha log" in error.remedy and "Then run this again" in error.remedy
    assert site.run(*words).exit_code == 0 and site.due() == []


@pytest.mark.parametrize("words", VERBS)
def test_a_file_of_ones_own_that_lacks_a_change_is_not_to_be_applied(site: DomainSite, words: tuple[str, ...]) -> None:
    """It said to run `snow ha apply`, which refuses the same file."""
    add_a_domain_that_ha_toml_lacks(site)
    error = refused(site, words)
    assert "keeps a newer one" in error.message and error.remedy.startswith("to use the newer one: --site snow0")


@pytest.mark.parametrize(
    "words",
    [
        ("stop", "site", "--yes"),
        ("drain", "snow01", "--yes"),
        ("shutdown", "slurm01"),
        ("move", "slurm01"),
        ("disarm",),
    ]
    + [("images", "restore", "slurm02", "--yes"), ("ha", "check", "--fix")],
)
def test_nothing_is_done_by_a_file_of_ones_own_that_lacks_a_change(site: DomainSite, words: tuple[str, ...]) -> None:
    """A server that it lacks is asked nothing: `snow stop site` left domains running there, while the storage was maintained."""
    add_a_domain_that_ha_toml_lacks(site)
    ended = site.run(*words)
    assert code_of(ended) == 4 and isinstance(ended.exception, SiteError) and site.told == []
    assert "keeps a newer one" in ended.exception.message and ended.exception.remedy.startswith(
        "to use the newer one: --site "
    )


@pytest.mark.parametrize("words", VERBS)
def test_a_single_server_on_which_somebody_else_adds_a_domain(site: DomainSite, words: tuple[str, ...]) -> None:
    """Nothing was looked at under the lock but its own ha.toml, and that last: a domain that was to be removed was not started at
    boot any more, and was still one of the site's."""
    site.alone()
    error = refused(site, words, lambda: site.run("add", "domain", "new02", "--size", "1"))
    assert f"{DOMAINS}/new02.cfg" in error.message
    ended = site.run(*words)
    assert ended.exit_code == 0, ended.output


def test_an_entry_that_comes_into_snows_file_meanwhile_makes_no_half_of_a_domain(site: DomainSite) -> None:
    """sNow! numbers its domains by line: the disks and the config were made before that was seen, and running it again was
    refused since they were there."""

    def entered() -> None:
        text, mode = site.world.shared[ACTIVE]
        site.world.shared[ACTIVE] = (text + b"other01 role\n", mode)

    error = refused(site, VERBS[0], entered)
    assert "its addresses by sNow!'s files are others" in error.message and "run this again" in error.remedy
    assert site.run(*VERBS[0]).exit_code == 0 and "192.168.8.8" in site.config("new01")


def test_a_cluster_that_is_stopped_is_no_single_server(site: DomainSite) -> None:
    """A domain that was removed after `snow stop site` was left in Pacemaker's configuration, which started it without a config;
    one that was to be added was told to finish the migration."""
    stopped(site)
    for words in VERBS:
        assert "Pacemaker is stopped on every server" in refused(site, words).message


def test_an_entry_that_comes_while_its_disk_is_made_is_told_with_what_helps(
    site: DomainSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To run it again was refused: its disk and its config were there, and the plan for them was another one."""
    make = disks.make

    def made(*args: Any) -> None:
        make(*args)
        text, mode = site.world.shared[ACTIVE]
        site.world.shared[ACTIVE] = (text + b"other01 role\n", mode)

    with monkeypatch.context() as patched:
        patched.setattr(disks, "make", made)
        ended = site.run(*VERBS[0])
    said = " ".join(ended.output.split())
    assert "take back what was made: snow remove domain new01 --images; then run this again" in said
    assert site.run("remove", "domain", "new01", "--images", "--yes").exit_code == 0
    ended = site.run(*VERBS[0])
    assert ended.exit_code == 0 and "192.168.8.8" in site.config("new01"), ended.output
