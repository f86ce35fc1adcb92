"""ImageSpace for the holes of images: whoever watches a site must hear of it before a domain's disk has errors."""

from __future__ import annotations

from pathlib import Path

from snowha.health import image_space
from snowha.hosts.local import LocalHost


def test_the_images_of_a_folder_in_a_real_shell(tmp_path: Path) -> None:
    folder = tmp_path / "deploy 01"
    folder.mkdir()
    for name in (
        "deploy01-disk",
        "deploy01-swap.partial",
        "deploy01-disk.manifest",
        "deploy01-disk.lease",
        "deploy01-disk.lease.new.snow01.77",
        "deploy01-old.undone",
    ):
        with (folder / name).open("wb") as file:
            file.truncate(1 << 42)
    (folder / "small").write_bytes(b"x" * 4096)
    space = image_space.look(LocalHost(), str(tmp_path))
    assert space is not None and space.holes == 1 << 42
    said = image_space.short(space.images, space.free)
    assert said is not None and said.startswith("1 images may grow by 4194304 MiB")
    assert f"({folder}/deploy01-disk)" in said
    (folder / "deploy01-disk").unlink()
    space = image_space.look(LocalHost(), str(tmp_path))
    assert space is not None and image_space.short(space.images, space.free) is None
    assert image_space.look(LocalHost(), str(tmp_path / "none")) is None


def test_less_room_than_holes_is_said_and_more_is_not() -> None:
    images = [image_space.Image("/a", 10 << 20, 4 << 20), image_space.Image("/b", 5 << 20, 6 << 20)]
    assert image_space.short(images, 6 << 20) is None
    said = image_space.short(images, (6 << 20) - 1)
    assert said is not None and "1 images may grow by 6 MiB, and 6 MiB are free" in said and "/b" not in said
