"""Memory for O_DIRECT."""

from __future__ import annotations

import contextlib
import ctypes
import mmap

_HUGE = 2 << 20
_HUGEPAGE = 14
"""madvise(2)."""
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class Buffer:
    """``size`` bytes in huge pages, where the kernel has them; ``view`` is what to read into and write from.

    A request to a disk is a list of pages that has room for so many (/sys/block/DISK/queue/max_segments): with small pages a
    read of 4 MiB becomes several requests, and each page of them costs.
    """

    def __init__(self, size: int) -> None:
        room = -(-size // _HUGE) * _HUGE
        self._map = mmap.mmap(-1, room + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        shift = -address % _HUGE
        with contextlib.suppress(OSError):  # a kernel without huge pages
            self._map.madvise(_HUGEPAGE, shift, room)
        self._address = address + shift
        self.view = memoryview(self._map)[shift : shift + size]

    def holds(self, place: int, other: Buffer, at: int, size: int) -> bool:
        """Whether the ``size`` bytes from ``place`` on are those of ``other`` from ``at`` on.

        By memcmp(3), during which other threads go on: as they do not while Python compares, and a disk waits for them.
        Raises ValueError for bytes that are not in the buffers.
        """
        if min(place, at, size) < 0 or place + size > len(self.view) or at + size > len(other.view):
            raise ValueError(
                f"{size} bytes at {place} and {at} are not in buffers of {len(self.view)} and {len(other.view)}"
            )
        different: int = _memcmp(self._address + place, other._address + at, size)
        return not different
