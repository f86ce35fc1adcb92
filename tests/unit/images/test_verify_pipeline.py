"""What lies between writing a chunk and trusting it. If this fails, an image that the storage spoiled is called verified, or a
copy waits for ever with a domain down."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from image_files import MIB, noise, silent

from snowha.images import verify_pipeline
from snowha.images.buffer import Buffer
from snowha.images.errors import VerifyError
from snowha.images.full_copy import copy
from snowha.images.ranges import GRAIN, Piece, cut, intersect
from snowha.images.storage import Storage
from snowha.images.verify_pipeline import Part, VerifyPipeline, parts_of


@pytest.mark.parametrize("place", [0, 2 * MIB - 1, 5 * MIB + 17, 10 * MIB + 98])
def test_a_storage_that_keeps_another_byte_than_it_was_given_is_found_while_it_is_copied(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = noise(tmp_path / "source", 10 * MIB + 99), tmp_path / "image"
    write = Storage.write_from

    def spoil(self: Storage, view: memoryview, at: int) -> None:
        if at <= place < at + len(view):
            with memoryview(bytearray(view)) as other:
                other[place - at] ^= 1
                write(self, padded(other), at) if len(view) % GRAIN == 0 else write(self, other, at)
        else:
            write(self, view, at)

    monkeypatch.setattr(Storage, "write_from", spoil)
    with pytest.raises(VerifyError) as caught:
        copy(str(source), str(target), silent)
    assert intersect(caught.value.ranges, [(place, place + 1)])
    assert not target.exists() and not target.with_name("image.partial").exists()


def padded(view: memoryview) -> memoryview:
    """The same bytes where O_DIRECT can take them from."""
    buffer = Buffer(len(view)).view
    buffer[:] = view
    return buffer


@pytest.mark.parametrize("seed", range(8))
def test_of_scattered_bytes_all_are_compared_and_the_hash_is_of_all_in_order(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = noise(tmp_path / "image", 24 * MIB + chance.choice((0, 99)))
    edges = sorted(chance.sample(range(path.stat().st_size // GRAIN), 400))
    ranges = [(low * GRAIN, high * GRAIN) for low, high in zip(edges[::2], edges[1::2], strict=True)]
    ranges[-1] = (ranges[-1][0], path.stat().st_size)
    data = path.read_bytes()
    wrong = chance.randrange(*chance.choice(ranges)) if seed % 2 else None
    pieces = cut(ranges, chance.choice((4 * MIB, 16 * MIB)))
    hashes: dict[int, Any] = {piece.index: hashlib.sha256() for piece in pieces}
    with Storage(str(path)) as storage, VerifyPipeline(storage, str(path), lambda size: None) as line:
        for piece in pieces:

            def verify(buffer: Buffer, parts: Any, piece: Piece = piece) -> None:
                for part in parts:
                    hashes[piece.index].update(bytes(buffer.view[part.place : part.place + part.size]))

            for parts in parts_of(piece, largest=verify_pipeline.CHUNK):
                buffer = line.acquire()
                for part in parts:
                    buffer.view[part.place : part.place + part.size] = data[part.at : part.at + part.size]
                    if wrong is not None and part.at <= wrong < part.at + part.size:
                        buffer.view[part.place + wrong - part.at] ^= 1
                line.put(buffer, piece, parts, verify)
        line.drain()
    if wrong is None:
        assert not line.differing
        for piece in pieces:
            whole = b"".join(data[start:end] for start, end in piece.ranges)
            assert hashes[piece.index].hexdigest() == hashlib.sha256(whole).hexdigest()
    else:
        assert len(line.differing) == 1 and intersect(line.differing, [(wrong, wrong + 1)])


def test_a_window_of_several_chunks_is_hashed_in_order_whoever_reads_them_back_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without O_DIRECT chunks are read back by several workers. Hashed in that order, a good image would be said to differ."""
    path = noise(tmp_path / "image", 8 * MIB)
    piece = Piece(0, ((0, 8 * MIB),))
    read, later, hashed = verify_pipeline.read_target, threading.Event(), []

    def last_first(storage: Storage, buffer: memoryview, at: int, size: int, name: str) -> None:
        """The first chunk is given on when all of the second was: by another worker, since this one waits."""
        read(storage, buffer, at, size, name)
        if at == 0:
            assert later.wait(30)
        elif at == 6 * MIB:
            later.set()

    monkeypatch.setattr(verify_pipeline, "read_target", last_first)
    with Storage(str(path)) as storage, VerifyPipeline(storage, str(path), lambda size: None) as line:
        storage.is_direct = False
        for parts in parts_of(piece, largest=verify_pipeline.CHUNK):
            buffer = line.acquire()
            storage.read_into(buffer.view, parts[0].at, parts[0].size)
            line.put(buffer, piece, parts, lambda buffer, parts: hashed.append(parts[0].at))
        workers = [threading.Thread(target=line.drain) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert later.is_set() and hashed == [0, 4 * MIB] and not line.differing


def test_parts_that_are_read_back_together_fit_where_they_are_read_to() -> None:
    """Else one would lie over the other, or past the buffer's end."""
    parts = [Part(0, 5000, 0), Part(1 * MIB, 3 * MIB, 8192), Part(9 * MIB, 100, 8192 + 3 * MIB)]
    rounds = list(verify_pipeline.rounds_of(parts))
    assert sum(part.size for found in rounds for part in found) == sum(part.size for part in parts)
    for found in rounds:
        assert len({part.place // verify_pipeline.BACK for part in found}) == 1
        assert all(part.place % verify_pipeline.BACK + part.size <= verify_pipeline.BACK for part in found)
    assert [part.at for found in rounds for part in found] == [0, 1 * MIB, 1 * MIB + 2 * MIB - 8192, 9 * MIB]


def test_what_goes_wrong_while_it_is_compared_ends_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else everybody would wait for buffers that nobody gives back."""
    source = noise(tmp_path / "source", 64 * MIB)

    def fail(*_: object) -> bool:
        raise MemoryError

    monkeypatch.setattr(Buffer, "holds", fail)
    with pytest.raises(MemoryError):
        copy(str(source), str(tmp_path / "image"), silent)
    assert not (tmp_path / "image").exists()
