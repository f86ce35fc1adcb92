"""Files on a host, through a real shell and real coreutils."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import machine
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snowha.errors import CommandError, InputError
from snowha.hosts import files
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost

HOST = LocalHost("snow01")


@pytest.fixture
def kept(tmp_path: Path) -> str:
    return str(tmp_path / "kept")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def touched(path: Path) -> tuple[int, int, int]:
    """What a change of the file would change: not its time of access, which reading it moves on."""
    info = path.stat()
    return info.st_ino, info.st_mtime_ns, info.st_ctime_ns


def versions(kept: str, path: Path) -> list[Path]:
    folder = Path(kept + str(path))
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    """A missing config would be taken for an empty one, or be a traceback."""
    for path in (str(tmp_path / "none"), str(tmp_path / "none" / "below"), "/etc/passwd/below"):
        assert files.read_file(HOST, path) is None
        assert files.stat(HOST, path) is None
        assert files.sha256(HOST, path) is None
        assert not files.exists(HOST, path)


def test_a_folder_is_not_read_as_a_missing_file(tmp_path: Path) -> None:
    """Something in the way of a config would be overwritten in good faith."""
    assert files.exists(HOST, str(tmp_path))
    with pytest.raises(CommandError, match="cannot read"):
        files.read_file(HOST, str(tmp_path))
    with pytest.raises(CommandError, match="not a regular file"):
        files.write_file(HOST, str(tmp_path), "x")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=3000), name=st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1))
def test_any_content_under_any_name_comes_back(tmp_path: Path, content: bytes, name: str) -> None:
    """An authkey with a zero byte, or a config named strangely, would be another one afterwards."""
    path = f"{tmp_path}/{name}"
    if name in (".", "..") or any(ord(sign) < 32 or ord(sign) == 127 for sign in name) or len(name.encode()) > 200:
        return
    files.write_file(HOST, path, content, keep=False)
    assert files.read_file(HOST, path) == content
    assert not files.write_file(HOST, path, content, keep=False)
    assert files.remove_file(HOST, path, keep=False)
    assert not files.remove_file(HOST, path, keep=False)
    assert list(tmp_path.iterdir()) == []


def test_written_twice_is_changed_once(tmp_path: Path, kept: str) -> None:
    """`snow ha apply` on a finished site would change something every time."""
    path = tmp_path / "corosync.conf"
    assert files.write_file(HOST, str(path), "totem {}\n", mode=0o644, kept=kept)
    before = touched(path)
    assert not files.write_file(HOST, str(path), "totem {}\n", mode=0o644, kept=kept)
    assert touched(path) == before
    assert versions(kept, path) == []


def test_the_earlier_version_is_kept_with_its_mode(tmp_path: Path, kept: str) -> None:
    """Nobody could go back to what the administrator had written."""
    path = tmp_path / "snow.conf"
    path.write_text("old\n")
    path.chmod(0o640)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert files.write_file(HOST, str(path), "new\n", kept=kept)
    assert (path.read_text(), mode(path)) == ("new\n", 0o640)
    (version,) = versions(kept, path)
    assert (version.read_text(), mode(version), version.stat().st_mtime) == ("old\n", 0o640, 1_000_000_000)
    assert mode(Path(kept)) == mode(version.parent) == 0o700


def test_every_version_is_kept(tmp_path: Path, kept: str) -> None:
    """Two changes within a second would lose the first."""
    path = tmp_path / "file"
    for number in range(4):
        files.write_file(HOST, str(path), str(number), kept=kept)
    files.remove_file(HOST, str(path), kept=kept)
    assert [version.read_text() for version in versions(kept, path)] == ["0", "1", "2", "3"]


def test_a_secret_is_never_readable_by_others(tmp_path: Path, kept: str) -> None:
    """Any user of the server could read the cluster's key while it is written, or in its kept version."""
    path = tmp_path / "authkey"
    old = os.umask(0)
    try:
        files.write_file(HOST, str(path), b"\0secret", kept=kept)
        assert mode(path) == 0o600
        files.write_file(HOST, str(path), b"\0secret2", mode=0o400, kept=kept)
    finally:
        os.umask(old)
    assert mode(path) == 0o400
    assert mode(versions(kept, path)[0]) == 0o600


class Recorder(LocalHost):
    """Remembers every word that went into an argument."""

    def __init__(self) -> None:
        super().__init__("snow01")
        self.words: list[str] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.words += argv
        return super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)


def test_content_is_never_in_an_argument(tmp_path: Path) -> None:
    """The BMC's password, or a hash of it, could be read from the list of processes."""
    host = Recorder()
    files.write_file(host, str(tmp_path / "x"), "hunter2", keep=False)
    content = "hunter2"
    digest = files.sha256(host, str(tmp_path / "x"))
    assert digest is not None
    assert not [word for word in host.words if content in word or digest in word]


