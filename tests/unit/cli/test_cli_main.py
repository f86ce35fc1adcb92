"""The command line, as a process: what this machine refuses is one message and an exit code, never a traceback."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from snowha.cli import main, streams
from snowha.cli.progress import error_text
from snowha.cli.tree import snow as tree
from snowha.errors import MachineError, explained
from snowha.plan.events import error_json

DOOR = f"{shlex.quote(sys.executable)} -m snowha.cli.main"


def snow(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``snow`` by a shell, with its redirections."""
    return subprocess.run(
        ["bash", "-c", f"{DOOR} {line}"], check=False, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--help > /dev/full", 1, "standard output: No space left on device"),
        ("--version > /dev/full", 1, "standard output: No space left on device"),
        ("--help >&-", 2, "standard output is closed"),
        ("--help >&- <&- 2>&-", 2, ""),
        ("--help <&-", 0, ""),
        ("--help 2>&-", 0, ""),
        ("ha check -f nowhere 2> /dev/full", 2, ""),
        ("ha nothing 2> /dev/full", 2, ""),
        ("ha check -f nowhere > /dev/full 2> /dev/full", 2, ""),
        ("--help > /dev/full 2> /dev/full", 1, ""),
        ("ha check -f nowhere <&- 2>&1", 2, ""),
    ],
)
def test_a_stream_that_is_closed_or_full(line: str, code: int, said: str, unbuffered: str) -> None:
    """A script in cron would get the wrong exit code, and a mail with a traceback."""
    ended = snow(line, PYTHONUNBUFFERED=unbuffered)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr


def test_nobody_who_reads_on_is_no_error_to_tell_of() -> None:
    ended = snow("--help | head -c 1; exit ${PIPESTATUS[0]}", PYTHONUNBUFFERED="1")
    assert ended.stderr == ""


def test_a_closed_stream_is_not_the_next_file_that_is_opened(tmp_path: Path) -> None:
    """What is said would be written into the journal."""
    script = (
        "from snowha.cli import streams; streams.standard(); print(open('x', 'w').fileno(), file=open('seen', 'w'))"
    )
    for closed in ("2>&-", "<&-", "<&- 2>&-"):
        subprocess.run(["bash", "-c", f"{sys.executable} -c {shlex.quote(script)} {closed}"], check=True, cwd=tmp_path)
        assert int((tmp_path / "seen").read_text()) > 2


def test_a_character_that_the_terminal_lacks_does_not_end_a_run() -> None:
    ended = snow("ha check -f nowhere", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert ended.returncode == 2 and "no such file" in ended.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.ENOTDIR])
def test_what_the_kernel_says_of_a_file_is_a_message(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is nobody's bug."""

    def broken(**_: object) -> int:
        raise OSError(number, os.strerror(number), "/some/where")

    monkeypatch.setattr(tree, "main", broken)
    monkeypatch.setattr(streams, "standard", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == MachineError.exit_code
    assert capsys.readouterr().err.startswith(f"snow: /some/where: {os.strerror(number)}")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EBADF, "Bad file descriptor"),
        OSError(errno.ENOENT, "No such file or directory"),
        OSError(errno.EINVAL, "Invalid argument", "/some/where"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("a bug"),
    ],
)
def test_what_may_be_a_bug_of_ours_stays_a_traceback(error: Exception) -> None:
    """Nobody would find it."""
    assert explained(error) is error


NOBODY = """
import os, pathlib, sys
home = sys.argv.pop(1)
os.geteuid = lambda: 65534
os.environ.pop("SNOW_JOURNAL", None)
os.environ["HOME"] = home
from snowha.cli.main import main
main()
"""


@pytest.mark.parametrize("line", ["ha apply", "ha undo", "ha check --fix"])
def test_a_home_that_cannot_be_written_is_said_before_any_server_is_asked(line: str, tmp_path: Path) -> None:
    (tmp_path / "ha.toml").write_text(
        """
[cluster]
name = "snow"
[paths]
snow_conf = "/a"
domain_configs = "/b"
images = "/c"
[[server]]
name = "snow01"
address = "192.0.2.1"
links = ["192.0.2.1"]
[[server]]
name = "snow02"
address = "192.0.2.2"
links = ["192.0.2.2"]
"""
    )
    # a folder of the kernel's: nobody can make anything there, root neither
    words = [sys.executable, "-c", NOBODY, "/proc/self", *line.split()]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "the journal cannot be used" in ended.stderr and "SNOW_JOURNAL=FILE" in ended.stderr
    assert "asking" not in ended.stderr and "Traceback" not in ended.stderr


def test_a_step_that_meets_a_full_disk_here_says_so_and_no_more() -> None:
    """A screen of traceback in the middle of a migration looks like a migration that went wrong."""
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")
    assert error_text(error).splitlines()[0] == "/tmp/x: No space left on device"
    assert error_json(error)["kind"] == "MachineError"
    assert "ValueError" in error_text(ValueError("a bug")) and "traceback" in error_json(ValueError("a bug"))


def test_what_is_to_be_typed_has_the_name_that_the_command_was_called_by(tmp_path: Path) -> None:
    """On a server sNow!'s `snow` comes first in PATH: `snow arm`, typed as it was told, printed sNow!'s help."""
    script = "import sys; sys.argv[0] = {!r}; from snowha.cli.main import main; main()"
    said = {}
    for name in ("/usr/bin/snow", "/usr/bin/snow-ha"):
        ended = subprocess.run(
            [sys.executable, "-c", script.format(name), "list", "domains", "--json"],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert ended.returncode == 2
        said[Path(name).name] = ended.stderr + json.loads(ended.stdout)["remedy"]
    assert said["snow"].count("`snow ha init ") == 2
    assert said["snow-ha"] == said["snow"].replace("`snow ha init ", "`snow-ha ha init ")


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("→ snow arm", "→ snow-ha arm"),
        ("snow shutdown a, then snow boot a", "snow-ha shutdown a, then snow-ha boot a"),
        ("see `snow --help`", "see `snow-ha --help`"),
        ("snow runs on snow01", "snow runs on snow01"),
        ("/sNow/sbin/snow list nodes", "/sNow/sbin/snow list nodes"),
        ("my-snow list, snow-lease list, snow_vg list", "my-snow list, snow-lease list, snow_vg list"),
        ("snow lists", "snow lists"),
    ],
)
def test_nothing_else_is_renamed(text: str, becomes: str) -> None:
    rename = main._renaming("snow-ha")
    assert rename is not None and rename(text) == becomes
    assert main._renaming("/usr/bin/snow") is None
