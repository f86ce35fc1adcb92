"""Files on the shared storage, opened so that this server holds no NFS delegation of them."""

from __future__ import annotations

import errno
import fcntl
import os


def open_undelegated(path: str, flags: int, mode: int = 0o600) -> int:
    """``os.open``. An NFS 4.1 client asks for no delegation of a file that it opens with O_DIRECT (Linux fs/nfs/nfs4proc.c,
    nfs4_map_atomic_open_share); the flag is taken off again. Had a server one that loses its power, nobody else could open the
    file for up to 90 s: an NFS server of Linux 6.6 and later gives them for writing, too. Raises OSError."""
    try:
        descriptor = os.open(path, flags | os.O_DIRECT, mode)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags, mode)  # a file system without it
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
    return descriptor
