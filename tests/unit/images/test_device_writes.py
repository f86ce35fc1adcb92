"""A source that is written while it is copied, wherever that is: a copy of half of a write is no copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from image_files import ENVIRONMENT, MIB, make_image, noise, silent, tool
from loop_devices import attached
from snapshot_site import Site

from snowha.images import device_writes
from snowha.images.errors import SourceError
from snowha.images.full_copy import copy
from snowha.images.incremental import copy_changes

SIZE = 24 * MIB
FAR = 17 * MIB
"""Behind everything that is looked at for its own sake."""


def partitioned(path: Path, tree: Path) -> Path:
    noise(path, SIZE)
    subprocess.run(["sfdisk", "-q", str(path)], input="2048,,L\n", text=True, check=True, env=ENVIRONMENT)
    return path


MAKERS: dict[str, Callable[[Path, Path], Path]] = {
    "noise": lambda path, tree: noise(path, SIZE),
    "ext4": lambda path, tree: make_image(path, SIZE, [], tree),
    "partitions": partitioned,
}


def when_planned(act: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    return lambda event: act() if event["event"] == "plan" else None


def write_past_caches(path: Path) -> None:
    """As a guest does: nothing of it is in this server's memory."""
    done = subprocess.run(
        [
            "dd",
            "if=/dev/urandom",
            f"of={path}",
            "bs=4096",
            "count=1",
            f"seek={FAR // 4096}",
            "oflag=direct",
            "conv=notrunc",
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def write_into_the_cache(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(FAR)
        file.write(b"x" * 4096)


def throw_away(path: Path) -> None:
    tool("blkdiscard", "-f", "-o", str(FAR), "-l", "65536", path)


WRITES = {"past the caches": write_past_caches, "into the cache": write_into_the_cache, "a discard": throw_away}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("how", WRITES)
def test_a_device_that_is_written_while_it_is_copied_is_noticed(
    kind: str, how: str, tree: Path, tmp_path: Path
) -> None:
    """XFS, LVM, md, btrfs, partitions change nothing in the first 64 KiB when they are used."""
    source, target = MAKERS[kind](tmp_path / "source", tree), tmp_path / "target"
    with attached(source) as device:
        with pytest.raises(SourceError, match="written while it was copied"):
            copy(str(device), str(target), when_planned(lambda: WRITES[how](device)))
        assert not target.exists()
        copy(str(device), str(target), silent)  # quiet now


def test_what_lies_on_top_of_a_device_counts_as_well(tmp_path: Path) -> None:
    """A volume in the disk that is copied, written by whoever has that open."""
    source, target = noise(tmp_path / "source", SIZE), tmp_path / "target"
    with (
        attached(source) as device,
        attached(device, "--offset", "1048576") as on_top,
        pytest.raises(SourceError, match="written while it was copied"),
    ):
        copy(str(device), str(target), when_planned(lambda: write_past_caches(on_top)))


def test_reading_is_not_writing(tmp_path: Path) -> None:
    source = partitioned(tmp_path / "source", tmp_path)

    def read(device: Path) -> None:
        tool("blkid", "-p", device)
        with device.open("r+b") as file:
            file.read(MIB)
            os.fsync(file)

    with attached(source) as device:
        copy(str(device), str(tmp_path / "target"), when_planned(lambda: read(device)))


def rewrite_and_set_the_time_back(path: Path) -> None:
    """As ``rsync --inplace --times`` does."""
    before = path.stat()
    write_into_the_cache(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file under the name: what was read is not what the domain's config names any more."""
    shutil.copy2(path, path.with_name("new"))
    path.with_name("new").replace(path)


def write_through_a_loop_device(path: Path) -> None:
    with attached(path) as device:
        write_past_caches(device)


FILE_WRITES: dict[str, Callable[[Path], None]] = {
    "a write": write_into_the_cache,
    "a write past the caches": write_past_caches,
    "a write that hides": rewrite_and_set_the_time_back,
    "another file": replace,
    "a write through a loop device": write_through_a_loop_device,
    "a longer file": lambda path: os.truncate(path, SIZE + 4096),
}


@pytest.mark.parametrize("how", FILE_WRITES)
def test_a_file_that_is_written_while_it_is_copied_is_noticed(how: str, tmp_path: Path) -> None:
    source = noise(tmp_path / "source", SIZE)
    with pytest.raises(SourceError, match="written while it was copied"):
        copy(str(source), str(tmp_path / "target"), when_planned(lambda: FILE_WRITES[how](source)))


def test_the_last_round_notices_it_too(tree: Path, tmp_path: Path) -> None:
    site = Site(tmp_path, make_image(tmp_path / "origin", SIZE, [], tree))
    site.take_snapshot()
    site.bulk()
    site.see_changes()
    with attached(site.origin) as device:
        write = when_planned(lambda: write_past_caches(device))
        with pytest.raises(SourceError, match="written while it was copied"):
            copy_changes(str(device), str(site.cow), str(site.image), write, base="one")


def test_a_device_whose_writes_are_not_counted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel's counters a write would not be noticed; that is said, with how to switch them on."""
    source = noise(tmp_path / "source", SIZE)
    with attached(source) as device:
        number = f"{os.major(device.stat().st_rdev)}:{os.minor(device.stat().st_rdev)}"
        switch = Path(f"/sys/dev/block/{number}/queue/iostats")
        switch.write_text("0")
        try:
            with pytest.raises(SourceError, match="does not count") as raised:
                copy(str(device), str(tmp_path / "target"), silent)
        finally:
            switch.write_text("1")
        assert "iostats" in raised.value.remedy
        monkeypatch.setattr(device_writes, "SYSFS", tmp_path)
        with pytest.raises(SourceError, match="does not say"):
            copy(str(device), str(tmp_path / "target"), silent)
