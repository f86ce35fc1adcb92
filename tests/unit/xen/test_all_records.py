"""The records of all leases in one question: which images the shell finds and names."""

from __future__ import annotations

from pathlib import Path

from snowha.hosts.local import LocalHost
from snowha.hosts.read_only import is_read_only
from snowha.xen import leases, server_program


def asked(folder: Path) -> list[str]:
    """The images that snow-lease is called with, one a line."""
    words = leases.argv_of_all(str(folder))
    words[2] = words[2].replace(f"exec {server_program.PATH} list", "printf '%s\\n'")
    return LocalHost().run(words).stdout.splitlines()


def test_every_image_with_a_record_is_named_and_nothing_else(tmp_path: Path) -> None:
    """A lease that is not asked for would be shown as unknown; a name with a blank would be two images."""
    for name in ("a/a-disk", "a/a-disk.lease", "b c/b c-disk.lease", "c/c-disk", "d.lease"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert asked(tmp_path) == [f"{tmp_path}/a/a-disk", f"{tmp_path}/b c/b c-disk"]


def test_a_folder_without_records_is_no_image(tmp_path: Path) -> None:
    """`*` itself would be taken for one, and the whole answer be an error."""
    assert asked(tmp_path) == [""]  # printf without a word
    assert asked(tmp_path / "nowhere") == [""]


def test_it_changes_nothing() -> None:
    assert is_read_only(leases.argv_of_all("/sNow/domains"))
