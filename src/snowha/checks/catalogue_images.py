"""The findings about domains' disks on their way to images, a part of the catalogue."""

from __future__ import annotations

from snowha.checks.entry import Entry

IMAGE_ENTRIES: dict[str, Entry] = {
    "space": Entry(
        "Not enough room for the images",
        "stop",
        "Images are counted in full: a later write into a hole must not find the file system full.",
        "free some space there",
    ),
    "sector-size": Entry(
        "A partitioned disk with sectors of another size than an image has",
        "stop",
        "A partition table counts in sectors of its disk. Where these are of 4096 bytes, a domain finds no partitions in an "
        "image, whose sectors are of 512.",
        "copy its file systems into volumes without a partition table, or into a disk with sectors of 512 bytes, and name these "
        "in its config",
    ),
    "saved": Entry(
        "A domain that is saved",
        "stop",
        "Its memory lies in a file (xl save). Restored after its disks were moved, it would overwrite them with old data.",
        "xl restore FILE; or, if what it had in memory is not needed, move the file away",
    ),
    "undone-images": Entry(
        "Images that an undo has moved aside",
        "note",
        "They take room. The domains run from their volumes.",
        "remove them when nobody needs them any more",
    ),
    "snow-conf-syntax": Entry(
        "snow.conf is not what a shell can read to its end",
        "stop",
        "sNow! knows nothing of what stands behind the error. What is read from the file here could be something else.",
        "correct the line; `bash -n` on the file says whether it is right",
    ),
    "image-destination": Entry(
        "IMG_DST contradicts the domains' configs",
        "warn",
        "sNow! would deploy the next domain in another place than those that are there.",
        "correct IMG_DST in snow.conf, or the configs",
    ),
}
