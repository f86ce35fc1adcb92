"""Names of a domain's block devices (xen-vbd-interface(7)), after libxl__device_disk_dev_number in Xen's libxl_device.c."""

from __future__ import annotations

import re

_NAMED = re.compile(r"(xvd|hd|sd|vd)([a-z]+)(0|[1-9][0-9]*)?", re.ASCII)
_NUMBERED = re.compile(r"d(0|[1-9][0-9]*)p(0|[1-9][0-9]*)", re.ASCII)
_PLAIN = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", re.ASCII)
_LARGEST = 2**31 - 1
_XVD_DISKS = 1 << 20
_VIRTIO = 1 << 40
"""Apart from all others: a virtio disk is no device of Xen."""


def device_number(vdev: str) -> int | None:
    """The number of a device: ``xvda1``, ``d0p1``, ``0xca01`` and ``51713`` are the same one. None if libxl knows none."""
    if match := _NUMBERED.fullmatch(vdev):
        return _xvd(int(match[1]), int(match[2]))
    if _PLAIN.fullmatch(vdev):
        number = c_number(vdev)
        return number if number is not None and number <= _LARGEST else None
    match = _NAMED.fullmatch(vdev)
    if not match or match[3] == "0":
        return None
    kind, disk, partition = match[1], _letters(match[2]), int(match[3] or 0)
    if kind == "xvd":
        return _xvd(disk, partition)
    if kind == "hd" and disk <= 3 and partition <= 63:
        return (3 if disk < 2 else 22) << 8 | (disk & 1) << 6 | partition
    if kind == "sd" and disk <= 15 and partition <= 15:
        return 8 << 8 | disk << 4 | partition
    if kind == "vd" and disk < _XVD_DISKS and partition <= 15:
        return _VIRTIO | disk << 4 | partition
    return None


def c_number(text: str) -> int | None:
    """A number as strtol(3) with base 0 reads it: ``0x`` begins a hexadecimal one, ``0`` an octal one. None if it is none."""
    try:
        if re.fullmatch(r"0[0-7]+", text, re.ASCII):
            return int(text, 8)
        if re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", text, re.ASCII):
            return int(text, 0)
    except ValueError:
        pass  # more digits than Python converts
    return None


def _xvd(disk: int, partition: int) -> int | None:
    if disk >= _XVD_DISKS or partition > 255:
        return None
    if disk <= 15 and partition <= 15:
        return 202 << 8 | disk << 4 | partition
    return 1 << 28 | disk << 8 | partition


def _letters(word: str) -> int:
    """``a`` 0, ``z`` 25, ``aa`` 26."""
    if len(word) > 8:
        return _XVD_DISKS
    number = -1
    for letter in word:
        number = (number + 1) * 26 + ord(letter) - ord("a")
    return number