def test_only_the_mode_is_wrong(tmp_path: Path, kept: str) -> None:
    """A readable authkey with the right content would stay readable."""
    path = tmp_path / "authkey"
    path.write_text("same")
    path.chmod(0o644)
    assert files.write_file(HOST, str(path), "same", mode=0o400, kept=kept)
    assert mode(path) == 0o400
    assert not files.write_file(HOST, str(path), "same", mode=0o400, kept=kept)
    assert mode(versions(kept, path)[0]) == 0o644


def test_a_link_stays_a_link(tmp_path: Path, kept: str) -> None:
    """A config that a site keeps elsewhere and links to would part from its original."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    assert files.write_file(HOST, str(link), "new", kept=kept)
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert len(versions(kept, real)) == 1


def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path, kept: str) -> None:
    """Taking a domain out of /etc/xen/auto would delete its config."""
    real, link = tmp_path / "deploy01.cfg", tmp_path / "auto"
    real.write_text("name")
    link.symlink_to(real)
    assert files.remove_file(HOST, str(link), kept=kept)
    assert real.exists()
    assert not link.is_symlink()
    assert versions(kept, link)[0].readlink() == real


class Cut(LocalHost):
    """A connection that breaks after so many bytes: the far side sees the end of its input there."""

    def __init__(self, length: int) -> None:
        super().__init__("snow01")
        self.length = length

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        return super().run(argv, input=input[: self.length], timeout=timeout, check=check, on_line=on_line)


@pytest.mark.parametrize("length", [0, 30, 70, 84, 85, 90])
def test_half_a_content_is_never_put_in_place(tmp_path: Path, kept: str, length: int) -> None:
    """A connection lost at the wrong instant would leave half a corosync.conf in /etc."""
    path = tmp_path / "file"
    path.write_text("whole and old")
    with pytest.raises(CommandError, match="cannot write"):
        files.write_file(Cut(length), str(path), "whole and new", kept=kept)
    assert path.read_text() == "whole and old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The user would not know what is missing on the server."""
    with pytest.raises(CommandError, match=f"snow01: cannot write .*no such folder: {tmp_path}/none"):
        files.write_file(HOST, f"{tmp_path}/none/file", "x", keep=False)


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\nb", "/a\0b", ""])
def test_paths_that_mean_harm_are_refused(path: str) -> None:
    """A name like ../../etc from a config would lead out of its folder."""
    for function in (files.read_file, files.remove_file, files.make_dir, files.stat):
        with pytest.raises(InputError):
            function(HOST, path)


def test_folders(tmp_path: Path) -> None:
    """Images and keys would have nowhere to go, or be open to everybody."""
    path = tmp_path / "a" / "b"
    assert files.make_dir(HOST, str(path), mode=0o700)
    assert mode(path) == 0o700
    assert not files.make_dir(HOST, str(path), mode=0o700)
    assert not files.make_dir(HOST, str(path))
    assert files.make_dir(HOST, str(path), mode=0o750)
    facts = files.stat(HOST, str(path))
    assert facts is not None
    assert (facts.mode, facts.kind) == (0o750, "directory")


@machine.only_if(os.geteuid() == 0, "only root can give a file away")
def test_the_owner_is_kept_and_can_be_given(tmp_path: Path, kept: str) -> None:
    """Pacemaker's daemons could not read their own files after we touched them."""
    nobody = pwd.getpwnam("nobody")
    path = tmp_path / "cib"
    path.write_text("old")
    os.chown(path, nobody.pw_uid, nobody.pw_gid)
    assert files.write_file(HOST, str(path), "new", kept=kept)
    assert path.stat().st_uid == nobody.pw_uid
    assert versions(kept, path)[0].stat().st_uid == nobody.pw_uid
    assert files.write_file(HOST, str(path), "new", owner="root:root", kept=kept)
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 0)
    assert not files.write_file(HOST, str(path), "new", owner="root", kept=kept)
    facts = files.stat(HOST, str(path))
    assert facts is not None
    assert (facts.owner, facts.group, facts.size, facts.mode) == ("root", "root", 3, 0o644)


def test_versions_are_numbered_whatever_the_clock_says(tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workstation whose clock was set back, or a second one: undo would put back a config of before the last change."""
    path = tmp_path / "file"
    path.write_text("0")
    old = Path(kept + str(path))
    old.mkdir(parents=True)
    (old / "20991231T235959.000000Z-abcd").write_text("of a version that went by the clock")
    (old / "v-not-ours").write_text("somebody else's")
    years = iter(range(2030, 2030 - 12, -1))

    class Backwards(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(next(years), 1, 1, tzinfo=UTC)

    monkeypatch.setattr(files, "datetime", Backwards)
    for number in range(1, 12):
        files.write_file(HOST, str(path), str(number), kept=kept)
    found = [version.content.decode() for version in files.kept(HOST, str(path), root=kept) if version.name != "v-not-ours"]
    assert found == [*map(str, range(10, -1, -1)), "of a version that went by the clock"]


def test_links_are_numbered_with_files(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "link"
    for target in ("nowhere", "elsewhere"):
        path.symlink_to(target)
        files.remove_file(HOST, str(path), kept=kept)
    assert [version.target for version in files.kept(HOST, str(path), root=kept)] == ["elsewhere", "nowhere"]
