"""Swap space is not copied: what was in it is worth nothing once the domain is off. The new one gets the same UUID and label.

Layout: util-linux' include/swapheader.h (struct swap_header_v1_2) and Linux' include/linux/swap.h. Page size 4096 only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAGE = 4096
_SIGNATURE = b"SWAPSPACE2"
_FEWEST_PAGES = 10


@dataclass(frozen=True)
class Swap:
    """What identifies a swap space."""

    uuid: bytes
    label: bytes


def parse(first_page: bytes) -> Swap | None:
    """The swap space that begins with this page, or None. A suspended system (``S1SUSPEND``) is none: it is data."""
    if len(first_page) < PAGE or first_page[PAGE - 10 : PAGE] != _SIGNATURE:
        return None
    version, _, _, uuid, label = struct.unpack_from("<III16s16s", first_page, 1024)
    return Swap(uuid, label) if version == 1 else None


def render(swap: Swap, length: int) -> bytes | None:
    """The first page of a swap space of ``length`` bytes, as mkswap writes it; None if that is too small to be one."""
    pages = length // PAGE
    if pages < _FEWEST_PAGES:
        return None
    page = bytearray(PAGE)
    struct.pack_into("<III16s16s", page, 1024, 1, min(pages, 1 << 32) - 1, 0, swap.uuid, swap.label)
    page[PAGE - 10 :] = _SIGNATURE
    return bytes(page)
