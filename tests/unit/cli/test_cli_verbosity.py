"""``-v``, ``-q`` and ``--log-file``: what is shown and written down, for every verb, and that no secret is among it."""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snowha.cli import logs, tree, verbosity
from snowha.cli.progress import display
from snowha.errors import InputError, SiteError
from snowha.hosts import files, redaction
from snowha.hosts.batch import run_all
from snowha.hosts.local import LocalHost
from snowha.plan import events

SSH = """#!/bin/sh
# ssh(1) to this machine: the last word is the command
for word; do command=$word; done
exec sh -c "$command"
"""
SECRET = "it's \"; $x"


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[verbosity.Chosen]:
    """The options of this process, as they were afterwards."""
    made = verbosity.Chosen()
    monkeypatch.setattr(verbosity, "chosen", made)
    monkeypatch.setattr(redaction, "known", set())
    logger = logging.getLogger("snowha")
    before, level = list(logger.handlers), logger.level
    yield made
    logger.handlers[:] = before
    logger.setLevel(level)


def snow(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/ssh").write_text(SSH)
    (folder / "bin/ssh").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(folder),
    }
    words = [sys.executable, "-m", "snowha.cli.main", *shlex.split(line)]
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder, env=environment)


def test_each_command_on_a_server_is_shown_as_it_begins(tmp_path: Path) -> None:
    """Whoever waits for a minute cannot tell which server is waited for, and for what."""
    ended = snow(tmp_path, "-v ha init 127.0.0.1 localhost")
    assert ended.returncode == 2 and "are one server" in ended.stderr
    shown = ended.stderr.splitlines()
    assert {"127.0.0.1$ uname -n", "localhost$ uname -n"} <= set(shown)
    assert "uname" not in snow(tmp_path, "ha init 127.0.0.1 localhost").stderr


def test_the_options_can_stand_behind_the_verb(tmp_path: Path) -> None:
    """Everybody adds -v to the end of the line that he has just typed."""
    ended = snow(tmp_path, "ha init 127.0.0.1 localhost -v --log-file log -v")
    assert ended.returncode == 2
    assert ended.stderr.splitlines().count("127.0.0.1$ uname -n") == 1
    text = (tmp_path / "log").read_text()
    assert "127.0.0.1$ uname -n" in text and text.endswith("exit code 2\n")
    assert "uname" not in snow(tmp_path, "ha init 127.0.0.1 -q localhost").stderr


def test_words_for_another_program_are_left_to_it() -> None:
    """`snow lab ssh snow01 ls -v` would be without its -v."""
    for words in (("lab", "ssh"), ("lab", "exec")):
        command: click.Command | None = tree.snow
        for word in words:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None and "-v" not in {name for one in command.params for name in one.opts}


def test_a_log_file_has_everything_with_times_for_its_owner_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = "2026-01-31T12:00:00.000Z snow 0.1.0, pid 7, user 0: ha check"
    log.write_text(f"{before}\n")
    log.chmod(0o644)
    ended = snow(tmp_path, "--log-file log ha init 127.0.0.1 localhost")
    assert ended.returncode == 2 and "uname" not in ended.stderr
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    first, *lines = log.read_text().splitlines()
    assert first == before
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
    said = [re.sub(stamp, "", line, count=1) for line in lines if re.match(stamp, line)]
    assert said[0].endswith(": --log-file log ha init 127.0.0.1 localhost")
    assert "127.0.0.1$ uname -n" in said
    assert any(re.fullmatch(r"localhost: exit status 0 after \d+\.\d\d s: uname -n", line) for line in said)
    assert any(line.startswith("snow: the servers named: 127.0.0.1 and localhost are one server") for line in said)
    assert said[-1] == "exit code 2"


