"""``snow lab``: wrong words are an input error before anything is touched; a lab that is up is not reset unasked."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from snowha.cli.tree import snow
from snowha.errors import InputError, SiteError
from snowha.lab import demo, demo_folder, lifecycle, machines, network, requirements


@pytest.fixture(autouse=True)
def nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No lab of this machine is asked or changed."""

    def touched(*words: object, **more: object) -> None:
        raise AssertionError(f"the lab was touched: {words}")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(requirements, "may_begin", lambda: None)
    monkeypatch.setattr(lifecycle, "facts", lambda paths: lifecycle.Facts("trixie", "tcg", ""))
    monkeypatch.setattr(network, "processes", list)
    monkeypatch.setattr(machines, "snapshots", lambda machine, paths: ["prepared"])
    for place, name in (
        (lifecycle, "_clear"),
        (lifecycle, "_stop_daemon"),
        (network, "cable"),
        (machines, "save"),
        (machines, "restore"),
        (machines, "stop"),
        (machines, "start"),
        (lifecycle, "_set_fault"),
        (demo, "run"),
    ):
        monkeypatch.setattr(place, name, touched)
    monkeypatch.setattr("os.execvp", touched)
    monkeypatch.chdir(tmp_path)


def lab(*words: str) -> Result:
    return CliRunner().invoke(snow, ["lab", *words], standalone_mode=False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("save ../../x", "a snapshot cannot be called '../../x'"),
        ("save é", "a snapshot cannot be called"),
        ("save -- -x", "a snapshot cannot be called '-x'"),
        ("restore nothing", "has no snapshot called 'nothing'\n  → there are: prepared"),
        ("cable snow9 snow up", "the lab has no machine 'snow9'\n  → one of: snow01"),
        ("cable snow01 foo up", "the lab has no network 'foo'\n  → one of: snow, mgmt"),
        ("cable snow01 snow sideways", "sideways"),
        ("power snow9 off", "no machine 'snow9'"),
        ("power snow01 away", "away"),
        ("console snow9", "no machine 'snow9'"),
        ("ssh snow9 true", "no machine 'snow9'"),
        ("bmc snow9 hang", "no machine 'snow9'"),
        ("bmc nfs01 hang", "nfs01 has no BMC"),
        ("bmc snow01 burn", "burn"),
        ("up --release sid", "sid"),
        ("demo --release sid", "sid"),
        ("demo --folder=", "no folder is named"),
    ],
)
def test_a_wrong_word_is_an_input_error_and_touches_nothing(line: str, said: str) -> None:
    """A script could not tell a typing mistake (2) from a site in a wrong state (4)."""
    ended = lab(*line.split())
    assert isinstance(ended.exception, InputError | click.UsageError), ended.exception
    assert ended.exception.exit_code == 2
    assert said in str(ended.exception)


def test_a_demo_does_not_reset_a_lab_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's afternoon in the lab would be gone, because somebody else wanted to see the demo."""
    ran: list[Path] = []
    monkeypatch.setattr(demo, "run", lambda release, folder, say: ran.append(folder))
    monkeypatch.setattr(network, "processes", lambda: [1234])
    ended = lab("demo")
    assert isinstance(ended.exception, SiteError) and "there is no terminal to ask on: The lab is up." in str(
        ended.exception
    )
    assert "--yes" in ended.exception.remedy and not ran

    monkeypatch.setattr("snowha.cli.lab.ask", lambda question: False)
    ended = lab("demo")
    assert isinstance(ended.exception, SiteError) and "the answer was no" in str(ended.exception) and not ran

    lab("demo", "--yes")
    assert len(ran) == 1
    monkeypatch.setattr(network, "processes", list)
    lab("demo")
    assert len(ran) == 2, "nothing is up: nothing is asked"


def test_a_demo_replaces_only_what_a_demo_wrote(tmp_path: Path) -> None:
    """The ha.toml and the journal of somebody's own site would be gone."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("ha.toml", "journal.sqlite", "ha.secrets", "report.html"):
        (folder / name).write_text("mine")
        ended = lab("demo", "--yes", "--folder", str(folder))
        assert isinstance(ended.exception, InputError), name
        assert name in str(ended.exception) and str(folder) in str(ended.exception)
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    (tmp_path / "file").touch()
    assert "not a folder" in str(lab("demo", "--folder", "file").exception)


def test_a_demo_replaces_what_the_demo_before_it_wrote(tmp_path: Path) -> None:
    """It could be run once."""
    folder = tmp_path / "build/demo"
    demo_folder.prepare(folder)
    for name in ("ha.toml", "journal.sqlite", "journal.sqlite-wal", "report.json"):
        (folder / name).touch()
    demo_folder.prepare(folder)
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == ["report.json"]


def test_a_lab_of_another_cache_folder_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """With sudo and without, HOME is another: `snow lab up` would kill the machines that the other one runs."""
    monkeypatch.setattr(network, "processes", lambda: [1234])
    ended = lab("up")
    assert isinstance(ended.exception, SiteError) and "a lab is up that is not kept in" in str(ended.exception)
