"""What the packages hold beside the code: completion that a shell takes, one version everywhere, a manual page of every verb."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from snowha import __version__
from snowha.cli import completion
from snowha.cli.tree import snow
from snowha.xen import server_program

TOP = Path(__file__).parents[3]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]


def test_every_name_of_the_command_has_its_completion_for_every_shell(tmp_path: Path) -> None:
    """A name without one completes to nothing, or a script asks the command of the other name."""
    completion.write(tmp_path)
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(PROJECT["scripts"]) == sorted(completion.COMMANDS)
    assert len(written) == len(completion.COMMANDS) * len(completion.PLACES)
    for path, script in written.items():
        assert ("_SNOW_HA_COMPLETE" if "snow-ha" in path else "_SNOW_COMPLETE") in script


@pytest.mark.parametrize("shell", completion.PLACES)
@pytest.mark.parametrize("command", completion.COMMANDS)
def test_a_shell_can_read_its_completion(shell: str, command: str, tmp_path: Path) -> None:
    """An error in it would be shown at every tab. zsh and fish are asked where they are."""
    if shutil.which(shell) is None:
        assert shell != "bash"
        return
    path = tmp_path / "script"
    path.write_text(completion.script(shell, command))
    subprocess.run([shell, "-n", str(path)], check=True)


def test_the_packages_have_the_version_of_the_project() -> None:
    """`make deb` refuses to build, and a server would tell another version than it has."""
    newest = re.match(r"snow-ha \((.+)\) ", (TOP / "debian/changelog").read_text())
    assert newest is not None
    assert newest[1] == PROJECT["version"] == __version__


def test_the_packages_need_what_the_project_needs() -> None:
    """A package that lacks one cannot be built: its documents and completion are made from the code."""
    control = (TOP / "debian/control").read_text()
    for need in PROJECT["dependencies"]:
        name, version = need.lower().split(">=")
        assert f"python3-{name} (>= {version})" in control


def test_the_manual_page_of_the_servers_program_has_its_verbs() -> None:
    page = (TOP / "docs/man/snow-lease.8").read_text()
    verbs = re.findall(r"^(?:usage:| {6}) snow-lease (\w+)", server_program.text(), re.MULTILINE)
    assert len(verbs) >= 7
    for verb in verbs:
        assert re.search(rf'^\.(?:B|BI) "?{verb}\b', page, re.MULTILINE), verb


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("images copy slu", ["slurm01", "slurm02"]),
        ("boot deploy01 slu", ["slurm01", "slurm02"]),
        ("move de", ["deploy01"]),
        ("show domain de", ["deploy01"]),
        ("move deploy01 s", ["snow01", "snow02"]),
        ("init snow02", ["snow02"]),
        ("upgrade snow01 s", ["snow01", "snow02"]),
        ("drain --file broken.toml s", []),
        ("--site snow01 images copy slu", ["slurm01", "slurm02"]),
        ("images copy --site snow01 slu", ["slurm01", "slurm02"]),
        ("images copy --file other.toml slu", []),
        ("ha apply --domain de", ["deploy01"]),
        ("ha apply --file broken.toml --domain de", []),
        ("ha apply --until im", ["images", "images.deploy01", "images.slurm01", "images.slurm02"]),
        ("ha plan --only snow.c", ["snow.conf"]),
        ("ha undo --to coro", ["corosync", "corosync.key", "corosync.conf", "corosync.start"]),
        ("ha apply --file broken.toml --until im", []),
        ("ha check --explain definition-d", ["definition-differs"]),
        ("upgrade --release tri", ["trixie"]),
        ("--site snow0", ["snow01", "snow02"]),
        ("status --site snow0", ["snow01", "snow02"]),
        ("ha stat", ["status"]),
    ],
)
def test_names_are_offered_and_a_file_that_cannot_be_read_offers_none(
    words: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab that asks servers would hang, and one that fails would write a traceback into the line."""
    (tmp_path / "ha.toml").write_text((TOP / "docs/ha.toml.sample").read_text())
    (tmp_path / "broken.toml").write_text("[")
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr("snowha.live.definition.fetch", lambda server, config: asked.append(server))
    *before, typed = words.split()
    found = ShellComplete(snow, {}, "snow", "_SNOW_COMPLETE").get_completions(before, typed)
    assert [one.value for one in found] == offered
    assert asked == []
