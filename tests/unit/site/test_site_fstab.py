"""fstab as mount(8) reads it: an entry that is not seen is written a second time, or another file system is mounted over it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from snowha.site.fstab import entry_of, parse, same_source

TEXT = """\
# /etc/fstab
   # nfs00:/old /sNow nfs defaults 0 0
\t#x
/dev/vda1 / ext4 errors=remount-ro 0 1
nfs01:/export/sNow\t/sNow/  nfs4 vers=4.2,hard 0 0
nfs01:/export//doubled //doubled//folder/ nfs ro
nfs01:/export/my\\040home /home nfs defaults
nfs01:/export/other /other nfs defaults # a comment
nfs01:/export/signed /signed nfs ro -1 +2
nfs01:/export/words /words nfs ro x y
nfs01:/export/digits /digits nfs ro \u0663 0
nfs01:/export/windows /windows nfs ro 0 0\r
nfs01:/export/windows2 /windows2 nfs\r
tmpfs /run/x tmpfs
none
"""


def test_comments_may_be_indented_and_a_slash_at_the_end_does_not_count() -> None:
    entry = entry_of(TEXT, "/sNow")
    assert entry and (entry.source, entry.options) == ("nfs01:/export/sNow", "vers=4.2,hard")
    home = entry_of(TEXT, "/home/")
    assert home and home.source == "nfs01:/export/my home"
    assert entry_of(TEXT, "/nowhere") is None


def test_a_doubled_slash_is_one() -> None:
    """mount(8) takes them for one, and a second entry of the same mount point would be written."""
    entry = entry_of(TEXT, "/doubled/folder")
    assert entry and entry_of(TEXT, "/doubled//folder/") == entry
    assert same_source(entry.source, "nfs01:/export/doubled/") and not same_source("nfs01:/a", "nfs01:/b")


@pytest.mark.needs("findmnt")
@pytest.mark.parametrize("target", ["/doubled/folder", "//doubled/folder", "/doubled/folder//", "/doubled", "/sNow//"])
def test_findmnt_finds_the_same_entry(tmp_path: Path, target: str) -> None:
    file = tmp_path / "fstab"
    file.write_text(TEXT, newline="")
    words = ["findmnt", "--tab-file", str(file), "--noheadings", "--output", "SOURCE", "--mountpoint", target]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    entry = entry_of(TEXT, target)
    assert (entry.source if entry else "") == found


@pytest.mark.needs("findmnt")
def test_findmnt_reads_the_same(tmp_path: Path) -> None:
    file = tmp_path / "fstab"
    file.write_text(TEXT, newline="")
    words = ["findmnt", "--tab-file", str(file), "--json", "--list", "--output", "SOURCE,TARGET,FSTYPE"]
    rows = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["filesystems"]
    theirs = [(row["source"], re.sub("/+", "/", row["target"]).rstrip("/") or "/", row["fstype"]) for row in rows]
    assert [(entry.source, entry.target, entry.fstype) for entry in parse(TEXT)] == theirs