def test_the_log_has_what_is_printed_and_the_traceback_of_what_the_machine_refused(tmp_path: Path) -> None:
    script = """
import sys
from snowha.cli import main, tree
import click
@click.command()
def verb():
    click.secho("red", fg="red", color=True)
    open("/proc/self/nothing/x", "w")
tree.snow.verbs = {"verb": None}
tree.snow.get_command = lambda ctx, name: verb
main.main()
"""
    words = [sys.executable, "-c", script, "--log-file", "log", "verb"]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    text = (tmp_path / "log").read_text()
    assert "Z red\n" in text and "Traceback" in text and "Z exit code 1\n" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--log-file nowhere/log ha check", "nowhere/log: the log cannot be written"),
        ("--log-file . ha check", "this is a folder"),
        ("--log-file fifo ha check", "it is a FIFO"),
        ("--log-file= ha check", "no file is named"),
        ("-v -q ha check", "cannot be combined"),
        ("ha check -v -q", "cannot be combined"),
        ("-q ha check -v", "cannot be combined"),
        ("--log-file a ha check --log-file b", "given twice"),
        ("--log-file a --log-file b ha check", "given twice"),
        ("ha check --log-file a --log-file b", "given twice"),
    ],
)
def test_options_that_cannot_be_followed_are_said_first(tmp_path: Path, line: str, said: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    ended = snow(tmp_path, line)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert said in ended.stderr


def test_no_secret_is_shown_or_written(tmp_path: Path, chosen: verbosity.Chosen) -> None:
    """A log is sent to somebody who is asked for help."""
    assert redaction.hide(SECRET) == SECRET
    shown = io.StringIO()
    logs.commands_to(shown)
    logs.everything_to(tmp_path / "log")
    host = LocalHost("snow01")
    host.run(["true", SECRET])
    host.run(["cat"], input=SECRET)
    files.write_file(host, str(tmp_path / "secret"), SECRET, keep=False)
    run_all(host, [["true", "one"], ["sh", "-c", "exit 0", "sh", SECRET]])
    text = (tmp_path / "log").read_text()
    for written in (shown.getvalue(), text):
        assert SECRET not in written and "it'" not in written
        assert f"snow01$ write {tmp_path}/secret" in written
        assert "snow01$ cat\n" in written
        assert "true one; sh -c 'exit 0' sh" in written
    assert redaction.HIDDEN in text


def test_of_a_script_one_line_is_shown_and_all_of_it_written(tmp_path: Path, chosen: verbosity.Chosen) -> None:
    shown = io.StringIO()
    logs.commands_to(shown)
    logs.everything_to(tmp_path / "log")
    LocalHost("snow01").run(["sh", "-c", "true\nfalse || true"])
    assert shown.getvalue() == "snow01$ sh -c 'true …\n"
    assert "false || true" in (tmp_path / "log").read_text()


def test_a_log_that_cannot_be_written_on_does_not_end_the_run(
    tmp_path: Path, chosen: verbosity.Chosen, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its disk is full in the middle of the night; the domains' disks are not."""
    with Path("/dev/full").open("w") as full:
        handler = logs.LogHandler(full, "log")
        logging.getLogger("snowha").addHandler(handler)
        logging.getLogger("snowha").setLevel(logging.DEBUG)
        assert LocalHost().run(["echo", "x"]).stdout == "x\n"
        LocalHost().run(["true"])
    assert capsys.readouterr().err == "log: no longer written: No space left on device\n"


def run_of() -> list[events.Event]:
    names = events.Names(step="images.a", title="Move a", section="images")
    return [
        events.RunStarted(steps=2),
        events.StepStarted(**names, reason="not there"),
        events.StepSaid(**names, text="waiting for it"),
        events.StepFailed(**names, error=SiteError("it is broken", remedy="mend it"), seconds=1.0),
        events.StepSkipped(step="x", title="Other", section="images"),
        events.RunEnded(done=0, skipped=1, failed=1, blocked=0, left=0, cancelled=False, seconds=2.0),
    ]


def test_quietly_only_what_failed_and_the_result_are_shown(
    chosen: verbosity.Chosen, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen.quiet = True
    out = io.StringIO()
    with display(stream=out) as shown:
        for event in run_of():
            shown(event)
    assert re.findall(r"^\d\d:\d\d (.*)$", out.getvalue(), re.M) == [
        "✗ Move a",
        "  it is broken",
        "    → mend it",
        "✗ 1 up to date, 1 failed  2.0 s",
    ]
    verbosity.say("asking the servers what there is")
    assert capsys.readouterr().err == ""


def test_the_log_has_every_event_also_quietly_and_as_json(chosen: verbosity.Chosen) -> None:
    for quiet, as_json in ((True, False), (False, True), (False, False)):
        written: list[str] = []
        chosen.quiet, chosen.log = quiet, written.append
        with display(json=as_json, stream=io.StringIO()) as shown:
            for event in run_of():
                shown(event)
        text = "\n".join(written)
        assert "▸ Move a: not there" in text and "Move a: waiting for it" in text and "→ mend it" in text


def test_a_log_in_a_place_that_nobody_can_write_to_is_the_users_mistake() -> None:
    with pytest.raises(InputError, match="the log cannot be written"):
        logs.everything_to(Path("/proc/self/nothing"))


def test_a_file_of_the_users_is_not_taken_for_a_log(tmp_path: Path) -> None:
    """One word mistyped, and ha.toml ended in log lines that no verb could read."""
    mine = tmp_path / "ha.toml"
    mine.write_text("# mine\n")
    mine.chmod(0o644)
    ended = snow(tmp_path, "--log-file ha.toml ha check")
    assert ended.returncode == 2 and "not a log of snow" in ended.stderr
    assert mine.read_text() == "# mine\n" and mine.stat().st_mode & 0o777 == 0o644
    for _ in range(2):
        snow(tmp_path, "--log-file log ha check -f none")
    assert (tmp_path / "log").read_text().count(", pid ") == 2
