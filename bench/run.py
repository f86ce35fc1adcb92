"""``make bench``: the figures of docs/performance.md about copying images, as Markdown on stdout.

    python bench/run.py [--folder DIR] [--size 4G] [--rounds 5] [--figures 1,2,3,4,6]

The disk under ``--folder`` is what is measured: sources and targets are files there. It needs five times ``--size``. Nothing
else should run on the machine. A quick look: ``make bench BENCH="--size 256M --rounds 1"``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import figure_1_used
import figure_2_full
import figure_3_limit
import figure_4_eight
import figure_6_memory
from measure import Bench, machine

FIGURES = {
    "1": figure_1_used.measure,
    "2": figure_2_full.measure,
    "3": figure_3_limit.measure,
    "4": figure_4_eight.measure,
    "6": figure_6_memory.measure,
}
PACKAGES = {
    "qemu-img": "qemu-utils",
    "nbdcopy": "libnbd-bin",
    "e2image": "e2fsprogs",
    "fio": "fio",
}
"""Command to Debian package."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    parser.add_argument("--size", type=_size, default=4 << 30, help="of a source, as in 512M or 4G (default: 4G)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--figures", default=",".join(FIGURES), help="which (default: all)")
    parser.add_argument("--missing", action="store_true", help="only name the Debian packages that are missing")
    words = parser.parse_args()
    if words.missing:
        print(*(package for command, package in PACKAGES.items() if not shutil.which(command, path=_PATH)))
        return
    words.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(words.folder.resolve(), words.size, words.rounds)
    print("\n".join(machine(bench.folder)), flush=True)
    for name in words.figures.split(","):
        if name not in FIGURES:
            sys.exit(f"no figure {name!r}: there are {', '.join(FIGURES)}")
        print("\n".join(FIGURES[name](bench)), flush=True)


_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def _size(text: str) -> int:
    unit = {"M": 20, "G": 30}.get(text[-1:].upper())
    if unit is None or not text[:-1].isdigit() or not int(text[:-1]):
        raise argparse.ArgumentTypeError("write it like 512M or 4G")
    return int(text[:-1]) << unit


if __name__ == "__main__":
    main()
