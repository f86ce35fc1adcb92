"""Ranges of bytes against sets of bytes: an off-by-one here is a block lost at an edge."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from snowha.images.checksums import crc16, crc32c
from snowha.images.ranges import GRAIN, Range, aligned, bounded, cut, gaps, intersect, merge, total
from snowha.images.workers import RateLimiter

LENGTH = 60
some = st.lists(
    st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(lambda pair: (min(pair), max(pair))), max_size=8
)


def as_set(ranges: list[Range]) -> set[int]:
    return {at for start, end in ranges for at in range(start, end)}


@given(some)
def test_merged_ranges_hold_the_same_bytes_once_and_in_order(ranges: list[Range]) -> None:
    merged = merge(ranges)
    assert as_set(merged) == as_set(ranges) and total(merged) == len(as_set(ranges))
    assert all(before[1] < after[0] for before, after in pairwise(merged))


@given(some, some)
def test_intersection_and_gaps(left: list[Range], right: list[Range]) -> None:
    left, right = merge(left), merge(right)
    assert as_set(intersect(left, right)) == as_set(left) & as_set(right)
    assert as_set(list(gaps(left, LENGTH))) == set(range(LENGTH)) - as_set(left)


@given(some, st.integers(1, 20), st.integers(1, 4), st.integers(1, 5))
def test_cutting_aligning_and_bounding_lose_nothing(ranges: list[Range], window: int, grain: int, most: int) -> None:
    merged = merge(ranges)
    pieces = cut(merged, window)
    assert [span for piece in pieces for span in piece.ranges] == sorted(
        span for piece in pieces for span in piece.ranges
    )
    assert as_set([span for piece in pieces for span in piece.ranges]) == as_set(merged)
    assert all(start // window == piece.index == (end - 1) // window for piece in pieces for start, end in piece.ranges)
    assert len({piece.index for piece in pieces}) == len(pieces)
    wide = aligned(merged, LENGTH, grain=grain)
    assert as_set(merged) <= as_set(wide) and all(start % grain == 0 and end <= LENGTH for start, end in wide)
    far = [(start * GRAIN, end * GRAIN) for start, end in merged]
    assert len(bounded(far, most)) <= most and intersect(far, bounded(far, most)) == far


def test_checksums_are_the_ones_that_ext4_uses() -> None:
    """Known answers: the check values of CRC-32C (inverted at the end) and of CRC-16/MODBUS for "123456789"."""
    assert crc32c(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF == 0xE3069283
    assert crc16(0xFFFF, b"123456789") == 0x4B37
    assert crc32c(crc32c(5, b"12345"), b"6789") == crc32c(5, b"123456789")


def test_the_rate_limit_holds() -> None:
    """A copy in working hours must leave the disks to the domains."""
    limiter, began = RateLimiter(4 * 2**20), time.monotonic()
    for _ in range(5):
        limiter.wait(2**18)
    assert time.monotonic() - began >= 0.9 * 4 * 2**18 / (4 * 2**20)
