"""The two checksums of ext4's metadata, in pure Python.

crc32c as in Linux' lib/crc32c (no final inversion), crc16 as in lib/crc16.c (polynomial 0xA001).
"""

from __future__ import annotations

from array import array
from functools import lru_cache

_CRC32C = 0x82F63B78
_CRC16 = 0xA001


def crc32c(seed: int, data: bytes) -> int:
    """Castagnoli's CRC, two bytes at a time: 20 MB/s, 1.6 s for all bitmaps of a TiB."""
    table = _table32()
    even = len(data) & ~1
    for word in memoryview(data)[:even].cast("H"):
        seed = table[(seed ^ word) & 0xFFFF] ^ (seed >> 16)
    if even != len(data):
        seed = _bytewise(seed ^ data[-1], 8, _CRC32C)
    return seed


def crc16(seed: int, data: bytes) -> int:
    """The checksum of group descriptors under ``uninit_bg``."""
    table = _table16()
    for byte in data:
        seed = table[(seed ^ byte) & 0xFF] ^ (seed >> 8)
    return seed


def _bytewise(value: int, bits: int, polynomial: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value


@lru_cache(maxsize=1)
def _table32() -> array[int]:
    # of two bytes, the earlier one is followed by another, and what each does to the sum is independent of the other
    later = [_bytewise(byte, 8, _CRC32C) for byte in range(256)]
    earlier = [later[value & 0xFF] ^ (value >> 8) for value in later]
    return array("I", [high ^ low for high in later for low in earlier])


@lru_cache(maxsize=1)
def _table16() -> array[int]:
    return array("I", [_bytewise(byte, 8, _CRC16) for byte in range(256)])
