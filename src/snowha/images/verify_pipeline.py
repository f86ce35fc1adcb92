"""What lies between writing a chunk and trusting it: a look at what the storage gives back.

Whoever moves bytes (a worker) reads a chunk, writes it, reads it back, and goes on with the next one; hashing and comparing is
done beside that, by verifiers, so that a disk never waits for arithmetic. A chunk stays in memory until it was compared byte by
byte: that costs a tenth of hashing it a second time, and lets windows be proven while later ones are still copied. There are
only so many buffers, so memory stays the same for any disk.

With O_DIRECT a chunk that was written is at the storage, and is read back from there at once; a sync for each batch would only
make everybody wait for the file system's journal. What the storage still has in a cache of its own is made lasting by the
sync that ends the copy, and an error of that one is an error of the copy. Without O_DIRECT a chunk may still be in the page
cache: it is synced and dropped from there before it is read back, by whoever would have to wait for a buffer otherwise.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from .buffer import Buffer
from .errors import VerifyError
from .ranges import GRAIN, Piece, Range
from .storage import Storage

CHUNK = 4 << 20
"""Bytes in a buffer."""
BUFFERS = 6
"""24 MiB, of the 64 MiB that a copy may take in all."""
BACK = 2 << 20
"""Bytes of a buffer to read back into."""
_BACKS = 6
VERIFIERS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""One hashes and compares 1.6 GB/s on a processor of 2023."""


@dataclass(frozen=True)
class Part:
    """One read: ``size`` bytes of the image at ``at``, in a buffer at ``place`` (a multiple of 4096)."""

    at: int
    size: int
    place: int


Check = Callable[[Buffer, Sequence[Part]], None]
"""What else is done with a chunk that was written: hashing it. Of one piece: in the order in which they were put."""


def only_compare(_buffer: Buffer, _parts: Sequence[Part]) -> None:
    """The Check of whoever has hashed the chunk already."""


@dataclass
class _Chunk:
    buffer: Buffer
    piece: Piece
    parts: Sequence[Part]


class _Pool:
    """Buffers of one size, made when they are needed first."""

    def __init__(self, size: int, most: int) -> None:
        self._size = size
        self._most = most
        self._made = 0
        self._free: list[Buffer] = []

    def acquire(self) -> Buffer | None:
        if self._free:
            return self._free.pop()
        if self._made >= self._most:
            return None
        self._made += 1
        return Buffer(self._size)

    def release(self, buffer: Buffer) -> None:
        self._free.append(buffer)


