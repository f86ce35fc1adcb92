"""Whether the storage has room for what images may still take: a write into a hole of one is an error of a domain's disk else."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from snowha.errors import SnowError
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script

# The shell function `image_space`, with the folder of the images: free bytes, then a line an image: size, bytes that it takes,
# path. Nothing where there is no such folder.
FUNCTION = """\
image_space() {
    stat -f -c '%a %S' -- "$1" 2> /dev/null || return
    for file in "$1"/*/*; do
        case $file in *.manifest | *.journal | *.partial | *.undone | *.new | *.lease | *.lease.*) continue ;; esac
        [ ! -f "$file" ] || stat -c '%s %b %B %n' -- "$file"
    done
}
"""
_LOOK = read_only_script(f'export LC_ALL=C\n{FUNCTION}image_space "$1"\n')


@dataclass(frozen=True)
class Image:
    """``size`` and what it takes on the storage, in bytes."""

    path: str
    size: int
    allocated: int

    @property
    def holes(self) -> int:
        return max(0, self.size - self.allocated)


@dataclass(frozen=True)
class ImageSpace:
    """The images of a folder, and what is ``free`` on their file system, in bytes."""

    free: int
    images: tuple[Image, ...]

    @property
    def holes(self) -> int:
        """Bytes that the images may come to take beside what they have."""
        return sum(image.holes for image in self.images)


def short(images: Iterable[Image], free: int) -> str | None:
    """What to say if less is free than the holes of ``images`` may come to take; None if there is room. ``free`` in bytes."""
    with_holes = [image for image in images if image.holes]
    holes = sum(image.holes for image in with_holes)
    if free >= holes:
        return None
    return (
        f"{len(with_holes)} images may grow by {_mib(holes)}, and {_mib(free)} are free: "
        f"a domain's write into a hole fails when nothing is left ({', '.join(image.path for image in with_holes)})"
    )


def parse(text: str) -> ImageSpace | None:
    """What `image_space` printed; None if that is nothing."""
    head, *lines = text.splitlines() or [""]
    words = head.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    images = []
    for line in lines:
        length, taken, unit, path = line.split(" ", 3)
        images.append(Image(path, int(length), int(taken) * int(unit)))
    return ImageSpace(int(words[0]) * int(words[1]), tuple(images))


def look(host: Host, folder: str) -> ImageSpace | None:
    """Of all images in ``folder``, as ``host`` sees it; None if it cannot say."""
    with suppress(SnowError):  # storage that does not answer is said by other questions
        return parse(host.run(["sh", "-c", _LOOK, "sh", folder], check=False, timeout=60).stdout)
    return None


def _mib(size: int) -> str:
    return f"{-(-size // 2**20)} MiB"
