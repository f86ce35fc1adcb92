"""LocalHost on real processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from snowha.errors import CommandError
from snowha.hosts.local import LocalHost


def gone(pid: int) -> bool:
    """Ended, or only waiting for somebody to take note of it."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_output_status_and_both_streams_come_back() -> None:
    """Everything that is decided on what a server says would be decided on nothing."""
    done = LocalHost().run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.returncode, done.stdout, done.stderr, done.ok) == (3, "out\n", "err\n", False)


def test_a_failure_is_shown_once_and_ready_to_paste() -> None:
    """The user could not repeat by hand what failed."""
    with pytest.raises(CommandError) as caught:
        LocalHost("snow01").run(["sh", "-c", "echo 'no such volume' >&2; exit 5", "a b"])
    text = str(caught.value)
    assert text.startswith("snow01: exit status 5 from: sh -c 'echo '")
    assert "'a b'" in text
    assert text.count("no such volume") == 2  # once in the command, once in what it said


def test_words_are_never_a_shell_string() -> None:
    """A domain called `a;reboot` would reboot the server."""
    assert LocalHost().run(["printf", "%s", "a;echo $HOME `id`"]).stdout == "a;echo $HOME `id`"


def test_only_the_scrubbed_environment_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret or a locale of the user's own shell would reach every command."""
    monkeypatch.setenv("BMC_PASSWORD", "hunter2")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    names = {line.split("=")[0] for line in LocalHost().run(["env"]).stdout.splitlines()}
    assert names == {"PATH", "HOME", "LANG"}
    assert "EXTRA=1\n" in LocalHost(environment={"EXTRA": "1"}).run(["env"]).stdout


def test_administrators_tools_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose PATH lacks /usr/sbin could not even run lvs."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert LocalHost().run(["sh", "-c", 'echo "$PATH"']).stdout == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin\n"


def test_a_big_input_and_a_big_output_at_once_do_not_block() -> None:
    """Copying a CIB or a manifest would hang for ever once it is larger than a pipe."""
    data = os.urandom(3_000_000).hex()
    done = LocalHost().run(["sh", "-c", "tee /dev/stderr"], input=data, timeout=30)
    assert done.stdout == data
    assert done.stderr == data


def test_input_that_is_not_read_is_no_error() -> None:
    """A command that knows enough after the first line would look failed."""
    assert LocalHost().run(["true"], input=b"x" * 1_000_000).ok


def test_stdin_is_empty_and_not_a_terminal() -> None:
    """A command that asks would wait for an answer nobody sees."""
    assert LocalHost().run(["sh", "-c", "test -t 0 || cat"]).stdout == ""


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    """One strange file name in a listing would be a traceback."""
    assert LocalHost().run(["printf", r"a\377b"]).stdout == "a�b"


def test_the_whole_process_group_ends_at_the_timeout(tmp_path: Path) -> None:
    """A hung tool's children would go on working on the server's disks."""
    note = tmp_path / "pid"
    begin = time.monotonic()
    with pytest.raises(CommandError, match=r"timed out after 0\.5 s"):
        LocalHost().run(["sh", "-c", 'sleep 60 & echo $! > "$1"; wait', "sh", str(note)], timeout=0.5)
    assert time.monotonic() - begin < 10
    child = int(note.read_text())
    deadline = time.monotonic() + 5
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)


def test_what_ignores_sigterm_is_killed() -> None:
    """A tool that blocks SIGTERM would hold the whole run."""
    with pytest.raises(CommandError, match="timed out"):
        LocalHost().run(["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"], timeout=0.3)


def test_a_daemon_left_behind_does_not_hold_us(tmp_path: Path) -> None:
    """A start script whose daemon keeps its output open would hang until the timeout."""
    note = tmp_path / "pid"
    begin = time.monotonic()
    script = 'sleep 30 & echo $! > "$1"; echo started'
    assert LocalHost().run(["sh", "-c", script, "sh", str(note)], timeout=20).stdout == "started\n"
    assert time.monotonic() - begin < 5
    os.kill(int(note.read_text()), 9)


def test_lines_come_as_they_are_written() -> None:
    """The user would see nothing of a long command until it has ended."""
    lines: list[str] = []
    done = LocalHost().run(["sh", "-c", r"echo one; echo two >&2; printf '10%%\r20%%\rrest'"], on_line=lines.append)
    assert sorted(lines) == ["10%", "20%", "one", "rest", "two"]
    assert done.stdout == "one\n10%\r20%\rrest"


def test_an_error_in_on_line_ends_the_command(tmp_path: Path) -> None:
    """Cancelling would leave the command running behind the user's back."""

    class Stop(Exception):
        pass

    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise Stop

    with pytest.raises(Stop):
        LocalHost().run(["sh", "-c", "echo $$; exec sleep 60"], on_line=stop)
    assert gone(pids[0])


def test_a_missing_command_reads_as_in_a_shell() -> None:
    """A check whether a tool is installed would be a traceback here and an answer over ssh."""
    done = LocalHost().run(["no-such-tool-here"], check=False)
    assert (done.returncode, done.stderr) == (127, "no-such-tool-here: not found\n")
