"""What lies between writing a chunk and trusting it: a look at what the storage gives back.

A chunk stays in memory until it was read back and compared byte by byte: that costs a tenth of hashing it a second time,
and lets windows be proven while later ones are still copied. There are only so many buffers, so whoever needs one
while all are taken does what is next for those that have one. Memory stays the same for any disk.

With O_DIRECT a chunk that was written is at the storage, and is read back from there at once; a sync for each batch would only
make everybody wait for the file system's journal. What the storage still has in a cache of its own is made lasting by the
sync that ends the copy, and an error of that one is an error of the copy. Without O_DIRECT a chunk may still be in the page
cache: it is synced and dropped from there before it is read back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .errors import VerifyError
from .memory import Buffer
from .ranges import GRAIN, Piece, Range
from .storage import Storage

CHUNK = 4 << 20
"""Bytes in a buffer."""
BUFFERS = 6
"""24 MiB, of the 64 MiB that a copy may take in all."""
_BACK = 2 << 20
"""Bytes read back at once, by each worker."""


@dataclass(frozen=True)
class Part:
    """One read: ``size`` bytes of the image at ``at``, in a buffer at ``place`` (a multiple of 4096)."""

    at: int
    size: int
    place: int


@dataclass
class _Chunk:
    buffer: Buffer
    piece: Piece
    parts: Sequence[Part]


@dataclass
class Belt:
    """The chunks under way. All of it may be called by any worker; ``check`` is called while one waits, and may raise."""

    target: Storage
    name: str
    check: Callable[[int], None]
    """Before so many bytes are read back: holds to the rate, and raises when somebody asked for an end."""
    buffers: int = BUFFERS
    differing: list[Range] = field(default_factory=list)
    _free: list[Buffer] = field(default_factory=list)
    _made: int = 0
    _written: list[_Chunk] = field(default_factory=list)
    _ready: deque[_Chunk] = field(default_factory=deque)
    _syncing: bool = False
    _under_way: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _backs: threading.local = field(default_factory=threading.local)

    def take(self) -> Buffer:
        """An empty buffer. While there is none, the work of the others is done. Raises VerifyError, OSError."""
        while True:
            with self._changed:
                if not self._must_sync() and (self._free or self._made < self.buffers):
                    self._under_way += 1
                    if self._free:
                        return self._free.pop()
                    self._made += 1
                    return Buffer(CHUNK)
            self._help()

    def put(self, buffer: Buffer, piece: Piece, parts: Sequence[Part]) -> None:
        """A chunk that was written."""
        with self._changed:
            (self._ready if self.target.is_direct else self._written).append(_Chunk(buffer, piece, parts))
            self._changed.notify_all()

    def give(self, buffer: Buffer) -> None:
        """A buffer back without anything to be looked at."""
        with self._changed:
            self._free.append(buffer)
            self._under_way -= 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Return when everything that was put was read back."""
        while True:
            with self._changed:
                if not self._under_way:
                    return
            self._help()

    def _must_sync(self) -> bool:
        return not self._syncing and 2 * len(self._written) >= self.buffers

    def _help(self) -> None:
        """One thing that brings a chunk on, or a short wait for somebody else who does."""
        chunk: _Chunk | None = None
        batch: list[_Chunk] = []
        with self._changed:
            if self._written and not self._syncing and (self._must_sync() or not self._ready):
                batch, self._written, self._syncing = self._written, [], True
            elif self._ready:
                chunk = self._ready.popleft()
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
            self.give(chunk.buffer)
        else:
            self.check(0)

    def _read_back(self, chunk: _Chunk) -> None:
        if not hasattr(self._backs, "view"):
            self._backs.view = Buffer(_BACK).view
        back: memoryview = self._backs.view
        for part in chunk.parts:
            for low in range(0, part.size, _BACK):
                size = min(_BACK, part.size - low)
                self.check(size)
                read_target(self.target, back, part.at + low, size, self.name)
                with back[:size] as found:
                    if not chunk.buffer.holds(part.place + low, found):
                        self.differing.append((chunk.piece.ranges[0][0], chunk.piece.ranges[-1][1]))


def read_target(target: Storage, buffer: memoryview, at: int, size: int, name: str) -> None:
    """Read the image from its storage. Raises VerifyError that names what cannot be read."""
    try:
        target.read_into(buffer, at, size)
    except OSError as error:
        raise VerifyError(
            f"{at}+{size} cannot be read back: {error.strerror}",
            where=name,
            ranges=[(at, at + size)],
            remedy="the storage is not to be trusted with this image: look at its logs",
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
