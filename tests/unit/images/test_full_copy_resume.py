"""What a second run makes of what a killed one, or a power cut, left behind."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import MIB, silent

from snowha.images.errors import SourceError
from snowha.images.full_copy import copy
from snowha.images.job import Options
from snowha.images.journal import Journal, fingerprint
from snowha.images.ranges import Piece
from snowha.images.storage import Storage


class Dying:
    """A disk that goes away after so many bytes."""

    def __init__(self, source: Storage, size: int) -> None:
        self.length, self._source, self._left = source.length, source, size

    def read_into(self, buffer: memoryview, at: int, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise OSError(5, "Input/output error")
        self._source.read_into(buffer, at, size)


def begin(folder: Path, size: int, upto: int) -> tuple[Path, Path]:
    """A source with a hole in every window, and what a copy of it left that died after reading ``upto`` bytes."""
    source, target = folder / "source", folder / "image"
    data = bytearray(random.Random(size).randbytes(size))
    for at in range(0, size, 2 * MIB):
        data[at + 65536 : at + 200_000] = bytes(134_464)
    source.write_bytes(data)
    with pytest.raises(SourceError):
        copy(str(source), str(target), silent, Options(threads=1, wrap=lambda opened: Dying(opened, upto)))
    assert not target.exists()
    return source, target


def test_what_was_never_synced_does_not_show_through(tmp_path: Path) -> None:
    """After a power cut, unsynced windows hold anything; holes of the source must still read as zeros."""
    source, target = begin(tmp_path, 20 * MIB, 9 * MIB)
    synced = [int(json.loads(line[9:])[0]) for line in (tmp_path / "image.journal").read_bytes().splitlines()[1:]]
    assert synced == [0, 1]
    with (tmp_path / "image.partial").open("r+b") as file:
        for window in (2, 3, 4):
            os.pwrite(file.fileno(), os.urandom(4 * MIB), window * 4 * MIB)
    done = copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()
    assert done["kept"] == 8 * MIB


def test_a_partial_image_without_a_journal_is_not_trusted(tmp_path: Path) -> None:
    source, target = begin(tmp_path, 9 * MIB, 6 * MIB)
    (tmp_path / "image.journal").unlink()
    (tmp_path / "image.partial").write_bytes(os.urandom(9 * MIB))
    done = copy(str(source), str(target), silent)
    assert done["kept"] == 0 and target.read_bytes() == source.read_bytes()


def test_a_source_that_changed_in_between_is_copied_as_it_is_now(tmp_path: Path) -> None:
    """The domain ran from its volume again after the first attempt: nothing of the older state may remain."""
    source, target = begin(tmp_path, 20 * MIB, 17 * MIB)
    with source.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(2 * MIB), MIB)
        os.pwrite(file.fileno(), b"new" * 1000, 9 * MIB)
    done = copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()
    assert done["kept"] == 8 * MIB  # windows 1 and 3 of the four that were synced


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snowha.images.copy_plan.SMALLEST_WINDOW", 64 * 1024)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cut=st.integers(0, 600), flip=st.integers(0, 600))
def test_a_torn_or_damaged_journal_never_harms(
    cut: int, flip: int, small_windows: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    source, target = begin(folder, 600_000, 8 * 65536)
    journal = folder / "image.journal"
    text = bytearray(journal.read_bytes()[: 600 - cut] if cut else journal.read_bytes())
    if flip < len(text):
        text[flip] ^= 0x10
    journal.write_bytes(text)
    copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()
    for path in folder.iterdir():
        path.unlink()


def test_a_window_about_to_be_written_anew_is_not_believed_any_more(tmp_path: Path) -> None:
    """Killed while it was rewritten, with the source back at its older content, it would be taken for synced."""
    header: dict[str, object] = {"source": "x"}
    path, piece = str(tmp_path / "journal"), Piece(3, ((0, 4096),))
    first = Journal(path, header)
    first.add([(piece, "aa")])
    first.forget(piece)
    first.close()
    second = Journal(path, header)
    assert second.synced[3][0] != fingerprint(piece)
    second.add([(piece, "bb")])
    second.close()
    third = Journal(path, header)
    assert third.synced[3] == (fingerprint(piece), "bb")
    third.close()


def test_an_image_that_was_killed_on_the_way_has_all_of_its_room(tmp_path: Path) -> None:
    """What is cleared when a run goes on becomes holes, into which a domain would write when the storage is full."""
    source, target = begin(tmp_path, 20 * MIB, 9 * MIB)
    copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 >= 20 * MIB
