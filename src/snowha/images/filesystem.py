"""What the readers of file systems (``ext``, ``xfs``) have in common."""

from __future__ import annotations

from collections.abc import Callable

Read = Callable[[int, int], bytes]
"""``read(at, size)`` gives exactly ``size`` bytes, or raises OSError."""

READ_OVER = 32 * 1024
"""Bytes. A gap up to this size is read with what lies around it: one larger read costs less than two small ones."""
MOST_RANGES = 65536
HEAD = 64 * 1024
"""Bytes at the beginning that are always copied: boot loaders live there."""


class NotTrusted(Exception):
    """What the file system says of its blocks must not be relied on, for this reason."""
