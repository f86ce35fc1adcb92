"""Every way back is looked at before the first step of an undo: afterwards the cluster is gone, and a domain down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from listener import Listener
from simulated import DOMAINS, SECRET, World, config, single_server

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.images.full_copy import copy
from snowha.images.job import Options
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps
from snowha.migration.undo import images as undo_images
from snowha.migration.undo import return_check
from snowha.migration.undo import steps as undo_steps
from snowha.site.model import Disk

PASSWORDS = {"snow01": SECRET, "snow02": SECRET}
VOLUME, IMAGE = "/dev/snow_vg/deploy01-disk", "/sNow/domains/deploy01/deploy01-disk"
SWAP_IMAGE = "/sNow/domains/deploy01/deploy01-swap"


def migrated() -> tuple[SiteContext, World]:
    context, world, _ = single_server()
    for step in all_steps(context, PASSWORDS):
        if step.id in ("images.deploy01", "images.slurm01", "snow.conf"):
            step.apply(Listener())
    world.log.clear()
    return context, world


def manifest(world: World, image: str, source: str) -> None:
    world.shared[f"{image}.manifest"] = (json.dumps({"source": {"path": source}}).encode(), 0o600)


def edit(world: World, old: str, new: str, name: str = "deploy01") -> None:
    path = f"{DOMAINS}/{name}.cfg"
    world.shared[path] = (world.shared[path][0].replace(old.encode(), new.encode()), 0o644)


def gone(world: World) -> None:
    del world.disks[VOLUME]


def image_gone(world: World) -> None:
    del world.disks[IMAGE]


def from_elsewhere(world: World) -> None:
    """The image was copied from another volume group's volume of that name."""
    manifest(world, IMAGE, "/dev/hdd_vg/deploy01-disk")


def one_image_twice(world: World) -> None:
    """As two disks of one base name had."""
    edit(world, SWAP_IMAGE, IMAGE)


def one_image_of_two_domains(world: World) -> None:
    edit(world, "/sNow/domains/slurm01/slurm01-disk", IMAGE, "slurm01")


BREAKS = {
    r"the volume \S+ does not exist": gone,
    r"the image \S+ of deploy01 does not exist": image_gone,
    "names what its images were copied from": from_elsewhere,
    "is the image of two disks": one_image_twice,
    r"is the image of two disks \(of deploy01 and slurm01\)": one_image_of_two_domains,
}


@pytest.mark.parametrize("says", BREAKS)
def test_what_cannot_be_brought_back_ends_an_undo_before_its_first_step(says: str) -> None:
    """It was found after Pacemaker and Corosync were taken apart and the domain was shut down."""
    context, world = migrated()
    BREAKS[says](world)
    before = (dict(world.shared), dict(world.disks), dict(world.running))
    with pytest.raises(SiteError, match=says):
        undo_steps.steps(context, PASSWORDS)
    assert (dict(world.shared), dict(world.disks), dict(world.running)) == before and world.log == []


def test_a_large_image_of_the_last_domain_ends_it_as_well() -> None:
    context, world = migrated()
    image, volume = "/sNow/domains/slurm01/slurm01-disk", "/dev/snow_vg/slurm01-disk"
    world.disks |= {image: bytes(2000), volume: bytes(1999)}
    with pytest.raises(SiteError, match="2000 bytes, and /dev/snow_vg/slurm01-disk only 1999") as raised:
        undo_steps.steps(context, PASSWORDS)
    assert "lvextend --size 2000b /dev/snow_vg/slurm01-disk" in raised.value.remedy and world.log == []
    world.disks[volume] = bytes(2000)
    undo_steps.steps(context, PASSWORDS)


def test_what_is_not_undone_is_not_looked_at() -> None:
    context, world = migrated()
    del world.disks[VOLUME]
    undo_steps.steps(context, PASSWORDS, to="images")


def test_the_kept_config_that_names_the_manifests_volumes_is_the_one() -> None:
    """A newer one that names others was kept by somebody's try, or by a workstation whose clock was wrong."""
    context, world = migrated()
    host = context.first
    manifest(world, IMAGE, VOLUME)
    path = f"{DOMAINS}/deploy01.cfg"
    other = config("deploy01", 11).replace("snow_vg", "hdd_vg").encode()
    host.kept[path].append(("v99999998-later", other, ""))  # type: ignore[attr-defined]
    way = undo_images.plan_return(context, "deploy01")
    assert way.then == config("deploy01", 11)
    manifest(world, IMAGE, "/dev/hdd_vg/deploy01-disk")
    assert undo_images.plan_return(context, "deploy01").then == other.decode()


# on real files


def test_a_file_that_a_domain_ran_from_is_a_way_back(tmp_path: Path) -> None:
    """It is replaced when the copy is verified, with its mode and owner; until then there is room for both or it is said."""
    image, source = tmp_path / "image", tmp_path / "disk.img"
    image.write_bytes(b"i" * (1 << 20))
    source.write_bytes(b"s" * 4096)
    source.chmod(0o640)
    host = LocalHost()
    return_check.check(host, "deploy01", [(str(image), str(source))])
    disk = Disk("", str(source), "xvda")
    words = undo_images.copy_words(host, str(image), disk)
    assert words == ["copy", str(image), str(source), "--replace"]
    copy(words[1], words[2], lambda event: None, Options(replace=True))
    assert source.read_bytes() == image.read_bytes()
    assert source.stat().st_mode & 0o7777 == 0o640
    source.unlink()
    return_check.check(host, "deploy01", [(str(image), str(source))])
    assert undo_images.copy_words(host, str(image), disk) == ["copy", str(image), str(source)]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("missing/disk.img", "the folder .* does not exist"),
        ("folder", "is a directory"),
        ("/dev/no-such-vg/disk", "the volume"),
    ],
)
def test_a_file_that_could_not_be_written_is_no_way_back(source: str, says: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"i" * 4096)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SiteError, match=says):
        return_check.check(
            LocalHost(), "deploy01", [(str(image), source if source[0] == "/" else str(tmp_path / source))]
        )


def test_no_room_beside_the_old_file_is_said(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(SiteError, match="MiB are free"):
        return_check.check(LocalHost(), "deploy01", [(str(image), str(tmp_path / "disk.img"))])


def test_sizes_of_real_devices(tmp_path: Path) -> None:
    image, volume = tmp_path / "image", tmp_path / "volume"
    image.write_bytes(bytes(2 << 20))
    volume.write_bytes(bytes(1 << 20))
    host = LocalHost()
    attached = host.run(["losetup", "--find", "--show", str(volume)], check=False)
    if not attached.ok:
        pytest.skip(f"no loop device can be attached here: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        with pytest.raises(SiteError, match=f"has {2 << 20} bytes, and {device} only {1 << 20}"):
            return_check.check(host, "deploy01", [(str(image), device)])
    finally:
        host.run(["losetup", "--detach", device])
