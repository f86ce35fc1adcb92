"""``snow ha apply`` from the command line, while somebody else is at work on the same site."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from domain_site import DomainSite
from view_site import code_of

from snowha.cli import ha_apply
from snowha.errors import SiteError
from snowha.live import connect, definition
from snowha.live.context import SiteContext
from snowha.migration import preflight
from snowha.migration.steps import all_steps
from snowha.plan.step import Step


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    """Of the steps those that write what a site is; all before them are done."""

    def writing(context: SiteContext, passwords: Mapping[str, str]) -> list[Step]:
        steps = all_steps(context, passwords)
        return [replace(step, needs=()) for step in steps if step.id in ("pacemaker.cib", definition.STEP)]

    monkeypatch.setattr(ha_apply, "all_steps", writing)
    monkeypatch.setattr(preflight, "check", lambda context, passwords: ())
    monkeypatch.setattr(connect, "known_passwords", lambda ha, **_: dict.fromkeys(("snow01", "snow02"), "secret"))
    return DomainSite(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ("add", "domain", "new02", "--size", "1"),
        ("resize", "domain", "proxy01", "--memory", "512"),
        ("remove", "domain", "slurm02", "--yes"),
    ],
)
def test_what_somebody_else_does_until_the_lock_is_taken_stays(site: DomainSite, words: tuple[str, ...]) -> None:
    """The checks before a migration take minutes, and ha.toml was read before them: a domain that was added meanwhile was taken
    out of Pacemaker, and one that was removed was there again."""
    assert site.run("shutdown", "slurm02").exit_code == 0
    left: list[bytes] = []

    def meanwhile() -> None:
        site.until_lock = lambda: None
        assert site.run(*words).exit_code == 0
        left.append(site.cib)

    site.until_lock = meanwhile
    ended = site.run("ha", "apply", "--yes")
    assert [site.cib] == left and site.due() == [], "it was undone"
    assert code_of(ended) == 4 and "the site has changed since it was read: " in str(ended.exception)
    again = site.run("ha", "apply", "--yes")
    assert again.exit_code == 0 and "nothing to do" in again.output


def test_a_site_on_which_nobody_else_works_is_changed(site: DomainSite) -> None:
    for host in site.hosts.values():
        del host.own["/etc/snow-ha/ha.toml"]
    ended = site.run("ha", "apply", "--yes")
    assert ended.exit_code == 0 and "✓ Copy ha.toml to every server" in ended.output, ended.output
    assert site.due() == []


def test_a_file_that_somebody_else_has_changed_since_is_not_applied(site: DomainSite) -> None:
    """Two administrators have a file each: what one of them did was taken back by the other one's next apply."""
    file = Path("ha.toml")
    mine = file.read_text()
    assert site.run("add", "domain", "new02", "--size", "1").exit_code == 0
    left = site.cib
    file.write_text(mine)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    ended = site.run("ha", "apply", "--yes")
    assert code_of(ended) == 4 and "keeps a newer one" in str(ended.exception)
    assert isinstance(ended.exception, SiteError)
    assert "--site snow0" in ended.exception.remedy
    assert site.cib == left
    subprocess.run(shlex.split(ended.exception.remedy.partition("to replace it: ")[2]), check=True)
    ended = site.run("ha", "apply", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.cib != left


@pytest.mark.parametrize("words", [(), ("--json",), ("--save", "saved.plan"), ("--until", "pacemaker.cib")])
def test_a_plan_of_a_file_that_apply_refuses_is_refused_like_it(site: DomainSite, words: tuple[str, ...]) -> None:
    """The plan showed what was never going to be done, a domain taken out of Pacemaker, without a word of why it would not be."""
    file = Path("ha.toml")
    mine = file.read_text()
    assert site.run("add", "domain", "new02", "--size", "1").exit_code == 0
    newer = file.read_text()
    file.write_text(mine)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    applied, planned = site.run("ha", "apply", "--yes"), site.run("ha", "plan", *words)
    assert (code_of(planned), planned.output, str(planned.exception)) == (4, "", str(applied.exception))
    assert isinstance(planned.exception, SiteError) and isinstance(applied.exception, SiteError)
    assert planned.exception.remedy == applied.exception.remedy
    assert not Path("saved.plan").exists()
    file.write_text(newer)
    assert site.run("ha", "plan", *words).exit_code == 0
