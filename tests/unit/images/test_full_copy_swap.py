"""What is taken for swap is not copied, and its volume is cleared on the way back: anything else that it is would be lost."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import ENVIRONMENT, MIB, make_image, silent, tool
from loop_devices import attached
from snapshot_site import Site

from snowha.images import signatures
from snowha.images.errors import TargetError
from snowha.images.full_copy import copy, inspect
from snowha.images.job import Options

SIZE = 24 * MIB
PAYLOAD = 3 * MIB, b"what somebody needs" * 500


def md(version: str, size: int) -> tuple[int, bytes]:
    """An md superblock, and where it is (Linux' md_p.h)."""
    if version == "0.90":
        return size // 65536 * 65536 - 65536, struct.pack("<6I", 0xA92B4EFC, 0, 90, 0, 0, 0x01020304) + bytes(4072)
    place = {"1.0": (size // 512 - 16 & ~7) * 512, "1.1": 0, "1.2": 4096}[version]
    block = bytearray(256)
    struct.pack_into("<II", block, 0, 0xA92B4EFC, 1)
    block[16:32] = bytes(range(1, 17))
    struct.pack_into("<Q", block, 0x90, place // 512)
    return place, bytes(block)


def swap_at(path: Path, size: int = SIZE, *options: str) -> Path:
    """A swap space in a file, with something that a copy of its header would lose."""
    with path.open("wb") as file:
        file.truncate(size)
    tool("mkswap", "-q", *options, path)
    put(path, *PAYLOAD)
    return path


def put(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def partitioned(path: Path) -> None:
    header = path.read_bytes()[:4096]
    subprocess.run(["sfdisk", "-q", path], input="2048,,L\n", text=True, check=True, env=ENVIRONMENT)
    put(path, 1024, header[1024:])


def with_gpt(path: Path) -> None:
    header = path.read_bytes()[:4096]
    words = ["sfdisk", "-q", "--label", "gpt", str(path)]
    subprocess.run(words, input=",,L\n", text=True, check=True, env=ENVIRONMENT)
    put(path, 1024, header[1024:])


def backup_gpt_alone(path: Path) -> None:
    with_gpt(path)
    put(path, 0, bytes(1024))


def physical_volume(path: Path) -> None:
    header = path.read_bytes()[:4096]
    put(path, 0, bytes(4096))
    with attached(path) as device:
        tool("pvcreate", "-ff", "-y", "-q", "--config", 'devices{scan="/dev" filter=["a|.*|"]}', device)
    put(path, 1024, header[1024:])


def on_raid(version: str) -> Callable[[Path], None]:
    return lambda path: put(path, *md(version, SIZE))


def header_says(at: int, value: int) -> Callable[[Path], None]:
    return lambda path: put(path, at, value.to_bytes(4, "little"))


def left_of_ext(path: Path) -> None:
    """The second half of an ext superblock, which mkswap does not reach; and its place in the header."""
    put(path, 1024 + 0x38, b"\x53\xef")


ALSO: dict[str, Callable[[Path], None]] = {
    "md 0.90": on_raid("0.90"),
    "md 1.0": on_raid("1.0"),
    "md 1.1": on_raid("1.1"),
    "md 1.2": on_raid("1.2"),
    "an MBR": partitioned,
    "a GPT": with_gpt,
    "a backup GPT": backup_gpt_alone,
    "LVM": physical_volume,
    "boot code": lambda path: put(path, 0, b"\xeb\x63\x90"),
    "LUKS": lambda path: put(path, 0, b"LUKS\xba\xbe\x00\x02"),
    "LUKS2, its second header": lambda path: put(path, 0x4000, b"SKUL\xba\xbe\x00\x02"),
    "btrfs": lambda path: put(path, 65536 + 64, b"_BHRfS_M"),
    "bcache": lambda path: put(path, 4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
    "DRBD": lambda path: put(path, SIZE - 4096 + 60, bytes.fromhex("8374026d")),
    "ZFS, only its last label": lambda path: put(path, SIZE - (128 << 10), (0xBAB10C).to_bytes(8, "little")),
    "ext": left_of_ext,
    "another page size": lambda path: put(path, 8192 - 10, b"SWAPSPACE2"),
    "more pages than the volume has": header_says(1028, SIZE // 4096),
    "no pages": header_says(1028, 0),
    "fewer pages than the volume has": header_says(1028, SIZE // 8192),
    "bad pages": header_says(1032, 1),
    "another version": header_says(1024, 2),
    "something behind the label": lambda path: put(path, 1600, b"x"),
}


@pytest.mark.parametrize("what", ALSO)
@pytest.mark.parametrize("with_blkid", [True, False])
def test_swap_that_is_something_else_as_well_is_copied(
    what: str, with_blkid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 bytes were copied and called verified. Without blkid the engine's own knowledge has to do."""
    if not with_blkid:
        monkeypatch.setattr(signatures, "agrees", lambda path, kind: None)
    source, target = swap_at(tmp_path / "source"), tmp_path / "target"
    ALSO[what](source)
    done = copy(str(source), str(target), silent)
    assert done["method"] == "every block" and done["reason"]
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("what", ["a file system that nobody here knows"])
def test_what_blkid_alone_knows_speaks_against_swap_too(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = swap_at(tmp_path / "source")
    put(source, *md("1.2", SIZE))
    monkeypatch.setattr(signatures, "only", lambda read, length, kind: None)
    assert "linux_raid_member" in inspect(str(source))["reason"]


@pytest.mark.parametrize("page", [4096, 8192, 16384, 32768, 65536])
def test_swap_for_any_page_size_is_made_anew(page: int, tmp_path: Path) -> None:
    source, target = swap_at(tmp_path / "source", SIZE, "-L", "paging", "-p", str(page)), tmp_path / "target"
    assert copy(str(source), str(target), silent)["method"] == "new swap header"
    assert target.read_bytes()[:page] == source.read_bytes()[:page]
    assert target.stat().st_size == SIZE and not any(target.read_bytes()[page:])


@settings(max_examples=30, deadline=None)
@given(size=st.integers(10 * 4096, 4 * MIB))
def test_whatever_mkswap_makes_of_a_volume_is_swap(size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Else a domain waits for gigabytes of what it swapped out."""
    source = tmp_path_factory.mktemp("swap") / "source"
    with source.open("wb") as file:
        file.truncate(size)
    tool("mkswap", "-q", source)
    assert inspect(str(source))["kind"] == "swap"


FILE_SYSTEMS_ALSO = ("an MBR", "a GPT", "a backup GPT", "md 1.0", "md 1.2", "btrfs", "LUKS2, its second header")


@pytest.mark.parametrize("what", FILE_SYSTEMS_ALSO)
def test_a_file_system_that_is_something_else_as_well_is_copied_whole(what: str, tree: Path, tmp_path: Path) -> None:
    """A signature stays when a volume is used for something else; what is behind the other one is not in ext's bitmaps."""
    source = make_image(tmp_path / "source", SIZE, [], tree)
    superblock = source.read_bytes()[1024:2048]
    ALSO[what](source)
    put(source, 1024, superblock)
    plan = inspect(str(source))
    assert plan["method"] == "every block" and "as well as ext" in plan["reason"]


@pytest.mark.parametrize(
    ("at", "content"),
    {
        "a snapshot's store": (0, struct.pack("<IIII", 0x70416E53, 1, 1, 8)),
        "dm-integrity": (0, b"integrt\0\1"),
        "VMFS": (2 * MIB, b"\x5e\xf1\xab\x2f"),
        "RAID of a mainboard": (SIZE - 1024, b"NVIDIA  "),
    }.values(),
)
def test_what_blkid_alone_knows_speaks_against_a_file_system_too(
    at: int, content: bytes, tree: Path, tmp_path: Path
) -> None:
    """What is behind a signature that the engine does not know was left out of the copy, which was called verified."""
    source = make_image(tmp_path / "source", SIZE, [], tree)
    put(source, at, content)
    plan = inspect(str(source))
    assert plan["method"] == "every block" and "blkid" in plan["reason"]


@pytest.mark.parametrize("entries", [b"\x13", b"\0"])
def test_boot_code_in_front_of_a_file_system_is_no_partition_table(entries: bytes, tree: Path, tmp_path: Path) -> None:
    """Every disk with a boot loader in its root file system would be copied whole."""
    source = make_image(tmp_path / "source", SIZE, [], tree)
    put(source, 0, b"\xeb\x58\x90" + b"\x13" * 443 + entries * 64 + b"\x55\xaa")
    assert inspect(str(source))["method"] == "ext4 used blocks"


# between rounds


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A snapshot of a swap space, copied."""
    there = Site(tmp_path, swap_at(tmp_path / "origin"))
    there.take_snapshot()
    assert there.bulk()["method"] == "new swap header"
    return there


def make_file_system(path: Path, tree: Path) -> None:
    tool("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-d", tree, path)


def test_swap_that_became_a_file_system_between_rounds_is_copied(site: Site, tree: Path, tmp_path: Path) -> None:
    make_file_system(site.origin, tree)
    site.see_changes()
    done = site.last()
    assert done["method"] == "ext4 used blocks"
    tool("e2fsck", "-fn", site.image)
    for name in ("large", "sparse"):
        tool("debugfs", "-R", f"dump /{name} {tmp_path / 'got'}", site.image)
        assert (tmp_path / "got").read_bytes() == (tree / name).read_bytes()


def test_and_between_two_snapshots_and_while_the_domain_runs(site: Site, tree: Path) -> None:
    """What it became is still a guess then; a last round follows."""
    make_file_system(site.origin, tree)
    site.see_changes()
    second = site.image.parent / "second"
    shutil.copyfile(site.origin, second)
    origin, site.origin = site.origin, second
    assert site.last(point="two")["method"] == "ext4 used blocks"
    shutil.copyfile(second, site.snapshot)
    site.origin = origin
    put(origin, 20 * MIB, b"written while it is in use")
    site.see_changes()
    site.last("two")
    tool("e2fsck", "-fn", site.image)


def test_swap_made_anew_between_rounds_has_its_new_identity(site: Site) -> None:
    tool("mkswap", "-q", "-L", "second", site.origin)
    site.see_changes()
    site.last()
    assert (
        tool("blkid", "-p", "-o", "export", site.image).split("\n")[1:]
        == (tool("blkid", "-p", "-o", "export", site.origin).split("\n")[1:])
    )


def test_swap_as_it_was_is_not_copied(site: Site) -> None:
    put(site.origin, 5 * MIB, b"swapped out" * 1000)
    site.see_changes()
    assert site.last()["copied"] == 0
    assert not any(site.image.read_bytes()[4096:])


# the way back


def test_the_way_back_does_not_clear_a_volume_that_holds_something_else(tmp_path: Path) -> None:
    """The volume was cleared for the swap space that it had been taken for: what was on it was gone for good."""
    image = swap_at(tmp_path / "image")
    volume = swap_at(tmp_path / "volume")
    put(volume, *md("1.2", SIZE))
    before = volume.read_bytes()
    with attached(volume) as device, pytest.raises(TargetError, match="holds something else"):
        copy(str(image), str(device), silent)
    assert volume.read_bytes() == before


@pytest.mark.parametrize("empty", [True, False])
def test_the_way_back_into_swap_or_into_nothing(empty: bool, tmp_path: Path) -> None:
    """Nothing: of an earlier try that was killed."""
    image = swap_at(tmp_path / "image", SIZE, "-L", "paging")
    volume = swap_at(tmp_path / "volume")
    if empty:
        volume.write_bytes(bytes(SIZE))
    with attached(volume) as device:
        copy(str(image), str(device), silent, Options())
    assert volume.read_bytes()[:4096] == image.read_bytes()[:4096] and not any(volume.read_bytes()[4096:])