@dataclass
class VerifyPipeline:
    """The chunks under way: a context, in which verifiers run. All of it may be called by any worker; ``check`` is called while
    one waits, and may raise."""

    target: Storage
    name: str
    check: Callable[[int], None]
    """Before so many bytes are read back: holds to the rate, and raises when somebody asked for an end."""
    differing: list[Range] = field(default_factory=list)
    _chunk_buffers: _Pool = field(default_factory=lambda: _Pool(CHUNK, BUFFERS))
    _back_buffers: _Pool = field(default_factory=lambda: _Pool(BACK, _BACKS))
    _written: list[_Chunk] = field(default_factory=list)
    _ready: deque[_Chunk] = field(default_factory=deque)
    _syncing: bool = False
    _under_way: int = 0
    _failure: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _queues: list[queue.SimpleQueue[Callable[[], None] | None]] = field(default_factory=list)
    """What each verifier has to do, in this order. All of a piece is one verifier's."""
    _verifiers: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> VerifyPipeline:
        self._queues = [queue.SimpleQueue() for _ in range(VERIFIERS)]
        self._verifiers = [
            threading.Thread(target=self._run_verifier, args=(line,), daemon=True) for line in self._queues
        ]
        for verifier in self._verifiers:
            verifier.start()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._queues:
            line.put(None)
        for verifier in self._verifiers:
            verifier.join()

    def acquire(self) -> Buffer:
        """An empty buffer. Waits while there is none. Raises VerifyError, OSError, and what went wrong in a verifier."""
        while True:
            with self._changed:
                self._raise_failure()
                buffer = None if self._must_sync() else self._chunk_buffers.acquire()
                if buffer:
                    self._under_way += 1
                    return buffer
            self._help()

    def put(self, buffer: Buffer, piece: Piece, parts: Sequence[Part], verify: Check = only_compare) -> None:
        """A chunk that was written. Raises VerifyError, OSError."""
        chunk = _Chunk(buffer, piece, parts)
        # before it is read back: without O_DIRECT that may be done by several workers, in any order
        self._queue_of(piece).put(partial(verify, buffer, parts))
        if self.target.is_direct:
            self._read_back(chunk)
            return
        with self._changed:
            self._written.append(chunk)
            self._changed.notify_all()

    def release(self, buffer: Buffer) -> None:
        """A buffer back without anything to be verified."""
        with self._changed:
            self._chunk_buffers.release(buffer)
            self._under_way -= 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Return when everything that was put was verified."""
        while True:
            with self._changed:
                self._raise_failure()
                if not self._under_way:
                    return
            self._help()

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _must_sync(self) -> bool:
        return not self._syncing and 2 * len(self._written) >= BUFFERS

    def _help(self) -> None:
        """One thing that brings a chunk on, or a short wait for somebody else who does."""
        chunk: _Chunk | None = None
        batch: list[_Chunk] = []
        with self._changed:
            if self._ready:
                chunk = self._ready.popleft()
            elif self._written and not self._syncing:
                batch, self._written, self._syncing = self._written, [], True
            else:
                self._changed.wait(0.1)
        if batch:
            try:
                self.target.sync()
            finally:
                with self._changed:
                    self._syncing = False
                    self._ready.extend(batch)
                    self._changed.notify_all()
        elif chunk:
            self._read_back(chunk)
        else:
            self.check(0)

    def _queue_of(self, piece: Piece) -> queue.SimpleQueue[Callable[[], None] | None]:
        return self._queues[piece.index % len(self._queues)]

    def _read_back(self, chunk: _Chunk) -> None:
        line = self._queue_of(chunk.piece)
        rounds = list(rounds_of(chunk.parts))
        for number, parts in enumerate(rounds, 1):
            back = self._back_buffer()
            for part in parts:
                self.check(part.size)
                with back.view[part.place % BACK :] as room:
                    read_target(self.target, room, part.at, part.size, self.name)
            line.put(partial(self._compare, chunk, parts, back, last=number == len(rounds)))

    def _back_buffer(self) -> Buffer:
        while True:
            with self._changed:
                self._raise_failure()
                back = self._back_buffers.acquire()
                if back:
                    return back
                self._changed.wait(0.1)
            self.check(0)

    def _run_verifier(self, line: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        try:
            while True:
                work = line.get()
                if work is None:
                    return
                work()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _compare(self, chunk: _Chunk, parts: Sequence[Part], back: Buffer, *, last: bool) -> None:
        for part in parts:
            if not chunk.buffer.holds(part.place, back, part.place % BACK, part.size):
                self.differing.append((chunk.piece.ranges[0][0], chunk.piece.ranges[-1][1]))
        with self._changed:
            self._back_buffers.release(back)
            self._changed.notify_all()
        if last:
            self.release(chunk.buffer)


def rounds_of(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The parts, as they lie together in each BACK bytes of their buffer."""
    found: list[Part] = []
    for part in parts:
        low = 0
        while low < part.size:
            place = part.place + low
            if found and place // BACK != found[0].place // BACK:
                yield found
                found = []
            size = min(part.size - low, BACK - place % BACK)
            found.append(replace(part, at=part.at + low, size=size, place=place))
            low += size
    yield found


def read_target(target: Storage, buffer: memoryview, at: int, size: int, name: str) -> None:
    """Read the image from its storage. Raises VerifyError that names what cannot be read."""
    try:
        target.read_into(buffer, at, size)
    except OSError as error:
        raise VerifyError(
            f"{at}+{size} cannot be read back: {error.strerror}",
            where=name,
            ranges=[(at, at + size)],
            remedy="do not trust this storage with the image: check its logs",
        ) from None


def parts_of(piece: Piece, *, largest: int, room: int = CHUNK) -> list[list[Part]]:
    """The reads of a piece, as many together as fit into a buffer of ``room`` bytes."""
    chunks: list[list[Part]] = []
    place = room
    for start, end in piece.ranges:
        while start < end:
            if place >= room:
                chunks.append([])
                place = 0
            size = min(largest, end - start, room - place)
            chunks[-1].append(Part(start, size, place))
            start += size
            place += -(-size // GRAIN) * GRAIN
    return chunks
