"""The exception store of a snapshot: what it names is all that a warm copy brings up to date, so a wrong answer loses data."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_store import store

from snowha.images import exception_store
from snowha.images.exception_store import NoDelta, changes

KIB = 1024


def look(data: bytes | bytearray, origin: int) -> exception_store.Changes:
    def read(at: int, size: int) -> bytes:
        assert at >= 0 and at + size <= len(data), "read outside the store"
        return bytes(data[at : at + size])

    return changes(read, len(data), origin)


@settings(max_examples=30)
@given(
    old=st.lists(st.integers(0, 4095), unique=True, max_size=700),
    chunk=st.sampled_from([4096, 8192, 16384]),
    cut=st.integers(0, 4095),
)
def test_every_chunk_that_was_written_is_named_and_no_other(old: list[int], chunk: int, cut: int) -> None:
    """Over areas that are empty, half full, exactly full, and several."""
    origin = 4096 * chunk - cut
    found = look(store(old, chunk=chunk), origin)
    named = {at // chunk for start, end in found.ranges for at in range(start, end, chunk)}
    assert named == set(old) and found.chunks == len(old) and found.chunk == chunk
    assert all(end <= origin for _, end in found.ranges)


@pytest.mark.parametrize("count", [255, 256, 257, 511, 512, 513])
def test_full_areas_are_followed_to_the_next(count: int) -> None:
    assert look(store(list(range(count))), 4096 * 4096).ranges == ((0, count * 4096),)


def test_an_overflowed_snapshot_is_no_delta() -> None:
    """The kernel marks it invalid: its records stop somewhere, and what was written later is in none."""
    with pytest.raises(NoDelta, match="overflowed"):
        look(store([1, 2, 3], valid=0), 1 << 20)


def test_a_store_that_is_full_to_the_last_chunk_is_refused() -> None:
    """The area that would say that nothing follows does not fit any more."""
    full = store(list(range(256)))[: 4096 * 257]
    with pytest.raises(NoDelta, match=r"full|no chunk can be"):
        look(full, 1 << 22)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (0, struct.pack("<I", 1), "not a persistent"),
        (8, struct.pack("<I", 2), "another kind"),
        (12, struct.pack("<I", 0), "no sense"),
        (12, struct.pack("<I", 9), "no sense"),
        (12, struct.pack("<I", 1 << 30), "no sense"),
        (4096, struct.pack("<Q", 256), "outside the volume"),
        (4104, struct.pack("<Q", 1), "no chunk can be"),
        (4104, struct.pack("<Q", 258), "no chunk can be"),
        (4104, struct.pack("<Q", 1 << 60), "no chunk can be"),
        (4096, struct.pack("<Q", 8), "twice"),
        (4104, struct.pack("<Q", 3), "twice"),
    ],
)
def test_what_does_not_add_up_is_refused_with_its_reason(place: int, value: bytes, says: str) -> None:
    data = store([7, 8, 9], chunks=300)
    data[place : place + len(value)] = value
    with pytest.raises(NoDelta, match=says):
        look(data, 256 * 4096)


@settings(max_examples=80)
@given(
    old=st.lists(st.integers(0, 1023), unique=True, max_size=520),
    length=st.integers(0, 900 * KIB),
    noise=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=16)), max_size=4),
)
def test_truncated_and_random_stores_never_lead_outside_and_always_end(
    old: list[int], length: int, noise: list[tuple[int, bytes]]
) -> None:
    data = store(old)
    for at, value in noise:
        data[at : at + len(value)] = value
    data = data[:length]
    try:
        found = look(data, 1 << 22)
    except NoDelta:
        return
    assert all(0 <= start < end <= 1 << 22 for start, end in found.ranges)


def test_on_huge_volumes_more_is_named_rather_than_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory must not grow with the disk: one mark stands for several chunks there."""
    monkeypatch.setattr(exception_store, "MOST_UNITS", 64)
    old = [5, 6, 100, 1000]
    found = look(store(old), 1024 * 4096)
    for number in old:
        assert any(start <= number * 4096 and (number + 1) * 4096 <= end for start, end in found.ranges)
    assert sum(end - start for start, end in found.ranges) <= 3 * 16 * 4096
