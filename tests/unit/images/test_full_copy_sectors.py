"""Disks with sectors of 4 KiB: a partition table on one means other places on an image."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from image_files import ENVIRONMENT, MIB, make_image, noise, silent
from loop_devices import attached

from snowha.images.errors import SectorError
from snowha.images.full_copy import copy

SIZE = 24 * MIB


def partition(device: Path, label: str) -> None:
    words = ["sfdisk", "-q", "--label", label, str(device)]
    subprocess.run(words, input=",,L\n", text=True, check=True, env=ENVIRONMENT)


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_partitioned_disk_with_other_sectors_is_refused_both_ways(label: str, tmp_path: Path) -> None:
    """The domain would find no partition table in its image, or, on the way back, none in its volume."""
    disk, target = noise(tmp_path / "disk", SIZE), tmp_path / "target"
    with attached(disk, "--sector-size", "4096") as device:
        partition(device, label)
        with pytest.raises(SectorError, match="sectors of 4096 bytes"):
            copy(str(device), str(target), silent)
        assert not list(tmp_path.glob("target*"))
        image = noise(tmp_path / "image", SIZE)
        with attached(image) as small:
            partition(small, label)
            copy(str(small), str(target), silent)
        before = disk.read_bytes()
        with pytest.raises(SectorError, match="sectors of 512 bytes"):
            copy(str(image), str(device), silent)
        assert disk.read_bytes() == before


def test_a_file_system_on_the_whole_of_such_a_disk_is_copied(tree: Path, tmp_path: Path) -> None:
    disk = make_image(tmp_path / "disk", SIZE, [], tree)
    with attached(disk, "--sector-size", "4096") as device:
        assert copy(str(device), str(tmp_path / "target"), silent)["method"] == "ext4 used blocks"
