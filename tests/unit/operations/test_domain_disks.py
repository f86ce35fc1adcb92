"""The scripts that make and enlarge an image: a real shell, real files, and the real program that takes leases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lease_program import LeaseProgram

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.live import first_bytes
from snowha.operations.domains import disks

MIB = 1 << 20


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    argv = ["sh", "-c", script, "sh", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def image(tmp_path: Path, lease_program: LeaseProgram) -> Path:
    path = tmp_path / "new01-disk"
    path.write_bytes(b"content".ljust(MIB, b"."))
    assert lease_program.run("snow01", "new", str(path)).returncode == 0
    return path


def test_an_empty_image_is_there_whole_or_not_at_all_and_never_over_another(tmp_path: Path) -> None:
    """What is there is somebody's."""
    path = tmp_path / "new01-disk"
    (tmp_path / "new01-disk.partial").write_bytes(b"of a run that was killed")
    done = run(disks.EMPTY, path, 2 * MIB)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == bytes(2 * MIB) and path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"mine")
    assert run(disks.EMPTY, path, 2 * MIB).returncode == 0
    assert path.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [path]


def test_an_image_grows_under_its_lease_which_is_free_again(image: Path, lease_program: LeaseProgram) -> None:
    done = run(disks.GROW, image, 3 * MIB, lease_program.of("snow01"))
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == b"content".ljust(MIB, b".") + bytes(2 * MIB)
    assert lease_program.record(image).state == "free"
    assert run(disks.GROW, image, MIB, lease_program.of("snow01")).returncode == 0
    assert image.stat().st_size == 3 * MIB, "it was made smaller"


def test_an_image_that_somebody_has_does_not_grow(image: Path, lease_program: LeaseProgram) -> None:
    """A domain that was started meanwhile has a device of the old size."""
    with image.open("r+b") as file:
        taken = ("take", str(image), "--fd", str(file.fileno()))
        assert lease_program.run("snow02", *taken, descriptors=(file.fileno(),)).returncode == 0
        done = run(disks.GROW, image, 3 * MIB, lease_program.of("snow01"))
        assert done.returncode == 1 and "snow02" in done.stderr
    assert image.stat().st_size == MIB


def test_no_room_leaves_it_as_it_was(image: Path, lease_program: LeaseProgram) -> None:
    """A hole in it would be an error of the domain's disk, some day."""
    done = run(disks.GROW, image, 1 << 62, lease_program.of("snow01"))
    assert done.returncode == 1 and done.stderr
    assert image.stat().st_size == MIB and lease_program.record(image).state == "free"


@pytest.mark.parametrize(("content", "kind"), [(b"QFI\xfb\0\0\0\3", "514649fb"), (b"\x1f\x8b\x08", "1f8b")])
def test_the_first_bytes_tell_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "template"
    path.write_bytes(content)
    assert run(first_bytes.READ, path).stdout.startswith(kind) and kind in disks._NOT_RAW


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty, or cannot be read"), (b"QFI\xfb" + bytes(508), "qcow2"), (b"\x1f\x8b" + bytes(510), "gzip")],
)
def test_an_image_that_holds_nothing_or_something_else_is_not_given_to_a_domain(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    with pytest.raises(SiteError, match=said):
        disks.refuse_other_formats(LocalHost(), str(path))


def test_an_image_of_zeros_is_raw(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(bytes(4096))
    disks.refuse_other_formats(LocalHost(), str(tmp_path / "given"))
