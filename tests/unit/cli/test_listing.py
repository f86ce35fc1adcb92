"""``snow list`` and ``snow show`` from the command line, whichever server is lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from broken_clusters import WHERE
from click.testing import CliRunner, Result
from simulated import CONF
from view_site import NAMES, OTHER, Site, code_of

from snowha.cli.tree import snow
from snowha.errors import CommandError
from snowha.operations import guest_systems


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(
        guest_systems,
        "ask",
        lambda hosts, places, domains: {(server, name): "up 3 days" for server in places for name in places[server]},
    )
    made = Site(tmp_path, monkeypatch)
    made.world.shared[CONF.replace("snow.conf", "active-domains.conf")] = (b"snow01 snow\ndeploy01 deploy\n", 0o644)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(snow, list(words))


def test_domains_in_snows_own_columns(site: Site) -> None:
    ended = run("list", "domains")
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert lines[0] == f"{'Domain':<20}  {'HW status':<10}  {'OS status':<40}  {'Roles':<20} {'Host':<20}"
    assert [line.split()[0] for line in lines[2:]] == sorted(NAMES)
    assert lines[2].split() == ["deploy01", "on", "up", "3", "days", "deploy", "snow01"]


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_what_a_lost_server_may_run_is_unknown_and_the_exit_code_says_so(site: Site, lost: str) -> None:
    """Its domains were listed as off, and booted a second time by whoever believed it."""
    site.lose(lost)
    ended = run("list", "domains", "--json")
    assert code_of(ended) == 3
    rows = {row["name"]: row for row in json.loads(ended.output)}
    assert {name: rows[name]["server"] for name in WHERE["snow01"]} == dict.fromkeys(WHERE["snow01"], OTHER[lost])
    assert {rows[name]["hardware"] for name in WHERE["snow02"]} == {"unknown"}
    servers = {row["name"]: row["domains"] for row in json.loads(run("list", "servers", "--json").output)}
    assert servers == {lost: None, OTHER[lost]: sorted(WHERE["snow01"])}


def test_what_a_server_does_not_say_is_unknown_and_the_exit_code_says_so(site: Site) -> None:
    """xl failed on a server that ssh reaches: the rows said `unknown`, and the exit code that all is known."""

    def failing(host: str, argv: Sequence[str]) -> str | None:
        if host == "snow02" and list(argv) == ["xl", "list"]:
            raise CommandError("xl list: cannot open libxl handle", where=host)
        return None

    site.world.fail = failing
    ended = run("list", "domains", "--json")
    assert code_of(ended) == 3 and "cannot open libxl handle" in str(ended.exception)
    assert "unknown" in {row["hardware"] for row in json.loads(ended.output)}
    assert code_of(run("list", "servers")) == 3


def test_a_domain_that_runs_twice_has_two_rows_and_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """sNow!'s list shows one of them, and all looks well."""
    ask = type(site.hosts["snow02"])._answer
    both = "Name ID Mem VCPUs State Time(s)\ndeploy01 7 256 1 -b---- 1.0\n"
    monkeypatch.setattr(
        type(site.hosts["snow02"]),
        "_answer",
        lambda host, words, input: (
            (0, both) if words == ["xl", "list"] and host.name == "snow02" else ask(host, words, input)
        ),
    )
    ended = run("list", "domains")
    assert code_of(ended) == 4 and "deploy01 runs on snow01 and snow02 at once" in str(ended.exception)
    assert [line.split()[-1] for line in ended.output.splitlines() if line.startswith("deploy01")] == [
        "snow01",
        "snow02",
    ]


def test_servers_and_one_domain(site: Site) -> None:
    ended = run("list", "servers")
    assert ended.exit_code == 0, ended.output
    assert ended.output.splitlines()[1].split() == ["snow01", "online", "4.20.5", "2560", "900", "deploy01", "slurm01"]
    shown = json.loads(run("show", "domain", "deploy01", "--json").output)
    assert (shown["servers"], shown["roles"], shown["state"]) == (["snow01"], ["deploy"], "running")
    text = run("show", "domain", "deploy01").output
    assert "/dev/snow_vg/deploy01-disk" in text and "running snow01" in text
    assert code_of(run("show", "domain", "depoly01")) == 2


def test_roles_that_cannot_be_read_hide_no_domain(site: Site) -> None:
    site.world.shared[CONF.replace("snow.conf", "active-domains.conf")] = (b"snow01 snow\nsnow01 x\n", 0o644)
    ended = run("list", "domains")
    assert ended.exit_code == 0 and "no roles are shown" in ended.output
    assert "slurm02" in ended.output
