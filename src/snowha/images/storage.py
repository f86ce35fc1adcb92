"""Files and block devices read and written past the page cache where that works, and with the cache dropped behind where not.

O_DIRECT needs aligned offsets, lengths and memory (open(2)); what is not aligned (the end of an odd-sized image) goes
through an ordinary descriptor on the same file, and ``sync`` covers both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from . import device_writes
from .errors import BusyError, SourceError, TargetError
from .opening import open_undelegated
from .ranges import GRAIN, Range, gaps

IO_SIZE = 1 << 20
"""Bytes read or written at once."""
_BLKGETSIZE64 = 0x80081272
_BLKSSZGET = 0x1268
_BLKZEROOUT = 0x127F
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
ZEROS = bytes(IO_SIZE)


class Reader(Protocol):
    """What the engine reads from. Tests put one in front of a source that fails in one place."""

    length: int

    def read_into(self, buffer: memoryview, at: int, size: int) -> None:
        """Fill the first ``size`` bytes of ``buffer``. ``at`` is a multiple of 4096. Raises OSError."""
        ...


class Storage:
    """An open file or block device. ``length`` in bytes."""

    def __init__(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> None:
        flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | (os.O_CREAT | os.O_NOFOLLOW if create else 0)
        self.path = path
        if not create:
            mode = Path(path).stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
                raise OSError(errno.EINVAL, "neither a file nor a block device", path)
            if exclusive and stat.S_ISBLK(mode):
                flags |= os.O_EXCL
        self._plain = open_undelegated(path, flags)
        self._direct = -1
        self.is_block = stat.S_ISBLK(os.fstat(self._plain).st_mode)
        with contextlib.suppress(OSError):
            self._direct = os.open(path, (flags & ~os.O_EXCL & ~os.O_CREAT) | os.O_DIRECT)
        self.is_direct = self._direct >= 0
        """What was written so far went past the page cache, but for less than a page at the end."""
        self._measure()

    def _measure(self) -> None:
        if self.is_block:
            self.length: int = struct.unpack("Q", fcntl.ioctl(self._plain, _BLKGETSIZE64, bytes(8)))[0]
        else:
            self.length = os.fstat(self._plain).st_size

    @property
    def sector(self) -> int:
        """Bytes of a logical block: what a partition table counts in. A file is attached with 512."""
        if not self.is_block:
            return 512
        size: int = struct.unpack("i", fcntl.ioctl(self._plain, _BLKSSZGET, bytes(4)))[0]
        return size

    def close(self) -> None:
        for descriptor in (self._plain, self._direct):
            if descriptor >= 0:
                os.close(descriptor)
        self._plain = self._direct = -1

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_into(self, buffer: memoryview, at: int, size: int) -> None:
        """Fill the first ``size`` bytes of ``buffer`` from the storage itself, not from the page cache.

        ``buffer`` must begin at a page and have room up to the next multiple of 4096: the last block of an odd-sized
        image is asked for as a whole.
        """
        done = 0
        if self._direct >= 0 and at % GRAIN == 0:
            wanted = -(-size // GRAIN) * GRAIN
            while done < size and done % GRAIN == 0:
                with buffer[done:wanted] as part:
                    got = self._try_direct(os.preadv, part, at + done)
                if got <= 0:
                    break
                done += got
        if done < size:
            self._drop(at + done, size - done)
        while done < size:
            with buffer[done:size] as part:
                got = os.preadv(self._plain, [part], at + done)
            if not got:
                raise OSError(errno.EIO, f"ends at {at + done}, sooner than expected", self.path)
            done += got
            if done == size:
                self._drop(at, size)

    def write_from(self, view: memoryview, at: int) -> None:
        """Write all of ``view``; it is on the storage after the next ``sync``."""
        done, size = 0, len(view)
        if self._direct >= 0 and at % GRAIN == 0:
            whole = size // GRAIN * GRAIN
            while done < whole and done % GRAIN == 0:
                with view[done:whole] as part:
                    put = self._try_direct(os.pwritev, part, at + done)
                if put <= 0:
                    break
                done += put
        while done < size:
            with view[done:] as part:
                done += os.pwrite(self._plain, part, at + done)

    def _try_direct(self, call: Callable[[int, list[memoryview], int], int], part: memoryview, at: int) -> int:
        """-1 where O_DIRECT could be opened but is refused (EINVAL): the ordinary descriptor then does it."""
        try:
            return call(self._direct, [part], at)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.is_direct = False
            return -1

    def _drop(self, at: int, size: int) -> None:
        end = at + size
        start = at // GRAIN * GRAIN
        with contextlib.suppress(OSError):
            os.posix_fadvise(
                self._plain,
                start,
                0 if end >= self.length else -(-end // GRAIN) * GRAIN - start,
                os.POSIX_FADV_DONTNEED,
            )

    def read_bytes(self, at: int, size: int) -> bytes:
        """A small piece from anywhere. Raises OSError, also if there are not ``size`` bytes."""
        start = at // GRAIN * GRAIN
        if at < 0 or at + size > self.length:
            raise OSError(errno.EINVAL, f"{at}+{size} lies outside", self.path)
        with contextlib.closing(mmap.mmap(-1, -(-(at + size - start) // GRAIN) * GRAIN)) as buffer:
            with memoryview(buffer) as view:
                self.read_into(view, start, at + size - start)
            return buffer[at - start : at - start + size]

    def set_length(self, length: int) -> None:
        os.ftruncate(self._plain, length)
        self.length = length

    def sync(self) -> None:
        os.fsync(self._plain)

    def copy_owner_and_mode(self, path: str) -> None:
        """Take mode and owner of the file that is to be replaced, if there is one. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            before, now = Path(path).stat(), os.fstat(self._plain)
            if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
                os.fchown(self._plain, before.st_uid, before.st_gid)
            if before.st_mode != now.st_mode:
                os.fchmod(self._plain, stat.S_IMODE(before.st_mode))

    def set_mtime(self, stamp_ns: int) -> None:
        """Set the time of the last change, so that any later change shows."""
        os.utime(self._plain, ns=(stamp_ns, stamp_ns))

    def changed(self) -> str:
        """A stamp that is another one once it was written. Raises SourceError, OSError."""
        return device_writes.stamp(self._plain, self.path)

    def data_ranges(self) -> list[Range]:
        """Where a file is not a hole; all of it for a block device, or where the file system does not say."""
        if self.is_block:
            return [(0, self.length)] if self.length else []
        found: list[Range] = []
        at = 0
        while at < self.length:
            try:
                start = os.lseek(self._plain, at, os.SEEK_DATA)
                at = os.lseek(self._plain, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                return [(0, self.length)]
            found.append((start, min(at, self.length)))
        return found

    def allocate(self) -> None:
        """Give a file the room for all of its length, without writing it: a write into a hole must not find the storage full.

        Where the storage cannot (NFS before 4.2), or has not that much room, holes stay, and none of the room that others need is
        taken in vain. Raises OSError.
        """
        room, found = os.fstatvfs(self._plain), os.fstat(self._plain)
        missing = self.length - found.st_blocks * 512
        if self.is_block or not self.length or missing > room.f_bavail * room.f_frsize:
            return
        failed = fallocate(self._plain, 0, 0, self.length)
        if failed in (errno.ENOSPC, errno.EDQUOT):
            for start, end in gaps(self.data_ranges(), self.length):
                _punch(self._plain, start, end - start)
        elif failed and failed not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            raise OSError(failed, os.strerror(failed), self.path)

    def clear(self, at: int, size: int) -> None:
        """Make a range read as zeros: a hole in a file, BLKZEROOUT on a device, else zeros written."""
        if size <= 0:
            return
        if self.is_block:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._plain, _BLKZEROOUT, struct.pack("QQ", at, size))
                return
        elif _punch(self._plain, at, size):
            return
        with memoryview(ZEROS) as zeros:
            while size:
                part = min(size, IO_SIZE)
                os.pwrite(self._plain, zeros[:part], at)
                at += part
                size -= part


