"""What a user may give us as a file: each of these hung, ended in a traceback, or was believed."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snowha.errors import InputError
from snowha.hosts import user_file
from snowha.hosts.ssh import SshHost
from snowha.live import connect
from snowha.live.bmc_passwords import read_secret
from snowha.plan import saved_plan
from snowha.site.model import Ssh


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "a FIFO, not a regular file"),
        (lambda path: path.mkdir(), "a folder, not a regular file"),
        (a_socket, "a socket, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.write_bytes(b"#" * (user_file.LIMIT + 1)), "larger than 1 MiB"),
        (lambda path: path.write_bytes(b"a = 1\nb = '\xff'\n"), ":2: it is not UTF-8 text"),
    ],
)
def test_what_is_no_text_of_a_sane_size_is_one_message(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "ha.toml"
    make(path)
    with pytest.raises(InputError) as caught:
        connect.read(path)
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_a_path_that_no_kernel_takes_is_one_message() -> None:
    with pytest.raises(InputError, match="too long"):
        connect.read(Path("a" * 5000))


@pytest.mark.parametrize("kind", ["plan", "secret", "ssh"])
def test_nothing_waits_for_a_fifo(tmp_path: Path, kind: str) -> None:
    """Nobody writes into it: `snow` would stand there without a word, for ever."""
    (tmp_path / "s").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "s/fifo", 0o600)
    path = str(tmp_path / "s/fifo")
    with pytest.raises(InputError, match="a FIFO"):
        if kind == "plan":
            saved_plan.read(Path(path))
        elif kind == "secret":
            read_secret("s/fifo", base=tmp_path)
        else:
            SshHost("snow01", "snow01", Ssh(config=path))


def test_an_ssh_configuration_that_is_none_is_said_before_ssh_is_started(tmp_path: Path) -> None:
    """ssh says so of each server, which then counts as one that does not answer. Two words mean none at all (ssh(1), -F)."""
    for config, said in ((tmp_path, "it is a folder"), (tmp_path / "nowhere", "the ssh configuration cannot be read")):
        with pytest.raises(InputError, match=said) as caught:
            SshHost("snow01", "snow01", Ssh(config=str(config)))
        assert caught.value.remedy
    for config_word in ("none", os.devnull):
        SshHost("snow01", "snow01", Ssh(config=config_word))


def test_what_is_written_later_is_tried_now(tmp_path: Path) -> None:
    """A plan, or half an hour of `init`, would have no place to go."""
    full = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "link").symlink_to("nowhere/x")
    for path, said in (
        (tmp_path / "nowhere/x", "no such folder"),
        (tmp_path, "it is a folder"),
        (tmp_path / "link", "a dangling link"),
        (tmp_path / ("x" * 256), "File name too long"),
        (Path("/proc/x"), "nothing can be written here"),
    ):
        with pytest.raises(InputError) as caught:
            user_file.check_target(path)
        assert said in caught.value.message and caught.value.remedy
    (tmp_path / "there").write_text("mine")
    for name in ("x" * 255, "there", "ä" * 127):
        user_file.check_target(tmp_path / name)
    script = f"""
import resource, signal
from pathlib import Path
from snowha.hosts import user_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, {full[1]}))
user_file.check_target(Path({str(tmp_path / "new")!r}))
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert "nothing can be written here: File too large" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Some editors write one, and show it nowhere."""
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert user_file.read(tmp_path / "x") == "a\r\nb"


def secret(folder: Path, content: bytes = b"geheim\n") -> Path:
    (folder / "s").mkdir(mode=0o700)
    path = folder / "s/ipmi"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_password_is_read_as_its_first_line(tmp_path: Path) -> None:
    secret(tmp_path, b"ge heim\r\nmore\n")
    assert read_secret("s/ipmi", base=tmp_path) == "ge heim"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_password_from_a_folder_in_which_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """They put their own there, and a server is fenced through their BMC; or they read it on the way."""
    secret(tmp_path).parent.chmod(mode)
    with pytest.raises(InputError) as caught:
        read_secret("s/ipmi", base=tmp_path)
    assert f"mode {mode:04o}" in str(caught.value) and "chmod 700" in caught.value.remedy


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret(tmp_path).chmod(0o640)
    with pytest.raises(InputError, match="others can read"):
        read_secret("s/ipmi", base=tmp_path)


def test_a_password_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file or its folder decides what is in it. Root's, and the caller's of sudo, are not somebody else's."""
    path = secret(tmp_path)
    owner = os.geteuid()
    monkeypatch.setattr(user_file, "trusted_owners", lambda: {owner + 1})
    with pytest.raises(InputError, match="belongs to another user"):
        read_secret("s/ipmi", base=tmp_path)
    with pytest.raises(InputError, match="belongs to another user"):
        user_file.check_private_folder(path.parent)
    monkeypatch.undo()
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert user_file.trusted_owners() == {0, 1234}
    monkeypatch.setattr(os, "geteuid", lambda: 77)
    assert user_file.trusted_owners() == {0, 77}


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    """Half a password, or half a plan, would be found by somebody."""
    script = f"""
import resource, signal
from pathlib import Path
from snowha.hosts import user_file
resource.setrlimit(resource.RLIMIT_FSIZE, (4, {resource.RLIM_INFINITY}))
try: user_file.write(Path({str(tmp_path)!r}) / "x", "more than four", mode=0o600)
except OSError as error: print(error.strerror)
"""
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "too large" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """`metrics -o /dev/null` made a file of /dev/null, for every program of the machine."""
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to("/dev/null")
    for path in (fifo, link, tmp_path):
        with pytest.raises(InputError, match="not a regular file"):
            user_file.write(path, "text", mode=0o600)
    assert sorted(tmp_path.iterdir()) == [fifo, link] and stat.S_ISFIFO(fifo.stat().st_mode)


def test_every_earlier_version_stays_with_its_mode(tmp_path: Path) -> None:
    """The second --force would throw away what was edited before the first."""
    path = tmp_path / "ha.toml"
    path.write_text("one")
    path.chmod(0o640)
    for text, name in (("two", "ha.toml.old"), ("three", "ha.toml.old.2")):
        new = user_file.beside(path, text, mode=0o600)
        user_file.like(new, path)
        assert user_file.put(new, path, keep=True) == tmp_path / name
    assert [(tmp_path / name).read_text() for name in ("ha.toml.old", "ha.toml.old.2", "ha.toml")] == [
        "one",
        "two",
        "three",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o640}
