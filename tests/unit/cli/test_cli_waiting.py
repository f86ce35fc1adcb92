"""What a terminal shows while a verb has nothing to show yet: never nothing, and nothing where there is no terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snowha.cli import verbosity, waiting
from snowha.cli.waiting import text
from snowha.hosts.current_waits import Wait
from snowha.site.ha_toml import HaFile, render
from snowha.site.model import FenceDevice, Paths, Server

HA = HaFile(
    name="snow",
    paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
    servers=tuple(
        Server(
            f"snow0{n}",
            f"192.0.2.{n}",
            (f"192.0.2.{n}",),
            FenceDevice("fence_ipmilan", f"192.0.2.10{n}", "admin", "secrets/ipmi"),
        )
        for n in (1, 2)
    ),
    domains=("deploy01",),
    floating_ip=None,
    mounts=(),
    apart=(),
)
SILENT_SSH = """\
#!/bin/sh
# a server that takes the connection and then says nothing, until the test lets it go
read -r word < 'LET_GO'
echo "Connection closed" >&2
exit 255
"""
VERBS = {
    "init": ["ha", "init", "snow01", "snow02", "-o", "new.toml"],
    "check": ["ha", "check"],
    "plan": ["ha", "plan"],
    "apply": ["ha", "apply"],
    "status": ["ha", "status"],
    "log": ["ha", "log", "--file", "ha.toml"],
    "undo": ["ha", "undo", "--yes"],
    "images list": ["images", "list"],
    "images copy": ["images", "copy", "deploy01"],
    "images verify": ["images", "verify", "deploy01"],
    "images restore": ["images", "restore", "deploy01"],
    "images discard": ["images", "discard", "deploy01"],
}


@pytest.mark.parametrize(
    ("doing", "waits", "line"),
    [
        ("", [], ""),
        ("checking 40 steps", [], "checking 40 steps"),
        ("", [Wait("snow01", 99.5)], "asking snow01"),
        ("", [Wait("snow02", 92), Wait("snow01", 99.5)], "waiting for snow02 (8 s)"),
        ("", [Wait("the BMC of snow02", 60), Wait("snow01", 90)], "waiting for the BMC of snow02, snow01 (40 s)"),
        ("checking 40 steps", [Wait("snow02", 92)], "checking 40 steps · waiting for snow02 (8 s)"),
        ("", [Wait(f"s{n}", 10 + n) for n in range(7)], "waiting for s0, s1, s2, 4 more (90 s)"),
    ],
)
def test_the_line(doing: str, waits: list[Wait], line: str) -> None:
    assert text(doing, waits, 100.0) == line


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a ha.toml, whose servers are silent."""
    (tmp_path / "ha.toml").write_text(render(HA))
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SILENT_SSH.replace("LET_GO", str(tmp_path / "let-go")))
    ssh.chmod(0o755)
    os.mkfifo(tmp_path / "let-go")
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets/ipmi").touch(mode=0o600)
    (tmp_path / "secrets/ipmi").write_text("x\n")
    return tmp_path


def run(site: Path, words: list[str], until: Callable[[str], bool]) -> str:
    """What a terminal shows of ``snow``'s stderr. The servers are silent ``until`` then, and close the connection."""
    reading, writing = pty.openpty()
    environment = {
        **os.environ,
        "PATH": f"{site / 'bin'}:{os.environ['PATH']}",
        "SNOW_JOURNAL": str(site / "journal.sqlite"),
        "XDG_RUNTIME_DIR": str(site),
        "TERM": "xterm",
        "COLUMNS": "100",
    }
    command = [sys.executable, "-m", "snowha.cli.main", *words]
    process = subprocess.Popen(command, cwd=site, env=environment, stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    shown, let_go = "", False
    # both ends: neither whoever reads nor whoever writes waits for the other, and there is a line for each ssh that is to come
    door = os.open(site / "let-go", os.O_RDWR)
    try:
        while True:
            try:
                data = os.read(reading, 4096)
            except OSError:  # Linux: the last one closed its end of the terminal
                data = b""
            shown += data.decode()
            if not data:
                return shown
            if not let_go and until(shown):
                let_go = True
                os.write(door, b"go\n" * 1000)
    finally:
        os.close(door)
        os.close(reading)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS.keys())
def test_every_verb_says_what_it_waits_for(site: Path, words: list[str]) -> None:
    """`check` showed nothing for 41 s while a BMC was silent: nobody knows whether it still works."""
    shown = run(site, words, until=lambda shown: "waiting for snow0" in shown)
    assert "waiting for snow0" in shown
    assert "Traceback" not in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)], ids=["log", "quiet"])
def test_nothing_is_shown_where_nobody_looks(stream: io.StringIO, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log would be full of it."""

    def begun() -> None:
        raise AssertionError("it was shown")

    monkeypatch.setattr(waiting, "Line", begun)
    monkeypatch.setattr(verbosity, "chosen", verbosity.Chosen(quiet=quiet))
    monkeypatch.setattr(sys, "stderr", stream)
    with waiting.shown() as doing:
        doing("checking 40 steps")
    assert stream.getvalue() == ""
