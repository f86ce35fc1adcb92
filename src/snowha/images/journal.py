"""What a copy that may be killed leaves for the next run: the pieces that were synced, and their hashes.

One JSON line a piece, with a checksum of its own, since the last lines may be torn. A line is appended only after the
image was synced, and is itself a promise about the target alone: the next run reads the source again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zlib
from pathlib import Path

from .errors import BusyError
from .ranges import Piece


def fingerprint(piece: Piece) -> str:
    """Which bytes a piece is about. Two surveys of a source that was used in between may differ."""
    return hashlib.sha256(repr(piece.ranges).encode()).hexdigest()[:16]


def is_about(path: str, header: dict[str, object]) -> bool:
    """Whether the journal there, if there is one, was begun with this header. Changes nothing."""
    try:
        with Path(path).open("rb") as file:
            return _parse(file.readline().rstrip(b"\n")) == header
    except OSError:
        return False


class Journal:
    """An open, locked journal. ``synced`` is what an earlier run left: piece index → (fingerprint, hash)."""

    def __init__(self, path: str, header: dict[str, object]) -> None:
        """Raises BusyError if another copy to the same target is under way; OSError."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise BusyError(
                "another copy to this target is under way", where=path, remedy="wait for it to end"
            ) from None
        except OSError:
            pass  # a file system without locks: nothing to lean on
        if not _same(path, self._descriptor):
            os.close(self._descriptor)
            raise BusyError("another copy to this target has just ended", where=path, remedy="run it again")
        self.synced: dict[int, tuple[str, str]] = {}
        self._read(header)

    def _read(self, header: dict[str, object]) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            lines = file.read().split(b"\n")
        first = _parse(lines[0])
        self.usable = first == header
        if self.usable:
            for line in lines[1:]:
                entry = _parse(line)
                if isinstance(entry, list) and len(entry) == 3:
                    self.synced[int(entry[0])] = (str(entry[1]), str(entry[2]))
        else:
            os.ftruncate(self._descriptor, 0)
            self._append([header])
        if lines[-1] and self.usable:
            os.write(self._descriptor, b"\n")

    def add(self, done: list[tuple[Piece, str]]) -> None:
        """Only after the target was synced."""
        if done:
            self._append([[piece.index, fingerprint(piece), digest] for piece, digest in done])

    def forget(self, piece: Piece) -> None:
        """Before a piece that was synced is written anew. Workers call this, each with one write to a file opened to append."""
        self._append([[piece.index, "", ""]])

    def _append(self, entries: list[object]) -> None:
        data = b"".join(_line(entry) for entry in entries)
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()


def _same(path: str, descriptor: int) -> bool:
    """Whether the file locked is still the one under that name: whoever had it before may have removed it at its end."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _line(entry: object) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> object:
    with contextlib.suppress(ValueError):
        if int(line[:8], 16) == zlib.crc32(line[9:]):
            parsed: object = json.loads(line[9:])
            return parsed
    return None
