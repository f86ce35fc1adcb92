"""Swap space is not copied: what was in it is worth nothing once the domain is off. The new one gets the same UUID and label.

Layout: util-linux' include/swapheader.h (struct swap_header_v1_2) and Linux' include/linux/swap.h. A signature alone proves
nothing: it stays behind when a volume is used for something else. So a swap space is what mkswap(8) made of the whole volume.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .filesystem import NotTrusted

PAGES = tuple(4096 << shift for shift in range(5))
"""Sizes of a page, in bytes: 4 KiB to 64 KiB."""
SIGNATURES = (
    b"SWAPSPACE2",
    b"SWAP-SPACE",
    b"S1SUSPEND",
    b"S2SUSPEND",
    b"ULSUSPEND",
    b"LINHIB0001",
    b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
)
"""At the end of the first page: a swap space (of either version), or a system that was suspended into one (libblkid's swap.c)."""
_SIGNATURE = SIGNATURES[0]
_HEADER, _BITS = 1024, 1024 + 12 + 16 + 16
"""Where the header begins, and where what follows UUID and label does."""
_FEWEST_PAGES = 10


@dataclass(frozen=True)
class Swap:
    """What identifies a swap space. ``page`` in bytes."""

    uuid: bytes
    label: bytes
    page: int = PAGES[0]


def parse(head: bytes, length: int) -> Swap | None:
    """The swap space that begins with ``head`` (64 KiB) and fills ``length`` bytes; None if there is no signature of one.

    A suspended system (``S1SUSPEND``) is none: it is data. Raises NotTrusted, with the reason, for a signature without the rest.
    """
    pages = [page for page in PAGES if head[page - 10 : page] == _SIGNATURE]
    if not pages:
        return None
    page = pages[0]
    if len(pages) > 1:
        raise NotTrusted(f"it has swap signatures for pages of {' and '.join(map(str, pages))} bytes")
    if any(head[:_HEADER]):
        raise NotTrusted("it has a swap signature, and something in front of its header")
    version, last, bad = struct.unpack_from("<III", head, _HEADER)
    if version != 1:
        raise NotTrusted(f"it has a swap signature, but of version {version}")
    if bad or any(head[_BITS : page - 10]):
        raise NotTrusted("it has a swap signature, but bad pages or something else in its header")
    if last + 1 < _FEWEST_PAGES or (last + 1) * page > length:
        raise NotTrusted(f"it has a swap signature, but its {last + 1} pages do not fit into {length} bytes")
    if min(length // page, 1 << 32) != last + 1:
        raise NotTrusted(
            f"it has a swap signature, but the swap space ends before its last {length - (last + 1) * page} bytes"
        )
    return Swap(head[_HEADER + 12 : _HEADER + 28], head[_HEADER + 28 : _BITS], page)


def render(swap: Swap, length: int) -> bytes:
    """The first page of a swap space of ``length`` bytes, as mkswap writes it."""
    page = bytearray(swap.page)
    last = min(length // swap.page, 1 << 32) - 1
    struct.pack_into("<III16s16s", page, _HEADER, 1, last, 0, swap.uuid, swap.label)
    page[swap.page - 10 :] = _SIGNATURE
    return bytes(page)
