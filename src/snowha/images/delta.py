"""What has to be copied so that the image of a snapshot becomes one of its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from . import exception_store
from .copy_plan import CopyPlan, plan_copy
from .errors import SourceError
from .filesystem import MOST_RANGES
from .manifest import Manifest
from .ranges import Piece, Range, aligned, bounded, cut, merge, total, without
from .storage import Storage


@dataclass(frozen=True)
class Delta:
    """What is to be done."""

    write: tuple[Range, ...]
    """Bytes to be copied."""
    pieces: tuple[Piece, ...]
    """Windows to be read, hashed anew and read back: all in which something is written."""
    chunks: int
    """How many chunks the snapshot's store named."""
    missed: int
    """Bytes that the origin uses, and that were neither copied from the snapshot nor written since."""
    instead: CopyPlan | None = None
    """What the source is now, if the image is one of a swap space and the source is none any more."""


def find(source: Storage, store_path: str, record: Manifest, *, last: bool, also: Sequence[Range] = ()) -> Delta:
    """``last``: the source is the origin, and quiet, so what it uses now counts as well. ``also``: what was written ahead, which
    is more than the store names where gaps were bridged. Raises SourceError, OSError."""
    try:
        with Storage(store_path) as store:
            found = exception_store.changes(store.read_bytes, store.length, record.length)
    except exception_store.NoDelta as reason:
        raise SourceError(
            f"it does not say what was written since the snapshot was made: {reason}",
            where=store_path,
            remedy="remove the snapshot and begin again with a new one, larger if it overflowed",
        ) from None
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", where=store_path, remedy="name the snapshot's -cow device"
        ) from None
    had = merge(span for piece, _ in record.entries for span in piece.ranges)
    write = bounded(merge([*aligned(found.ranges, record.length), *also]), MOST_RANGES)
    missed: list[Range] = []
    instead = None
    if record.kind == "swap":
        now = plan_copy(source, unclean=not last)
        if now.kind == "swap" and _is_header(record, now.header) and not also:
            write = []  # what was swapped out is worth nothing once the domain is off
        else:
            # of what it is now nothing was copied: the image has a header of our making, which is no copy of the source's bytes
            instead, had = now, []
            missed = list(now.ranges) if now.kind != "swap" else [(0, len(now.header))]
            write = bounded(merge([*missed, *also]), MOST_RANGES)
    elif last:
        used = list(plan_copy(source).ranges)
        missed = without(used, merge([*had, *write]))
        write = bounded(merge([*write, *missed]), MOST_RANGES)
    touched = {piece.index for piece in cut(write, record.window)}
    everything = cut(merge([*had, *write]), record.window)
    return Delta(
        tuple(write),
        tuple(piece for piece in everything if piece.index in touched),
        found.chunks,
        total(missed),
        instead,
    )


def _is_header(record: Manifest, header: bytes) -> bool:
    """Whether the image begins with this header of a swap space."""
    return [digest for _, digest in record.entries] == [hashlib.sha256(header).hexdigest()]
