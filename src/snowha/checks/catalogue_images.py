"""The findings about domains' disks on their way to images, a part of the catalogue."""

from __future__ import annotations

from snowha.checks.entry import Entry

IMAGE_ENTRIES: dict[str, Entry] = {
    "space": Entry(
        "Not enough room for the images",
        "stop",
        "Images are counted in full, so that a later write into a hole does not find the file system full.",
        "free some space there",
    ),
    "sector-size": Entry(
        "A partitioned disk whose sector size differs from that of an image",
        "stop",
        "A partition table counts in sectors of its disk. Where these are of 4096 bytes, a domain finds no partitions in an "
        "image, whose sectors are of 512.",
        "copy its file systems into volumes without a partition table, or into a disk with sectors of 512 bytes, and name these "
        "in its config",
    ),
    "saved": Entry(
        "A saved domain",
        "stop",
        "Its memory is in a file (xl save). Restored after its disks were copied, it would overwrite them with old data.",
        "xl restore FILE; or, if its saved memory is not needed, move the file away",
    ),
    "undone-images": Entry(
        "Images that an undo has moved aside",
        "note",
        "They occupy space. The domains run from their volumes.",
        "remove them when they are no longer needed",
    ),
    "snow-conf-syntax": Entry(
        "A shell cannot read snow.conf to its end",
        "stop",
        "sNow! does not read what follows the error. What snow-ha reads from the file could differ from it.",
        "correct the line; `bash -n FILE` checks it",
    ),
    "image-destination": Entry(
        "IMG_DST contradicts the domains' configs",
        "warn",
        "sNow! would deploy the next domain in another place than the existing ones.",
        "correct IMG_DST in snow.conf, or the configs",
    ),
}
