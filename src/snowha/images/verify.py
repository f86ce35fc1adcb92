"""Reading an image back from the storage, against the hashes of what was read from its source."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from . import manifest as manifests
from .errors import UsageError, VerifyError
from .events import Progress, Report
from .job import DEFAULTS, Done, Options
from .manifest import Manifest
from .ranges import Piece, Range, gaps, intersect, merge, total
from .storage import Storage
from .transfer import check_zeros, checker
from .workers import RateLimiter, run

Entries = tuple[tuple[Piece, str], ...]


def verify(target_path: str, report: Report, options: Options = DEFAULTS) -> dict[str, Any]:
    """Read an image again from the storage and compare it with its manifest; the ``done`` event.

    Raises VerifyError naming every range that differs, UsageError if there is no image, or no manifest that can be used.
    """
    began = time.monotonic()
    saved = options.manifest or manifests.path_for(target_path)
    record = manifests.read(saved)
    with open_for_verify(target_path) as target:
        if target.length < record.length or (target.length > record.length and not target.is_block):
            raise VerifyError(
                f"{target.length} bytes long, the manifest says {record.length}",
                where=target_path,
                remedy="copy it again",
                ranges=[(min(target.length, record.length), max(target.length, record.length))],
            )
        read_back(target, target_path, record.entries, record.entries, record.length, report, options)
    return {
        "event": "done",
        "source": record.source,
        "target": target_path,
        "bytes": record.length,
        "copied": record.bytes,
        "method": record.method,
        "reason": record.reason,
        "verified": True,
        "hash": root_hash(record),
        "manifest": saved,
        "seconds": round(time.monotonic() - began, 3),
    }


def read_back(
    target: Storage, path: str, wanted: Entries, entries: Entries, length: int, report: Report, options: Options
) -> None:
    """Compare the pieces ``wanted``, and look whether what lies between all ``entries`` reads as zeros. Raises VerifyError."""
    pieces = [piece for piece, _ in wanted]
    hashes = {piece.index: digest for piece, digest in wanted}
    limiter, done = RateLimiter(options.rate), Done()
    progress = Progress(report, "verify", sum(piece.bytes for piece in pieces))
    run(
        pieces,
        lambda: checker(target, hashes, limiter, done, path),
        limiter,
        lambda: progress.at(limiter.done),
        threads=options.threads,
    )
    done.differing += not_zero(target, path, entries, length)
    progress.at(limiter.done, force=True)
    raise_on_difference(done.differing, path)


def not_zero(target: Storage, path: str, entries: Entries, length: int) -> list[Range]:
    """What does not read as zeros although nothing was copied there. Raises VerifyError if it cannot be read."""
    between = list(gaps([span for piece, _ in entries for span in piece.ranges], length))
    try:
        return check_zeros(target, intersect(between, target.data_ranges()))
    except OSError as error:
        raise VerifyError(
            f"cannot be read back: {error.strerror}", where=path, remedy="check the storage's logs"
        ) from None


def raise_on_difference(differing: list[Range], path: str) -> None:
    """Raises VerifyError that names what differs, if anything does."""
    bad = merge(differing)
    if bad:
        spelled = ", ".join(f"{start}+{end - start}" for start, end in bad[:8]) + (", …" if len(bad) > 8 else "")
        raise VerifyError(
            f"{len(bad)} ranges ({total(bad)} bytes) differ from what was copied: byte {spelled}",
            where=path,
            ranges=bad,
            remedy="if it was not used since it was copied, do not trust this storage: check its logs, and copy again",
        )


def root_hash(record: Manifest) -> str:
    """One hash for the whole image: over its length, and every window's ranges and hash. Not the file's own sha256, for which all
    of it would have to be read in order: docs/internals/image-manifest.md says how it is made of the manifest."""
    digest = hashlib.sha256(b"%d\n" % record.length)
    for piece, value in record.entries:
        digest.update(f"{piece.ranges!r} {value}\n".encode())
    return f"{manifests.ALGORITHM}-of-windows:{digest.hexdigest()}"


def open_for_verify(path: str) -> Storage:
    """Not exclusively: an image may be read while it is in use (and will then differ)."""
    try:
        return Storage(path)
    except FileNotFoundError:
        raise UsageError("there is no such image", where=path, remedy="name an image, or copy it again") from None
    except OSError as error:
        raise VerifyError(f"cannot be read: {error.strerror}", where=path, remedy="name an image") from None
