"""A server that looks into its domains' images activates what it finds there, and no other server gets the image any more."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from simulated import SimulatedHost, single_server

from snowha.xen import image_devices

RULES = image_devices.text("/sNow/domains").splitlines()[1:]


def pattern(rule: str, key: str) -> str:
    found = re.search(rf'{re.escape(key)}=="([^"]*)"', rule)
    assert found
    return found[1]


def test_the_loop_devices_of_images_are_those_that_are_not_looked_into() -> None:
    """What UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG leaves out is blkid, and 69-lvm.rules goes by what that said."""
    mine = pattern(RULES[0], "ATTR{loop/backing_file}")
    assert fnmatchcase("/sNow/domains/web/web-disk", mine) and not fnmatchcase("/srv/iso/debian.iso", mine)
    assert RULES[0].endswith('ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"')


@pytest.mark.parametrize(
    ("name", "is_ours"), [("snow-12-51714", True), ("snow-0-768", True), ("snow_vg-web", False), ("snow-web", False)]
)
def test_and_so_are_the_devices_on_top_of_them(name: str, is_ours: bool) -> None:
    """One of LVM that is called like these has a UUID."""
    assert fnmatchcase(name, pattern(RULES[1], "ATTR{dm/name}")) == is_ours
    assert pattern(RULES[1], "ATTR{dm/uuid}") == ""


def test_it_comes_before_the_rules_that_it_holds_off() -> None:
    assert image_devices.PATH.rpartition("/")[2] < "60-persistent-storage-dm.rules"
    assert image_devices.PATH.rpartition("/")[2] > "55-dm.rules", "which reads the flags that are set here anew"


NFS_COMMON = 'SUBSYSTEM=="bdi", ACTION=="add", PROGRAM="/usr/libexec/nfsrahead %k", ATTR{read_ahead_kb}="%c"\n'
"""As Debian 12 and 13 have it."""
OF_PACKAGE = "/usr/lib/udev/rules.d/99-nfs.rules"


def server(**files: str) -> SimulatedHost:
    """With the files of udev's that are named by their folder: package, site."""
    _, _, (host, *_rest) = single_server()
    for where, text in files.items():
        host.own[OF_PACKAGE if where == "package" else image_devices.NFS_PATH] = (text.encode(), 0o644)
    return host


def nfs_rules(host: SimulatedHost) -> str | None:
    return host.own[image_devices.NFS_PATH][0].decode() if image_devices.NFS_PATH in host.own else None


def test_no_program_is_started_for_a_domains_disk_and_nfs_mounts_keep_theirs() -> None:
    """It takes processor time of the server while a domain is suspended and waits for its disks."""
    host = server(package=NFS_COMMON)
    assert image_devices.missing(host, "/sNow/domains")
    image_devices.install(host, "/sNow/domains")
    assert image_devices.missing(host, "/sNow/domains") is None
    _comment, rule = (nfs_rules(host) or "").splitlines()
    assert rule == NFS_COMMON.strip().replace('"add",', '"add", KERNEL=="0:*",')
    assert fnmatchcase("0:53", pattern(rule, "KERNEL")) and not fnmatchcase("253:2", pattern(rule, "KERNEL"))
    assert image_devices.installed(host) == [image_devices.PATH, image_devices.NFS_PATH]


@pytest.mark.parametrize(
    "package", ["", f"{NFS_COMMON}{NFS_COMMON}", f'{NFS_COMMON}KERNEL=="x", RUN+="y"\n', 'RUN+="y"\n']
)
def test_rules_of_nfs_common_that_are_not_known_stay_what_they_are(package: str) -> None:
    """A later version may do more, which a file of ours in its place would take away; one of ours from before is removed."""
    ours = image_devices.nfs_text(NFS_COMMON)
    assert ours
    for files in ({"package": package}, {"package": package, "site": ours}):
        host = server(**files)
        image_devices.install(host, "/sNow/domains")
        assert nfs_rules(host) is None
        assert image_devices.missing(host, "/sNow/domains") is None


def test_a_file_of_the_sites_own_in_its_place_is_left_alone() -> None:
    """Also by undo, which removes what `installed` names."""
    host = server(package=NFS_COMMON, site="# ours\n")
    image_devices.install(host, "/sNow/domains")
    assert nfs_rules(host) == "# ours\n"
    assert image_devices.missing(host, "/sNow/domains") is None
    assert image_devices.installed(host) == [image_devices.PATH]
