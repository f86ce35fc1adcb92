"""A build that was killed is cleared away: without what it had mounted, which is the machine's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest

from snowha.lab import cleanup

pytestmark = machine.only_if(os.geteuid() == 0, "only root can mount")


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A build's folder with the machine's files bound into it, under a name that mountinfo writes in another way."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "precious").write_text("of the machine")
    bound = tmp_path / "x.work/trees/a tree/shm"
    bound.mkdir(parents=True)
    subprocess.run(["mount", "--bind", own, bound], check=True)
    yield tmp_path
    if bound.exists():
        subprocess.run(["umount", bound], check=False)


def test_what_is_mounted_in_it_is_not_removed(killed: Path) -> None:
    """The machine would lose its /dev/shm: the tool that unpacks Debian binds it into the tree."""
    cleanup.remove(killed / "x.work")
    assert not (killed / "x.work").exists()
    assert (killed / "own/precious").read_text() == "of the machine"


def test_who_still_writes_there_is_ended(killed: Path) -> None:
    """The next build would be mixed with the one before."""
    with subprocess.Popen(
        ["sh", "-c", "echo began; read line", killed / "x.work/log"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"began\n"  # before that, /proc may not have its words yet
        cleanup.remove(killed / "x.work")
        assert writer.wait(timeout=30) != 0
