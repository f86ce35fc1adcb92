"""An image is looked at without an NFS delegation of it, which would keep the other servers from it when this one is lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from snowha.live.first_bytes import FUNCTION


def first_bytes(path: Path, at: int, programs: Path | None = None) -> str:
    words = ["sh", "-c", f'{FUNCTION}first_bytes "$@"', "sh", str(path), str(at)]
    search = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
    return subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": search}).stdout


def with_dd(folder: Path, answer: str) -> Path:
    """A folder with a dd that notes its words, one call a line."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "dd").write_text(f'#!/bin/sh\necho "$*" >> {folder}/calls\n{answer}')
    (programs / "dd").chmod(0o755)
    return programs


@pytest.mark.parametrize("name", ["web-disk", "a disk", "-disk"])
def test_they_are_the_files(tmp_path: Path, name: str) -> None:
    """A disk in another format than is thought is copied as if it were raw."""
    image = tmp_path / name
    image.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(16) + (5 << 30).to_bytes(8, "big") + bytes(8192))
    assert first_bytes(image, 0) == "514649fb00000003"
    assert int(first_bytes(image, 24), 16) == 5 << 30
    image.write_bytes(b"QFI")
    assert first_bytes(image, 0) == "514649"
    assert first_bytes(image, 24) == ""
    image.unlink()
    assert first_bytes(image, 0) == ""


def test_the_file_is_opened_with_o_direct_and_once(tmp_path: Path) -> None:
    image = tmp_path / "web-disk"
    image.write_bytes(bytes(8192))
    assert first_bytes(image, 0, with_dd(tmp_path, "printf 'QFI\\373xxxx'\n")) == "514649fb78787878"
    assert (tmp_path / "calls").read_text().splitlines() == [f"if={image} bs=4096 count=1 iflag=direct"]


def test_an_error_of_nfs_is_no_reason_to_read_it_in_another_way(tmp_path: Path) -> None:
    image = tmp_path / "web-disk"
    image.write_bytes(b"QFI")
    programs = with_dd(tmp_path, "exit 1\n")
    (programs / "stat").write_text("#!/bin/sh\necho nfs\n")
    (programs / "stat").chmod(0o755)
    assert first_bytes(image, 0, programs) == ""
    assert (tmp_path / "calls").read_text().splitlines() == [f"if={image} bs=4096 count=1 iflag=direct"]


def test_a_file_system_without_it_is_read_all_the_same(tmp_path: Path) -> None:
    image = tmp_path / "web-disk"
    image.write_bytes(bytes(8192))
    refuses = "case $* in *direct*) exit 1 ;; esac\nprintf QFI\n"
    assert first_bytes(image, 0, with_dd(tmp_path, refuses)) == "514649"
