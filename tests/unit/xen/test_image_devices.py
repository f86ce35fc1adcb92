"""A server that looks into its domains' images activates what it finds there, and no other server gets the image any more."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

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
