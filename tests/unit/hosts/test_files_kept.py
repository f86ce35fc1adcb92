"""Earlier versions found again, and links made again, with the real scripts."""

from __future__ import annotations

from pathlib import Path

from snowha.hosts import files
from snowha.hosts.local import LocalHost

HOST = LocalHost()


def test_the_earlier_versions_of_a_file_are_found_the_newest_first(tmp_path: Path) -> None:
    """An undo would put the wrong one back."""
    root, path = str(tmp_path / "kept"), tmp_path / "a file"
    assert files.kept(HOST, str(path), root=root) == ()
    for content in (b"one\n\n", b"two \xff", b"three"):
        files.write_file(HOST, str(path), content, kept=root)
    assert [version.content for version in files.kept(HOST, str(path), root=root)] == [b"two \xff", b"one\n\n"]
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    found = files.kept(HOST, str(link / "a file"), root=root)
    assert [version.content for version in found] == [b"two \xff", b"one\n\n"]


def test_a_link_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Domains would not start at boot any more after an undo."""
    root, link = str(tmp_path / "kept"), tmp_path / "auto.cfg"
    link.symlink_to("/sNow/etc/domains/x.cfg")
    files.remove_file(HOST, str(link), kept=root)
    (version,) = files.kept(HOST, str(link), root=root)
    assert version.target == "/sNow/etc/domains/x.cfg"
    assert files.make_link(HOST, str(link), version.target)
    assert link.readlink() == Path(version.target)
    assert not files.make_link(HOST, str(link), "/elsewhere")
    assert link.readlink() == Path(version.target)


def test_what_a_call_does_is_told_from_its_words() -> None:
    """A plan would be made of something else than what is done."""
    assert files.call_of(["xl", "list"]) is None
    assert files.call_of(["sh", "-c", "rm -rf /", "sh", "/x"]) is None
