"""Two disks under one image lose one of them for good: every name that is derived is somebody's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.site.image_names import SUFFIXES, check_images, image_paths
from snowha.site.model import Disk, Domain

IMAGES = "/sNow/domains"


def domain(*targets: str, name: str = "deploy01") -> Domain:
    disks = tuple(Disk("", target, f"xvd{chr(97 + number)}") for number, target in enumerate(targets))
    return Domain(name, f"/sNow/etc/domains/{name}.cfg", 128, 1, "pv", "", "", disks, (), "xvda")


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (("/dev/vg/deploy01-disk", "/dev/vg/deploy01-swap"), ("deploy01-disk", "deploy01-swap")),
        (("/dev/ssd_vg/data", "/dev/hdd_vg/data"), ("data-xvda", "data-xvdb")),
        (("/srv/a/disk.img", "/srv/b/Disk.IMG"), ("disk.img-xvda", "Disk.IMG-xvdb")),
        (("/dev/vg/x", "/dev/vg/x.partial"), ("x-xvda", "x.partial-xvdb")),
        (("/dev/vg/x", "/dev/vg/X.lease"), ("x-xvda", "X.lease-xvdb")),
        (("/dev/vg/x", "/srv/x.manifest", "/srv/y"), ("x-xvda", "x.manifest-xvdb", "y")),
        (("/sNow/domains/deploy01/x", "/dev/vg/x"), ("x", "x-xvdb")),
        (
            ("/sNow/domains/deploy01/a/disk.img", "/sNow/domains/deploy01/b/disk.img"),
            ("disk.img-xvda", "disk.img-xvdb"),
        ),
    ],
)
def test_each_disk_has_an_image_of_its_own(targets: tuple[str, ...], names: tuple[str, ...]) -> None:
    one = domain(*targets)
    paths = image_paths(one, IMAGES)
    assert tuple(paths.values()) == tuple(f"{IMAGES}/deploy01/{name}" for name in names)
    assert check_images([one], IMAGES) == ()


@pytest.mark.parametrize("folder", ["/sNow/domains//deploy01", "//sNow/domains/deploy01", "/sNow/domains/deploy01/."])
def test_an_image_in_its_place_is_its_own_however_its_path_is_written(folder: str) -> None:
    """It was to be copied to itself, and what stood there to be moved away first."""
    assert image_paths(domain(f"{folder}/x"), f"{IMAGES}/") == {"xvda": f"{folder}/x"}


@pytest.mark.parametrize("owner", ["deploy01", "web01"])
def test_a_disk_that_is_called_as_a_folder_of_images_is_found(owner: str) -> None:
    """There could be no folder, and so no image: a run ended in the middle of the first domain."""
    domains = [domain("/dev/vg/x"), domain("/dev/vg/y", name="web01")]
    file = Disk("", f"{IMAGES}/deploy01", "xvdc")
    with_file = [replace(one, disks=(*one.disks, file)) if one.name == owner else one for one in domains]
    assert check_images(domains, IMAGES) == ()
    (finding,) = check_images(with_file, IMAGES)
    assert (finding.code, finding.severity) == ("image-name", "stop") and "all disks of deploy01" in finding.message


NAMES = st.sampled_from(["x", "X", "x.partial", "x.manifest", "x-xvda", "x-xvdb", "y", "x.partial-xvda"])
FOLDERS = st.sampled_from(["/dev/a", "/dev/b", "/srv/c", "/sNow/domains/deploy01"])


@given(st.lists(st.tuples(FOLDERS, NAMES).map("/".join), min_size=1, max_size=5, unique=True))
def test_names_are_unique_or_it_is_said_and_once_moved_they_stay(targets: list[str]) -> None:
    """The second run would copy to another image than the first."""
    before = domain(*targets)
    paths = image_paths(before, IMAGES)
    names = [f"{path}{suffix}".casefold() for path in paths.values() for suffix in SUFFIXES]
    sources = [disk.target.casefold() for disk in before.disks if disk.target not in paths.values()]
    if len(set(names)) != len(names) or set(names) & set(sources):
        assert [finding.code for finding in check_images([before], IMAGES)][:1] == ["image-name"]
        return
    after = replace(before, disks=tuple(replace(disk, target=paths[disk.vdev]) for disk in before.disks))
    assert image_paths(after, IMAGES) == paths


def test_an_image_of_one_domain_never_stands_where_anothers_disk_is() -> None:
    first = domain("/dev/vg/disk")
    for target in ("/sNow/domains/deploy01/disk", "/sNow/domains/Deploy01/DISK", "/sNow/domains/deploy01/disk.undone"):
        second = domain(target, name="slurm01")
        (finding,) = check_images([first, second], IMAGES)
        assert (finding.code, finding.severity) == ("image-name", "stop")
        assert finding.where == f"{first.config}, {second.config}" and finding.remedy


def test_a_cd_is_no_image_and_two_volumes_that_differ_in_case_are_two() -> None:
    cd = Disk("", "/srv/i.iso", "hdc", access="r", options=("cdrom",))
    one = replace(domain("/dev/vg/x"), disks=(*domain("/dev/vg/x").disks, cd, Disk("", "", "hdd", options=("cdrom",))))
    assert image_paths(one, IMAGES) == {"xvda": "/sNow/domains/deploy01/x"}
    assert check_images([domain("/dev/vg/x"), domain("/dev/vg/X", name="other")], IMAGES) == ()


def test_a_name_with_no_room_for_what_stands_beside_an_image_is_found() -> None:
    """The copy failed when the domain was off."""
    (finding,) = check_images([domain("/srv/" + "a" * 243)], IMAGES)
    assert (finding.code, finding.severity) == ("image-name", "stop") and "so long" in finding.message
    assert check_images([domain("/srv/" + "a" * 242)], IMAGES) == ()
