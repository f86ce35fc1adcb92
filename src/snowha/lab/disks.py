"""Disks for the lab's machines: bootable ones, and a volume group whose volumes hold the domains."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snowha.hosts.local import LocalHost
from snowha.lab.layout import DomainPlan

MIB = 1 << 20
PARTITION_START = 1 * MIB
VOLUME_GROUP = "snow_vg"

# Every release that the lab builds can read these, and so can its GRUB.
_EXT4_FEATURES = "^metadata_csum_seed,^orphan_file"


def make_ext4(target: Path, tree: Path, *, size: int, offset: int = 0) -> None:
    """An ext4 of ``size`` bytes at ``offset`` of the file ``target``, holding ``tree``. Needs no mount."""
    LocalHost().run(
        [
            "mkfs.ext4", "-q", "-F", "-O", _EXT4_FEATURES, "-E", f"offset={offset},lazy_itable_init=0,nodiscard",
            "-d", str(tree), str(target), f"{size // 1024}k",
        ],
        timeout=600,
    )  # fmt: skip


def make_bootable(target: Path, tree: Path, *, size: int, boot: tuple[bytes, bytes] | None) -> None:
    """A raw disk of ``size`` bytes: MBR, one partition with ``tree``, and GRUB's ``boot`` sector and core when given."""
    with target.open("wb") as file:
        file.truncate(size)
    make_ext4(target, tree, size=size - PARTITION_START, offset=PARTITION_START)
    LocalHost().run(["sfdisk", "-q", str(target)], input=f"start={PARTITION_START // 512}, type=83, bootable\n")
    if boot is None:
        return
    sector, core = boot
    if len(core) > PARTITION_START - 512:
        raise ValueError(f"GRUB's core of {len(core)} bytes does not fit before the first partition")
    with target.open("r+b") as file:
        file.write(sector[:440])  # the partition table begins at 446, the disk's signature at 440
        file.seek(512)
        file.write(core)


@contextmanager
def loop_device(file: Path) -> Iterator[str]:
    """``file`` as a loop device for as long as the block lasts."""
    host = LocalHost()
    device = host.run(["losetup", "--find", "--show", str(file)]).stdout.strip()
    try:
        yield device
    finally:
        host.run(["losetup", "--detach", device])


def _lvm(device: str, *words: str) -> str:
    """LVM's own tools on one device, without device-mapper: the metadata is real, nothing is activated."""
    config = (
        f'devices {{ filter=["a|^{device}$|","r|.*|"] use_devicesfile=0 obtain_device_list_from_udev=0 }} '
        "activation { udev_sync=0 udev_rules=0 monitoring=0 } backup { backup=0 archive=0 }"
    )
    return LocalHost().run(["lvm", words[0], "--driverloaded", "n", "--config", config, *words[1:]], timeout=60).stdout


@dataclass(frozen=True)
class Volume:
    """A logical volume and where its (single) extent range lies on the disk, in bytes."""

    name: str
    offset: int
    size: int


def make_volume_group(target: Path, *, size: int, volumes: dict[str, int]) -> dict[str, Volume]:
    """A raw disk of ``size`` bytes that is the volume group ``snow_vg`` with ``volumes`` (name to bytes)."""
    with target.open("wb") as file:
        file.truncate(size)
    with loop_device(target) as device:
        _lvm(device, "pvcreate", device)
        _lvm(device, "vgcreate", VOLUME_GROUP, device)
        for name, length in volumes.items():
            _lvm(device, "lvcreate", "-an", "-Zn", "-Wn", "-L", f"{length}b", "-n", name, VOLUME_GROUP)
        physical = _lvm(device, "pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start,vg_extent_size")
        start, extent = (int(word) for word in physical.split())
        report = _lvm(
            device, "lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "lv_name,lv_size,seg_pe_ranges"
        )
    found = {}
    for line in report.splitlines():
        match = re.fullmatch(r"\s*(\S+)\s+(\d+)\s+\S+:(\d+)-\d+\s*", line)
        if match:
            name, length, first = match[1], int(match[2]), int(match[3])
            found[name] = Volume(name, start + first * extent, length)
    missing = set(volumes) - set(found)
    if missing:
        raise ValueError(f"volumes without one contiguous range: {', '.join(sorted(missing))}\n{report}")
    return found


def write_into(target: Path, volume: Volume, content: Path) -> None:
    """Put the file ``content`` (holes stay holes) where ``volume`` lies on the disk ``target``."""
    if content.stat().st_size > volume.size:
        raise ValueError(f"{content} is larger than volume {volume.name}")
    with content.open("rb") as source, target.open("r+b") as disk:
        position = 0
        end = content.stat().st_size
        while position < end:
            try:
                start = os.lseek(source.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(source.fileno(), start, os.SEEK_HOLE)
            source.seek(start)
            disk.seek(volume.offset + start)
            shutil.copyfileobj(_Limited(source, position - start), disk, MIB)


class _Limited:
    """The next ``length`` bytes of a file, for copyfileobj."""

    def __init__(self, file: object, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data: bytes = self._file.read(wanted)  # type: ignore[attr-defined]
        self._left -= len(data)
        return data


def make_domain_disk(target: Path, tree: Path, plan: DomainPlan) -> None:
    """The root file system of a domain: ``tree`` live, and ``plan.garbage`` MiB of what once was a file and is deleted."""
    garbage = tree / "garbage"
    garbage.mkdir()
    names = []
    for index in range(plan.garbage // 10):
        name = f"old-{index}"
        (garbage / name).write_bytes(os.urandom(10 * MIB))
        names.append(name)
    with target.open("wb") as file:
        file.truncate(plan.disk * MIB)
    make_ext4(target, tree, size=plan.disk * MIB)
    shutil.rmtree(garbage)
    commands = "".join(f"rm /garbage/{name}\n" for name in names) + "rmdir /garbage\n"
    LocalHost().run(["debugfs", "-w", "-f", "-", str(target)], input=commands, timeout=300)


def make_swap(target: Path, plan: DomainPlan, uuid: str) -> None:
    """A swap volume with a known UUID and a label."""
    with target.open("wb") as file:
        file.truncate(plan.swap * MIB)
    target.chmod(0o600)
    LocalHost().run(["mkswap", "-q", "-U", uuid, "-L", f"{plan.name}-swap", str(target)])
