"""File systems that are marked clean while their own maps lie: a file that the kernel would have gone on reading must arrive."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snowha.disks import fsck
from snowha.hosts.local import LocalHost
from snowha.images.full_copy import copy, inspect

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(900_000)


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def debugfs(image: Path, *requests: str) -> None:
    done = subprocess.run(
        ["debugfs", "-w", "-f", "-", str(image)], input="\n".join(requests), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file system with a large file and many small ones, in a file full of garbage."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "large").write_bytes(CONTENT)
    for number in range(300):
        (files / f"f{number}").write_bytes(b"small")
    path = tmp_path / "image"
    path.write_bytes(random.Random(1).randbytes(1 << 20) * 40)
    run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-b", "1024", "-d", files, path)
    return path


def blocks_of(image: Path, name: str) -> list[int]:
    text = run("debugfs", "-R", f"blocks /{name}", image)
    return [int(word) for word in re.findall(r"\d+", text)]


def number_of(image: Path, pattern: str) -> int:
    found = re.search(pattern, run("dumpe2fs", image), re.M)
    assert found
    return int(found[1])


def calls_blocks_free(image: Path) -> None:
    """Blocks in use that the bitmap calls free, with every count as if it were so (as e2fsprogs' f_dup_ba)."""
    blocks = blocks_of(image, "large")[200:500]
    per_group = number_of(image, r"^Blocks per group:\s+(\d+)")
    counts: dict[int, int] = {}
    for block in blocks:
        group = (block - 1) // per_group
        counts[group] = counts.get(group, 0) + 1
    requests = [f"freeb {block}" for block in blocks]
    for group, count in counts.items():
        free = number_of(image, rf"^Group {group}:(?:.*\n)*?  (\d+) free blocks")
        requests += [f"set_bg {group} free_blocks_count {free + count}"]
    free = number_of(image, r"^Free blocks:\s+(\d+)")
    requests.append(f"ssv free_blocks_count {free + len(blocks)}")
    debugfs(image, *requests, "set_bg 0 checksum calc")


def read_back(image: Path, where: Path) -> bytes:
    run("debugfs", "-R", f"dump /large {where}", image)
    return where.read_bytes()


def test_blocks_that_the_bitmap_calls_free_arrive_from_a_snapshot(image: Path, tmp_path: Path) -> None:
    """As in a warm move: the checker makes the maps right in the snapshot, and the engine reads them there."""
    calls_blocks_free(image)
    assert inspect(str(image))["method"] == "ext4 used blocks"  # nothing in the file system speaks against its maps
    snapshot, target = tmp_path / "snapshot", tmp_path / "target"
    shutil.copyfile(image, snapshot)
    looked: list[bool] = []
    assert fsck.repair(LocalHost(), str(snapshot), lambda: looked.append(True))
    assert looked, "the snapshot may overflow meanwhile"
    done = copy(str(snapshot), str(target), lambda event: None)
    assert done["method"] == "ext4 used blocks"
    assert read_back(target, tmp_path / "got") == CONTENT


def claims_a_block_twice(image: Path) -> None:
    first = blocks_of(image, "f7")[0]
    debugfs(image, f"sif /f8 block[2] {first}", f"sif /f9 block[IND] {first}", "sif /large mode 0")


def test_of_a_file_system_that_only_a_person_can_mend_every_block_is_copied(image: Path) -> None:
    claims_a_block_twice(image)
    assert not fsck.repair(LocalHost(), str(image), lambda: None)


@pytest.mark.parametrize("lie", [calls_blocks_free, claims_a_block_twice])
def test_of_a_domain_that_is_off_the_checker_is_asked_and_changes_nothing(
    lie: Callable[[Path], None], image: Path
) -> None:
    assert fsck.is_sound(LocalHost(), str(image))
    lie(image)
    before = image.read_bytes()
    assert not fsck.is_sound(LocalHost(), str(image))
    assert image.read_bytes() == before


def test_what_is_no_ext_is_left_to_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4 * MIB))
    run("mkswap", "-q", path)
    assert fsck.is_sound(LocalHost(), str(path))


# what the engine sees by itself


