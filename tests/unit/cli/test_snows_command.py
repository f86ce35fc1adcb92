"""What is about compute nodes goes to sNow!'s own command: with both in place, nobody has to know which `snow` he types."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from snowha.cli import snows_command
from snowha.cli.tree import snow
from snowha.errors import InputError, MachineError

TOP = Path(__file__).parents[3]
NODES = {"compute": {name: {"cluster": "rack1"} for name in ("n01", "n02", "n03", "login01")}}


class HandedOn(Exception):
    """In place of another program."""


@pytest.fixture
def handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A site's ha.toml in this folder, sNow! 1.x beside it, and what its command was called with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ha.toml").write_text((TOP / "docs/ha.toml.sample").read_text())
    own = tmp_path / "snow-tools/sbin/snow"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/bash\n# This is the sNow! Command Line Interface\n")
    own.chmod(0o755)
    (tmp_path / "snow-tools/etc").mkdir()
    (tmp_path / "snow-tools/etc/nodes.json").write_text(json.dumps(NODES))
    monkeypatch.setattr(snows_command, "PLACES", (str(tmp_path / "sbin/snow"), str(own)))
    called: list[list[str]] = []

    def execute(path: str, argv: list[str]) -> None:
        assert path == argv[0] == str(own)
        called.append(argv[1:])
        raise HandedOn

    monkeypatch.setattr("os.execv", execute)
    monkeypatch.setattr("snowha.live.view.observe", no_server)
    return called


def no_server(*_: object, **__: object) -> None:
    raise InputError("the servers were asked")


def run(line: str) -> Result:
    return CliRunner().invoke(snow, line.split(), prog_name="snow")


@pytest.mark.parametrize(
    "line",
    [
        "list nodes",
        "list templates",
        "show nodes n01",
        "add node n04 --cluster rack1",
        "remove image old",
        "clone node n01 golden stateless",
        "set node n01 --image golden",
        "chroot golden",
        "deploy n01 centos-7 force",
        "boot n[01-03]",
        "boot n01 golden",
        "boot cluster rack1",
        "shutdown n[01,03]",
        "reboot login01",
        "destroy n02",
        "reset n02",
        "poweroff n02",
        "console n01",
    ],
)
def test_it_gets_the_words_as_they_were_typed(line: str, handed_on: list[list[str]]) -> None:
    found = run(line)
    assert isinstance(found.exception, HandedOn), found.output
    assert handed_on == [line.split()]
    assert "passed on to sNow!'s own command" in found.output


@pytest.mark.parametrize(
    "line",
    [
        "boot deploy01",
        "boot domains",
        "boot slurm[01-02]",
        "destroy depoly01",
        "shutdown n04",
        "shutdown n[01-04]",
        "deploy deploy01 force",
        "deploy new01",
        "clone domain deploy01",
        "takeover snow01",
        "update tools",
        "list nothing",
    ],
)
def test_a_domain_or_a_name_that_is_nobodys_is_not_handed_on(line: str, handed_on: list[list[str]]) -> None:
    """sNow! would make a domain's disk anew behind Pacemaker's back, or write a mistyped name into nodes.json."""
    found = run(line)
    assert found.exit_code != 0 and not isinstance(found.exception, HandedOn)
    assert handed_on == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("boot n01 deploy01", "n01 names compute nodes, and deploy01 domains"),
        ("boot n01 domains", "n01 names compute nodes, and domains domains"),
        ("destroy n01 --yes", "sNow!'s own command has no option --yes"),
        ("boot n01 --timeout 600", "sNow!'s own command has no option --timeout"),
    ],
)
def test_what_it_would_take_for_something_else_is_refused(line: str, said: str, handed_on: list[list[str]]) -> None:
    """The second word behind `boot` is an image there."""
    found = run(line)
    assert isinstance(found.exception, InputError) and said in str(found.exception)
    assert handed_on == []


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own.write_text("#!/usr/bin/python3\nfrom snowha.cli.main import main\nmain()\n"),
        lambda own: own.chmod(0o644),
        lambda own: own.unlink(),
    ],
)
def test_where_there_is_none_or_it_is_this_one_it_is_said_whose_the_word_is(
    change: Callable[[Path], None], handed_on: list[list[str]]
) -> None:
    """A link to this command in sNow!'s folder would call itself for ever."""
    own = Path(snows_command.PLACES[1])
    change(own)
    found = run("list nodes")
    assert found.exit_code == 2 and f"sNow!'s own command has it: {snows_command.PLACES[0]}" in found.output
    assert isinstance(run("boot n01").exception, InputError)
    assert handed_on == []


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"compute": null}', '{"compute": ["n01"]}'])
def test_without_its_nodes_nothing_is_a_compute_node(text: str, handed_on: list[list[str]]) -> None:
    Path(snows_command.PLACES[1]).parent.parent.joinpath("etc/nodes.json").write_text(text)
    assert isinstance(run("boot n01").exception, InputError)
    assert handed_on == []


def test_one_that_cannot_be_executed_is_said(handed_on: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(path: str, argv: list[str]) -> None:
        raise OSError(8, "Exec format error")

    monkeypatch.setattr("os.execv", execute)
    found = run("list nodes").exception
    assert isinstance(found, MachineError) and found.where == snows_command.PLACES[1]


def test_it_is_executed_in_place_of_this_one(tmp_path: Path) -> None:
    """A script that calls `snow list nodes` gets sNow!'s own output and exit code, and nothing else."""
    own = tmp_path / "sbin/snow"
    own.parent.mkdir()
    own.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    own.chmod(0o755)
    script = f"import sys; from snowha.cli import main, snows_command; snows_command.PLACES = ({str(own)!r},) * 2; main.main()"
    words = [sys.executable, "-c", script, "list", "nodes", "a b", "--x"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.returncode) == ("list|nodes|a b|--x|", 7)
    assert ended.stderr == f"passed on to sNow!'s own command: {own} list nodes 'a b' --x\n"


def test_the_installation_looks_for_it_where_it_is() -> None:
    """It looked in folders that have no `snow`, and so it told nobody that `snow-ha` is the name to use."""
    script = (TOP / "debian/snow-ha.postinst").read_text()
    looked = re.search(r"for own in (.+); do", script)
    assert looked is not None and tuple(looked[1].split()) == snows_command.PLACES
    assert 'timeout 5 test -e "$own"' in script, "the storage may hang, and apt with it"


@pytest.mark.parametrize("line", ["deploy new01", "clone domain deploy01 new01"])
def test_who_would_make_a_domain_with_snow_is_told_of_the_verb_here(line: str, handed_on: list[list[str]]) -> None:
    assert "Did you mean `snow add domain`" in run(line).output


@pytest.mark.parametrize(("word", "option"), [("help", "--help"), ("version", "--version")])
def test_words_of_snow_that_are_options_here_are_told(word: str, option: str) -> None:
    assert f"Did you mean `snow {option}`?" in run(word).output
