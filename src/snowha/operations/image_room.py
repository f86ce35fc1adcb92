"""Whether the storage has room for what images may still take: a write into a hole of one is an error of a domain's disk else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snowha.hosts.api import Host
from snowha.hosts.reading import read_only_script

# Parameter: folder of the images. Free bytes, then a line an image: size, bytes that it takes, path.
_LOOK = read_only_script("""\
export LC_ALL=C
stat -f -c '%a %S' -- "$1" || exit 1
for file in "$1"/*/*; do
    case $file in *.manifest | *.journal | *.partial | *.undone | *.new | *.lease) continue ;; esac
    [ ! -f "$file" ] || stat -c '%s %b %B %n' -- "$file"
done
""")


@dataclass(frozen=True)
class Image:
    """``size`` and what it takes on the storage, in bytes."""

    path: str
    size: int
    allocated: int

    @property
    def holes(self) -> int:
        return max(0, self.size - self.allocated)


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


def shortage(host: Host, folder: str) -> str | None:
    """The same of all images in ``folder``, as ``host`` sees it. For whoever watches a site. Raises CommandError."""
    head, *lines = host.run(["sh", "-c", _LOOK, "sh", folder], timeout=60).stdout.splitlines()
    blocks, size = map(int, head.split())
    images = []
    for line in lines:
        length, taken, unit, path = line.split(" ", 3)
        images.append(Image(path, int(length), int(taken) * int(unit)))
    return short(images, blocks * size)


def _mib(size: int) -> str:
    return f"{-(-size // 2**20)} MiB"
