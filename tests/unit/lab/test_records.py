"""The verdict "nothing was lost" is only worth something if every way of losing a record is seen here."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.lab import records
from snowha.lab.records import Record, compare, dump_argv, read_records

A, B = "a" * 16, "b" * 16


def format_record(record: Record) -> bytes:
    """The 64 bytes that the service writes for this record."""
    body = f"{record.number:010d} {record.nonce} {record.boot} {record.time_ms:011x} ".encode()
    return body + f"{zlib.crc32(body) & 0xFFFFFF:06x}\n".encode()


def record(number: int, *, nonce: str = "", boot: str = A) -> Record:
    return Record(number, nonce or f"{number:016x}", boot, 1_700_000_000_000 + number)


def file_of(*slots: Record | bytes | None, size: int = 1 << 12) -> bytes:
    data = b"".join(
        bytes(64) if slot is None else slot if isinstance(slot, bytes) else format_record(slot) for slot in slots
    )
    return data.ljust(size, b"\0")


hexes = st.text("0123456789abcdef", min_size=16, max_size=16)
some_record = st.builds(Record, st.integers(1, 10**10 - 1), hexes, hexes, st.integers(0, 2**44 - 1))


@given(some_record)
def test_a_record_is_read_as_it_was_written(one: Record) -> None:
    assert len(format_record(one)) == records.RECORD_BYTES
    assert records.parse_record(format_record(one)) == one


@given(some_record, st.integers(0, 63), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_record(one: Record, at: int, flip: int) -> None:
    data = bytearray(format_record(one))
    data[at] ^= flip
    assert records.parse_record(bytes(data)) is None


@given(st.binary(max_size=512))
def test_no_content_of_a_disk_breaks_the_reader(data: bytes) -> None:
    found = read_records(data)
    assert all(number == one.number for number, one in found.records.items())


def test_a_sound_file_has_its_records_and_no_problem() -> None:
    found = read_records(file_of(record(1), record(2, boot=B), record(3, boot=B)))
    assert list(found.records) == [1, 2, 3]
    assert found.problems == ()


def test_an_append_cut_off_by_a_crash_is_reported_and_does_not_hide_the_others() -> None:
    found = read_records(file_of(record(1), format_record(record(2))[:40] + bytes(24)))
    assert list(found.records) == [1]
    assert [(problem.kind, problem.number) for problem in found.problems] == [("torn", 2)]


@pytest.mark.parametrize(
    ("slots", "kind", "number"),
    [
        ((record(1), None, record(3)), "hole", 2),
        ((record(1), record(3), record(3)), "misplaced", 2),
        ((record(1, nonce=B), record(2, nonce=B)), "duplicate", 2),
        ((record(1), record(2, boot=B), record(3)), "interleaved", 3),
    ],
)
def test_what_one_service_alone_never_writes_is_a_problem(slots: tuple[Record], kind: str, number: int) -> None:
    assert (kind, number) in [(problem.kind, problem.number) for problem in read_records(file_of(*slots)).problems]


def test_a_disk_that_could_not_be_read_is_not_an_empty_success() -> None:
    assert [problem.kind for problem in read_records(b"").problems] == ["missing"]


def test_an_acknowledged_record_that_is_missing_or_another_one_is_lost() -> None:
    found = read_records(file_of(record(1), record(2, nonce=B), None)).records
    lost = compare({1: f"{1:016x}", 2: A, 3: A}, found)
    assert [(one.number, one.nonce, one.found) for one in lost] == [(2, A, B), (3, A, None)]
    assert compare({1: f"{1:016x}"}, found) == []


def test_records_beyond_the_acknowledged_ones_are_not_a_loss() -> None:
    assert compare({}, read_records(file_of(record(1))).records) == []


def test_only_an_absolute_path_is_given_to_debugfs() -> None:
    with pytest.raises(ValueError, match="absolute"):
        dump_argv("-w")


@pytest.mark.needs("mke2fs", "debugfs")
def test_the_records_come_out_of_an_ext4_image_byte_for_byte(tmp_path: Path) -> None:
    data = file_of(record(1), record(2), size=1 << 16)
    source = tmp_path / "root" / records.RECORDS_FILE.lstrip("/")
    source.parent.mkdir(parents=True)
    source.write_bytes(data)
    image = tmp_path / "a disk;with' a name.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "root", image], check=True)
    dump = subprocess.run(dump_argv(str(image)), check=True, capture_output=True)
    assert dump.stdout == data
