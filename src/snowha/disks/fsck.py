"""What a file system's own maps are worth, asked of its own checker, where that costs a domain no time.

The engine reads which blocks are in use from bitmaps. It sees where these disagree with counts, checksums and other bitmaps.
That a block belongs to a file although its bitmap calls it free, and all counts agree, is seen only by whoever reads all inodes.
"""

from __future__ import annotations

from collections.abc import Callable

from snowha.hosts.host import Host

EXT = ("ext2", "ext3", "ext4")
_TIMEOUT = 6 * 3600.0
"""Seconds. e2fsck reads every inode table."""
EVERY_BLOCK = "--every-block"


def kind(host: Host, device: str) -> str:
    """What is on a device, as blkid(8) calls it; empty if that is not known."""
    words = ["blkid", "-p", "-s", "TYPE", "-o", "value", device]
    return host.run(words, check=False, timeout=60).stdout.strip()


def repair(host: Host, snapshot: str, monitor: Callable[[], None]) -> bool:
    """Make the maps of an ext file system in a snapshot agree with what its inodes use; whether they do now.

    The journal is replayed, and what is safe is repaired (e2fsck(8), ``-p``): in the snapshot alone, whose store has these
    writes, so that they are copied again from the volume in the end. ``monitor`` is called now and then, and may raise.
    """
    words = ["e2fsck", "-f", "-p", "-C", "1", snapshot]
    done = host.run(words, check=False, timeout=_TIMEOUT, on_line=lambda _: monitor())
    return done.returncode in (0, 1)  # 1 is "errors corrected"


def is_sound(host: Host, device: str) -> bool:
    """Whether a file system that nobody uses is without any fault to e2fsck, which changes nothing. True of what is not ext."""
    if kind(host, device) not in EXT:
        return True
    return host.run(["e2fsck", "-f", "-n", device], check=False, timeout=_TIMEOUT).ok
