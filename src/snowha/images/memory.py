"""Memory for O_DIRECT."""

from __future__ import annotations

import ctypes
import mmap

_HUGE = 2 << 20
_DONTNEED, _HUGEPAGE = 4, 14
"""madvise(2)."""


class Buffer:
    """``size`` bytes in huge pages, where the kernel has them; ``view`` is what to read into and write from.

    A request to a disk is a list of pages that has room for so many (/sys/block/DISK/queue/max_segments): with small pages a
    read of 4 MiB becomes several requests, and each page of them costs. It can be compared as fast as memcmp, as only ``bytes``
    and ``bytearray`` can, of what the standard library has; neither says where it begins.
    """

    def __init__(self, size: int) -> None:
        room = -(-size // _HUGE) * _HUGE
        self.bytes = bytearray(room + _HUGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self._shift = -address % _HUGE
        # a new bytearray was filled with zeros, in small pages: given back, they come anew as huge ones
        first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (address + room + _HUGE) // mmap.PAGESIZE * mmap.PAGESIZE - first
        libc = ctypes.CDLL(None)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.madvise(first, whole, _DONTNEED)
        libc.madvise(address + self._shift, room, _HUGEPAGE)
        self.view = memoryview(self.bytes)[self._shift : self._shift + size]

    def holds(self, place: int, found: memoryview) -> bool:
        """Whether the bytes from ``place`` on are ``found``."""
        return self.bytes.startswith(found, self._shift + place)