def _punch(descriptor: int, at: int, size: int) -> bool:
    """False where the file system has no such thing."""
    return fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, at, size) == 0


def fallocate(descriptor: int, mode: int, at: int, size: int) -> int:
    """fallocate(2), which os does not have: 0, or its errno. (posix_fallocate(3) writes zeros where the file system cannot.)"""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or libc.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return 0 if call(descriptor, mode, at, size) == 0 else ctypes.get_errno()


def open_source(path: str, *, quiet: bool = True) -> Storage:
    """Raises SourceError, or BusyError if a block device that should be ``quiet`` is mounted or otherwise claimed (O_EXCL,
    open(2))."""
    try:
        return Storage(path, exclusive=quiet)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BusyError(
                "the device is in use on this server (mounted, or part of another device)",
                where=path,
                remedy="unmount it, or copy from a snapshot of it",
            ) from None
        raise SourceError(
            f"cannot be opened: {error.strerror}", where=path, remedy="name a file or a block device"
        ) from None


def open_target(path: str, *, create: bool) -> Storage:
    """Raises TargetError, or BusyError if a block device is mounted or otherwise claimed."""
    try:
        return Storage(path, write=True, create=create, exclusive=not create)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BusyError(
                "the device is in use on this server", where=path, remedy="unmount it, or shut its domain down"
            ) from None
        raise TargetError(
            f"cannot be written: {error.strerror}",
            where=path,
            remedy="check the permissions of its folder, and whether it is mounted",
        ) from None
