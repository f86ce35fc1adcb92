"""dm-snapshot's persistent exception store as the kernel writes it: the other side of what ``snowha.images.exception_store``
reads.

Written from drivers/md/dm-snap-persistent.c alone: persistent_prepare_exception, skip_metadata, write_header, area_location.
"""

from __future__ import annotations

import struct


def store(old: list[int], *, chunk: int = 4096, chunks: int = 0, valid: int = 1) -> bytearray:
    """A store in which the chunks ``old`` were copied in that order; as large as it must be, or ``chunks``."""
    per_area = chunk // 16
    entries: list[tuple[int, int]] = []
    free = 2
    for number in old:
        entries.append((number, free))
        free += 1
        if free % (per_area + 1) == 1:
            free += 1
    areas = len(entries) // per_area + 1
    size = max(chunks, free, 2 + (areas - 1) * (per_area + 1))
    data = bytearray(b"\xaa" * (size * chunk))
    data[:chunk] = struct.pack("<IIII", 0x70416E53, valid, 1, chunk // 512).ljust(chunk, b"\0")
    for area in range(areas):
        at = (1 + area * (per_area + 1)) * chunk
        inside = entries[area * per_area : (area + 1) * per_area]
        data[at : at + chunk] = b"".join(struct.pack("<QQ", *entry) for entry in inside).ljust(chunk, b"\0")
    return data
