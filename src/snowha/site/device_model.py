"""Whether QEMU serves something of a domain (libxl_dm.c): each server that starts the domain needs it then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snowha.site.model import Disk

_SERVED = ("vfb", "vkb", "usbctrl", "usbdev", "channel", "p9", "virtio")
"""Lists of devices that have their backend in QEMU."""
_SCREENS = ("vnc", "sdl", "spice")
"""What gives a domain a frame buffer if it is on."""
_UEFI = {"bios": ("ovmf",), "firmware": ("uefi", "ovmf")}


def needs_qemu(texts: Callable[[str], tuple[str, ...]], disks: Sequence[Disk], *, is_hvm: bool) -> bool:
    """``texts``: what a key says, be it one string or a list of them. What is too much costs a package that nobody uses.

    A disk that becomes an image is attached by the block script, and so has its backend in the kernel.
    """
    screens = any(texts(key) not in ((), ("0",)) for key in _SCREENS)
    return is_hvm or screens or any(map(texts, _SERVED)) or any(not disk.is_moved for disk in disks)


def needs_uefi(texts: Callable[[str], tuple[str, ...]], *, is_hvm: bool) -> bool:
    """Whether its firmware is OVMF, which hvmloader is given by libxl."""
    return is_hvm and any(text.lower() in words for key, words in _UEFI.items() for text in texts(key))
