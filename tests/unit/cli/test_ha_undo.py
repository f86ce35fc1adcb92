"""``snow ha undo`` from the command line, while somebody else is at work on the same site."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from domain_site import DomainSite
from view_site import code_of

from snowha.errors import SiteError
from snowha.live import connect
from snowha.live.context import SiteContext
from snowha.migration.undo import images
from snowha.migration.undo import steps as undoing
from snowha.plan.step import Step
from snowha.site import definition


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    """Of the steps the one that takes ha.toml from the servers."""
    whole = undoing.steps

    def last(context: SiteContext, passwords: Mapping[str, str], *, to: str = "") -> list[Step]:
        return [replace(step, needs=()) for step in whole(context, passwords, to=to)][-1:]

    monkeypatch.setattr(undoing, "steps", last)
    monkeypatch.setattr(images, "check_returns", lambda context, names: None)
    monkeypatch.setattr(connect, "known_passwords", lambda ha, **_: dict.fromkeys(("snow01", "snow02"), "secret"))
    return DomainSite(tmp_path, monkeypatch)


def kept(site: DomainSite) -> list[bytes]:
    """The ha.toml of every server that has one."""
    return [host.own[definition.PATH][0] for host in site.hosts.values() if definition.PATH in host.own]


@pytest.mark.parametrize(
    "words",
    [
        ("add", "domain", "new02", "--size", "1"),
        ("resize", "domain", "proxy01", "--memory", "512"),
        ("remove", "domain", "slurm02", "--yes"),
    ],
)
def test_what_somebody_else_does_until_the_lock_is_taken_is_not_left_behind(
    site: DomainSite, words: tuple[str, ...]
) -> None:
    """The cluster was dismantled with the ha.toml of before the question: a domain that was added while it was being answered was
    taken out of Pacemaker and not brought back, nor was it known to any server's ha.toml afterwards."""
    assert site.run("shutdown", "slurm02").exit_code == 0
    left: list[list[bytes]] = []

    def meanwhile() -> None:
        site.until_lock = lambda: None
        assert site.run(*words).exit_code == 0
        left.append(kept(site))

    site.until_lock = meanwhile
    ended = site.run("ha", "undo", "--yes")
    assert [kept(site)] == left and len(left[0]) == 2, "it was undone"
    assert code_of(ended) == 4 and "the site has changed since it was read: " in str(ended.exception)
    again = site.run("ha", "undo", "--yes")
    assert again.exit_code == 0 and kept(site) == [], again.output


@pytest.mark.parametrize("words", [(), ("--to", "images")])
def test_a_file_that_somebody_else_has_changed_since_undoes_nothing(site: DomainSite, words: tuple[str, ...]) -> None:
    """Two administrators have a file each: the domain that one of them added was left without a cluster by the other's undo."""
    file = Path("ha.toml")
    mine = file.read_text()
    assert site.run("add", "domain", "new02", "--size", "1").exit_code == 0
    file.write_text(mine)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    ended = site.run("ha", "undo", "--yes", *words)
    assert len(kept(site)) == 2
    assert code_of(ended) == 4 and "keeps a newer one" in str(ended.exception)
    assert isinstance(ended.exception, SiteError)
    assert ended.exception.remedy in ("to use the newer one: --site snow01", "to use the newer one: --site snow02")


def test_a_site_on_which_nobody_else_works_is_undone(site: DomainSite) -> None:
    ended = site.run("ha", "undo", "--yes")
    assert ended.exit_code == 0 and kept(site) == [], ended.output
    assert "nothing to undo" in site.run("ha", "undo", "--yes").output
