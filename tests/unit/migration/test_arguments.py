"""What a command line gets wrong is said before any server is asked, with what to do: each of these was told of after half a
minute, or in a way that nobody understood."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from simulated import SECRET, SimulatedHost, World, rendered, single_server

from snowha.cli.tree import snow
from snowha.errors import InputError
from snowha.live import connect, definition
from snowha.migration import arguments
from snowha.migration.steps import all_steps
from snowha.site import ha_toml


class Untouched(SimulatedHost):
    """A server that nobody may ask."""

    def run(self, argv: object, **more: object) -> None:  # type: ignore[override]
        raise AssertionError(f"{self.name} was asked: {argv}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    context, _, _ = single_server()
    (tmp_path / "ha.toml").write_text(rendered(context.site))
    (tmp_path / "ha.secrets").mkdir(mode=0o700)
    (tmp_path / "ha.secrets/ipmi").touch(mode=0o600)
    (tmp_path / "ha.secrets/ipmi").write_text(f"{SECRET}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNOW_JOURNAL", str(tmp_path / "journal/journal.sqlite"))
    monkeypatch.setattr(connect, "_over_ssh", lambda ha: {one.name: Untouched(one.name, World()) for one in ha.servers})
    return tmp_path


def refused(line: list[str]) -> str:
    """The message of an input error."""
    ended = CliRunner().invoke(snow, line, standalone_mode=False)
    assert isinstance(ended.exception, InputError | click.UsageError), (ended.output, ended.exception)
    assert ended.exception.exit_code == 2
    assert "asking the servers" not in ended.output
    return str(ended.exception)


PLAN = {"format": "snow-ha plan", "version": 2, "made": "", "seen": {}, "steps": []}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plan --domain deploy02", r"--domain: there is no domain 'deploy02' \(did you mean 'deploy01'\?\)"),
        ("plan --domain=", r"--domain: nothing is named"),
        ("plan --until image", r"--until: there is no step 'image'\n.*did you mean images"),
        ("plan --until qqqq", r"give a section \(servers, images"),
        ("plan --until=", r"--until: nothing is named"),
        ("plan --only nothing.at.all", r"--only: there is no step"),
        ("plan --only images --until images", r"cannot be combined"),
        ("apply --until imagse", r"did you mean images"),
        ("apply --only=", r"--only: nothing is named"),
        ("apply --domain deploy02", r"no domain 'deploy02'"),
        ("apply --plan missing", r"a saved plan cannot be read: there is no such file\n.*snow ha plan --save FILE"),
        ("apply --plan ha.toml", r"not a saved plan\n.*snow ha plan --save FILE"),
        ("apply --plan=", r"--plan: no file is named"),
        ("apply --plan typo.plan", r"--until: there is no step 'imagse'"),
        ("undo --to imagse", r"--to: there is no step 'imagse'\n.*did you mean images"),
        ("undo --to=", r"--to: nothing is named"),
        ("plan --save=", r"--save: no file is named"),
        ("plan --save ha.toml", r"not a saved plan; it is not changed"),
        ("plan --save ha.secrets/ipmi", r"not a saved plan; it is not changed"),
        ("plan --save new/", r"this is a folder"),
        ("plan --save new/plan", r"no such folder"),
        ("plan --save folder", r"it is a folder"),
        ("plan --save /proc/plan", r"nothing can be written here"),
        (f"plan --save {'p' * 300}", r"File name too long\n.*fewer characters"),
        ("plan -f ha.toml/x", r"Not a directory\n.*a file, not a folder"),
        ("status -f loop", r"symbolic links\n.*form a loop"),
        ("check --explain nope --fix", r"cannot be combined"),
        ("check --explain=", r"--explain: nothing is named"),
        ("log --run -1", r"--run: it cannot be '-1'"),
        ("log --run x", r"--run: it cannot be 'x'"),
        ("status --watch --every nan", r"--every: it cannot be 'nan'\n.*seconds from 1 to 3600"),
        ("status --watch --every 0.5", r"--every: it cannot be '0.5'"),
        ("report --days 61", r"--days: it cannot be '61'\n.*days from 1 to 60"),
        ("report --days 0", r"--days: it cannot be '0'"),
        *(
            line
            for verb in ("metrics", "report")
            for line in (
                (f"{verb} --output=", r"--output: no file is named"),
                (f"{verb} -o new/x", r"no such folder"),
                (f"{verb} -o /proc/x", r"/proc/x: nothing can be written here"),
                (f"{verb} -o fifo", r"it is a FIFO|exists already"),
                (f"{verb} -o folder", r"it is a folder|exists already"),
                (f"{verb} -o loop", r"symbolic links|exists already"),
            )
        ),
    ],
)
def test_it_is_said_before_any_server_is_asked(folder: Path, line: str, said: str) -> None:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    selection = {"until": "imagse", "only": "", "domains": []}
    (folder / "typo.plan").write_text(json.dumps(PLAN | {"selection": selection}))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert re.search(said, refused(["ha", *line.split()]), re.DOTALL)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


POWER = ("boot", "shutdown", "poweroff", "reboot", "reset", "destroy")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        *((f"{verb} deploy01 slurm[01-", "neither a domain nor a range") for verb in POWER),
        *((f"{verb} ../x", "neither a domain nor a range") for verb in POWER),
        ("console slurm[01", "neither a domain nor a range"),
        ("console slurm[01-02]", "stands for more than one domain"),
        ("show domain deploy01,slurm01", "stands for more than one domain"),
        ("show domain domains", "stands for more than one domain"),
        ("move slurm[01-02] snow02", "stands for more than one domain"),
        ("move deploy01 snow2", "no server 'snow2' (did you mean 'snow02'?)"),
        ("move deploy01 ''", "no server ''"),
        ("drain snow2", "no server 'snow2' (did you mean 'snow02'?)"),
        ("drain deploy01", "no server 'deploy01'"),
        ("undrain snow2", "there are snow01, snow02"),
        ("undrain ''", "no server ''"),
    ],
)
def test_a_domain_or_server_of_everyday_work_is_wrong_before_any_server_is_asked(
    folder: Path, line: str, said: str
) -> None:
    """A dead server was waited for and named, and what was mistyped came after it, or never."""
    assert said in refused(shlex.split(line))


@pytest.mark.parametrize("verb", ["copy", "verify", "restore", "discard"])
@pytest.mark.parametrize(("name", "said"), [("deploy1", "did you mean 'deploy01'"), ("../../etc", "'../../etc'")])
def test_a_domain_that_there_is_not(folder: Path, verb: str, name: str, said: str) -> None:
    """A path would be looked for on the servers."""
    message = refused(["images", verb, name])
    assert "there is no domain" in message and said in message and "there are deploy01, slurm01" in message


def _a_fifo(secrets: Path) -> None:
    (secrets / "ipmi").unlink()
    os.mkfifo(secrets / "ipmi", 0o600)


@pytest.mark.parametrize("verb", ["plan", "check", "undo", "apply"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda secrets: (secrets / "ipmi").unlink(), "there is no such file"),
        (lambda secrets: (secrets / "ipmi").write_text(""), "it contains no password"),
        (lambda secrets: (secrets / "ipmi").chmod(0o644), "others can read"),
        (lambda secrets: ((secrets / "ipmi").unlink(), secrets.rmdir(), secrets.write_text("x")), "this is a file"),
        (lambda secrets: ((secrets / "ipmi").unlink(), (secrets / "ipmi").mkdir()), "read: it is a folder"),
        (_a_fifo, "read: it is a FIFO"),
    ],
)
def test_a_password_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, spoil: object, said: str
) -> None:
    """It was found after every server had been asked."""
    from snowha.cli import session

    monkeypatch.setattr(session, "_bring_back", lambda there: None)
    assert callable(spoil)
    spoil(folder / "ha.secrets")
    message = refused(["ha", verb])
    assert said in message and "→" in message and "snow ha init" not in message
    assert "ha.secrets" in message and "(fence.secret of snow01 in ha.toml)" in message
    assert "name a file" not in message, "it does not say where"


def test_a_plan_may_replace_an_earlier_one_and_an_empty_file(folder: Path) -> None:
    from snowha.plan import saved_plan

    (folder / "old.plan").write_text(json.dumps(PLAN | {"version": 0}))
    (folder / "empty").touch()
    for name in ("old.plan", "empty", "new.plan"):
        saved_plan.check_target(folder / name)
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "ha.secrets", "ha.toml", "old.plan"], (
        "nothing of the look stays"
    )


def test_the_step_that_keeps_the_file_on_the_servers_can_be_named(folder: Path) -> None:
    """The remedy of copies that differ names it, and would be refused as a typing mistake."""
    arguments.check_selection(connect.read(Path("ha.toml")), only=definition.STEP)


def test_the_steps_are_known_without_a_server(folder: Path) -> None:
    """A step that ha.toml does not tell of would be called a typing mistake."""
    context, _, hosts = single_server()
    told = [step.id for step in arguments.steps_of(ha_toml.parse(rendered(context.site), where="ha.toml"))]
    assert told == [step.id for step in all_steps(context, {host.name: SECRET for host in hosts})]
