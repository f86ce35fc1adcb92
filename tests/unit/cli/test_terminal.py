"""What ``snow`` shows on terminals of all kinds, in a pipe, and what it leaves there when it is stopped."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_cli_waiting import HA

from snowha.cli.terminal import has_colour, is_live
from snowha.site.ha_toml import render

REFUSING = "#!/bin/sh\necho 'ssh: connect to host: Connection refused' >&2\nexit 255\n"
HANGING = "#!/bin/sh\nexec sleep 60\n"
ESCAPE = "\x1b["


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a ha.toml, whose servers refuse ssh."""
    (tmp_path / "ha.toml").write_text(render(HA))
    (tmp_path / "bin").mkdir()
    ssh(tmp_path, REFUSING)
    return tmp_path


def ssh(site: Path, program: str) -> None:
    (site / "bin/ssh").write_text(program)
    (site / "bin/ssh").chmod(0o755)


class Snow:
    """``snow`` on a terminal of its own, or with its output in a pipe."""

    def __init__(self, site: Path, *words: str, piped: bool = False, **environment: str) -> None:
        cleaned = {k: v for k, v in os.environ.items() if k not in ("TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        paths = {"PATH": f"{site / 'bin'}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(site)}
        env = {**cleaned, **paths, "SNOW_JOURNAL": str(site / "journal.sqlite"), **environment}
        self._reading, writing = os.pipe() if piped else pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snowha.cli.main", *words],
            cwd=site,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        self.shown = ""

    def until(self, condition: Callable[[str], bool]) -> None:
        """Read until what is shown fulfils ``condition``, or to the end."""
        while not condition(self.shown):
            try:
                data = os.read(self._reading, 65536)
            except OSError:  # Linux: the last one closed its end of the terminal
                data = b""
            if not data:
                return
            self.shown += data.decode()

    def end(self) -> int:
        self.until(lambda shown: False)
        os.close(self._reading)
        return self.process.wait()


def shown(site: Path, *words: str, piped: bool = False, **environment: str) -> str:
    snow = Snow(site, *words, piped=piped, **environment)
    assert snow.end() == 4
    return snow.shown


@pytest.mark.parametrize(
    ("environment", "piped", "coloured"),
    [
        ({"TERM": "xterm"}, False, True),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, False, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": ""}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colours_are_those_that_the_environment_asks_for(
    site: Path, environment: dict[str, str], piped: bool, coloured: bool
) -> None:
    """An editor's shell (TERM=dumb) shows the escape sequences as characters."""
    text = shown(site, "status", piped=piped, **environment)
    assert ("\x1b[1;31mWRONG\x1b[0m" in text) is coloured and "WRONG" in text
    if not coloured:
        assert not re.search(r"\x1b\[[0-9;]+m", text.replace("\x1b[2m", "").replace("\x1b[0m", ""))


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_only_print_gets_one_status_after_the_other(site: Path, term: str) -> None:
    """The live screen filled it with escape sequences, and with 24 lines for each refresh."""
    snow = Snow(site, "status", "--watch", "--every", "1", TERM=term)
    snow.until(lambda text: text.count("NOT known") > 1)
    snow.process.send_signal(signal.SIGINT)
    assert snow.end() == 4 and "\x1b" not in snow.shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_live_screen_that_is_ended_gives_the_terminal_back(site: Path, number: signal.Signals) -> None:
    """After `kill`, or a closed connection inside of tmux, the screen had no cursor and nothing of what was there before."""
    snow = Snow(site, "status", "--watch", TERM="xterm")
    snow.until(lambda text: "NOT known" in text)
    snow.process.send_signal(number)
    assert snow.end() == 4
    assert snow.shown.rindex("\x1b[?1049l") > snow.shown.rindex("\x1b[?1049h")
    assert snow.shown.rindex("\x1b[?25h") > snow.shown.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    "words", [["status"], ["list", "domains"], ["boot", "deploy01"], ["ha", "check"], ["ha", "plan"]]
)
def test_ctrl_c_does_not_wait_for_a_server_that_hangs(site: Path, words: list[str]) -> None:
    """It said "interrupted", and gave the terminal back half a minute later."""
    ssh(site, HANGING)
    (site / "secrets").mkdir(mode=0o700)
    (site / "secrets/ipmi").write_text("x\n")
    (site / "secrets/ipmi").chmod(0o600)
    snow = Snow(site, *words, TERM="xterm")
    snow.until(lambda text: "waiting for snow0" in text)
    stopped = time.monotonic()
    snow.process.send_signal(signal.SIGINT)
    assert snow.end() == 130
    assert time.monotonic() - stopped < 15 and "interrupted" in snow.shown


def test_what_a_terminal_does_not_have_is_written_with_what_it_has(site: Path) -> None:
    r"""What is to be typed stood behind `\u2192`, which somebody pasted along."""
    text = shown(site, "status", piped=True, PYTHONIOENCODING="iso-8859-1")
    assert "       -> is it still booting?" in text and "\\u" not in text


def test_a_live_screen_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR is about colours: a log of a build got the movements of a cursor as well."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Path(os.devnull).open("w") as nowhere:
        assert has_colour(nowhere) and not is_live(nowhere)
