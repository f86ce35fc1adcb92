"""The manifest beside an image (docs/internals/image-manifest.md): what was copied, and what the storage must give back."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError
from .ranges import Piece

FORMAT = "snow-ha image manifest"
VERSION = 1
ALGORITHM = "sha256"


@dataclass(frozen=True)
class Manifest:
    """``entries`` are a piece and the hash over its ranges' bytes, in order."""

    length: int
    window: int
    method: str
    reason: str
    kind: str
    source: str
    host: str
    started: str
    finished: str
    entries: tuple[tuple[Piece, str], ...]
    image_mtime_ns: int = 0
    """The image's time of last change when it was verified; another one means that it was written since."""
    point: str = ""
    """Which snapshot it is an image of, as whoever made it calls it. Empty: of a quiet disk."""
    algorithm: str = ALGORITHM

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece, _ in self.entries)


def path_for(image: str) -> str:
    return f"{image}.manifest"


def write(path: str, manifest: Manifest) -> None:
    """Written beside, synced and renamed: there is the old one or the new one, never half of one. Raises OSError."""
    beside = f"{path}.new"
    head = {
        "format": FORMAT,
        "version": VERSION,
        "length": manifest.length,
        "bytes": manifest.bytes,
        "method": manifest.method,
        "reason": manifest.reason,
        "kind": manifest.kind,
        "rest": "zeros",
        "source": {"path": manifest.source, "host": manifest.host},
        "started": manifest.started,
        "finished": manifest.finished,
        "image_mtime_ns": manifest.image_mtime_ns,
        "window": manifest.window,
        "algorithm": manifest.algorithm,
    }
    if manifest.point:
        head["point"] = manifest.point
    with Path(beside).open("w", encoding="ascii") as out:
        out.write(json.dumps(head, indent=1)[:-2] + ',\n "entries": [')
        for number, (piece, digest) in enumerate(manifest.entries):
            entry = {
                "window": piece.index,
                "hash": digest,
                "ranges": [[start, end - start] for start, end in piece.ranges],
            }
            out.write((",\n  " if number else "\n  ") + json.dumps(entry, separators=(",", ":")))
        out.write("\n ]\n}\n")
        out.flush()
        os.fsync(out.fileno())
    Path(beside).replace(path)
    sync_folder(path)


def read(path: str) -> Manifest:
    """Raises UsageError if it is missing or cannot be used."""
    try:
        with Path(path).open(encoding="ascii") as file:
            raw = json.load(file)
        if raw["format"] != FORMAT or raw["version"] != VERSION or raw["algorithm"] != ALGORITHM:
            raise ValueError("of another kind or version")
        entries = tuple(
            (
                Piece(int(entry["window"]), tuple((int(at), int(at) + int(size)) for at, size in entry["ranges"])),
                str(entry["hash"]),
            )
            for entry in raw["entries"]
        )
        manifest = Manifest(
            length=int(raw["length"]),
            window=int(raw["window"]),
            method=str(raw["method"]),
            reason=str(raw["reason"]),
            kind=str(raw["kind"]),
            source=str(raw["source"]["path"]),
            host=str(raw["source"]["host"]),
            started=str(raw["started"]),
            finished=str(raw["finished"]),
            image_mtime_ns=int(raw["image_mtime_ns"]),
            point=str(raw.get("point", "")),
            entries=entries,
        )
        _check(manifest)
    except OSError as error:
        raise UsageError(
            f"the manifest cannot be read: {error.strerror}",
            where=path,
            remedy="only an image that snow-ha has copied has one",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"not a usable manifest: {error}", where=path, remedy="copy the image again") from None
    return manifest


def _check(manifest: Manifest) -> None:
    at = 0
    for piece, digest in manifest.entries:
        if len(digest) != 64:
            raise ValueError(f"the hash of window {piece.index} is none")
        for start, end in piece.ranges:
            if not at <= start < end <= manifest.length or start % 4096:
                raise ValueError(f"the range {start}+{end - start} makes no sense")
            at = end


def sync_folder(path: str) -> None:
    """Make a name in a folder last (fsync(2))."""
    descriptor = os.open(Path(path).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