def unused_too_high(image: Path, group: int = 0) -> None:
    per_group = number_of(image, r"^Inodes per group:\s+(\d+)")
    debugfs(image, f"set_bg {group} itable_unused {per_group - 20}", f"set_bg {group} checksum calc")


def unused_just_too_high(image: Path) -> None:
    """By one inode: the last in use."""
    unused = number_of(image, r"^Group 0:(?:.*\n)*?.*?(\d+) unused inodes")
    debugfs(image, f"set_bg 0 itable_unused {unused + 1}", "set_bg 0 checksum calc")


def free_inodes_too_high(image: Path) -> None:
    free = number_of(image, r"^Group 0:(?:.*\n)*?.*?(\d+) free inodes")
    debugfs(image, f"set_bg 0 free_inodes_count {free + 5}", "set_bg 0 checksum calc")


def without_inodes(image: Path) -> None:
    """The group is marked as if it had none, and all counts with it; only its bitmap is left as a witness."""
    per_group = number_of(image, r"^Inodes per group:\s+(\d+)")
    used = per_group - number_of(image, r"^Group 0:(?:.*\n)*?.*?(\d+) free inodes")
    free = number_of(image, r"^Free inodes:\s+(\d+)")
    debugfs(
        image,
        f"set_bg 0 free_inodes_count {per_group}",
        f"set_bg 0 itable_unused {per_group}",
        "set_bg 0 used_dirs_count 0",
        "set_bg 0 flags 5",
        "set_bg 0 checksum calc",
        f"ssv free_inodes_count {free + used}",
    )


def without_blocks(image: Path) -> None:
    """A group with the blocks of files in it, marked as if it had none, and all counts with it."""
    text = run("dumpe2fs", image)
    groups = re.split(r"^Group (?=\d+:)", text, flags=re.MULTILINE)[1:]
    first, last = map(int, re.search(r"\(Blocks (\d+)-(\d+)\)", groups[1]).groups())  # type: ignore[union-attr]
    inside = 0
    for low, high in re.findall(r"(?:superblock|descriptors|GDT blocks|bitmap|table) at (\d+)(?:-(\d+))?", text):
        inside += len(range(max(first, int(low)), min(last, int(high or low)) + 1))
    free, total = (
        number_of(image, r"^Group 1:(?:.*\n)*?.*?(\d+) free blocks"),
        number_of(image, r"^Free blocks:\s+(\d+)"),
    )
    assert last - first + 1 - inside > free, "there are files in it"
    debugfs(
        image,
        f"set_bg 1 free_blocks_count {last - first + 1 - inside}",
        "set_bg 1 flags 7",
        "set_bg 1 checksum calc",
        f"ssv free_blocks_count {total + last - first + 1 - inside - free}",
    )


LIES: dict[str, Callable[[Path], Any]] = {
    "a count of unused inodes": unused_too_high,
    "by one": unused_just_too_high,
    "a count of free inodes": free_inodes_too_high,
    "a group without inodes": without_inodes,
    "a total of free inodes": lambda image: debugfs(image, "ssv free_inodes_count 77"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("options", [[], ["-O", "^metadata_csum,uninit_bg"]])
def test_counts_of_inodes_that_are_wrong_under_a_right_checksum_are_not_believed(
    lie: str, options: list[str], image: Path, tmp_path: Path
) -> None:
    """The end of an inode table was left out, with the inodes in it. A record is never its own witness."""
    if options:
        run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-b", "1024", *options, "-d", tmp_path / "files", image)
    assert inspect(str(image))["method"] == "ext4 used blocks"
    LIES[lie](image)
    plan = inspect(str(image))
    assert plan["method"] == "every block" and "inode" in plan["reason"], plan


def test_a_group_with_blocks_in_use_that_is_marked_as_never_written_is_not_believed(
    image: Path, tmp_path: Path
) -> None:
    """A file was left out, whose blocks only the bitmap still knows, and the kernel reads on."""
    (tmp_path / "files" / "larger").write_bytes(random.Random(6).randbytes(12 * MIB))
    run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-b", "1024", "-d", tmp_path / "files", image)
    assert inspect(str(image))["method"] == "ext4 used blocks"
    without_blocks(image)
    plan = inspect(str(image))
    assert plan["method"] == "every block" and "bitmap has blocks in use" in plan["reason"], plan
