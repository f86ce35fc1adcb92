"""Figure 4: eight domains at once on one disk, against eight in a row."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from measure import Bench, in_turns, median, table
from sources import domain_disk

_DOMAINS = 8


def measure(bench: Bench) -> list[str]:
    """Each an eighth of the size, so that all together are one disk's worth."""
    size = bench.size // _DOMAINS // 4096 * 4096
    first = domain_disk(bench.folder / f"domain-{size}", size)
    sources = [first, *(_another(first, number) for number in range(1, _DOMAINS))]
    engine = bench.engine

    def start(number: int) -> subprocess.Popen[bytes]:
        words = [*engine, "copy", str(sources[number]), str(bench.target(f"eight{number}"))]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def end(process: subprocess.Popen[bytes]) -> None:
        if process.wait():
            raise SystemExit(f"a copy failed with exit status {process.returncode}")

    def in_a_row() -> None:
        for number in range(_DOMAINS):
            end(start(number))

    def at_once() -> None:
        for process in [start(number) for number in range(_DOMAINS)]:
            end(process)

    seconds = in_turns(bench, {"in a row": in_a_row, "at once": at_once}, sources)
    return [
        *table(
            f"{_DOMAINS} domains of {size / 2**20:.0f} MiB each, verified",
            seconds,
            against="in a row",
            rounds=bench.rounds,
        ),
        f"At once takes {median(seconds['at once']) / median(seconds['in a row']):.2f} of in a row.",
        "",
    ]


def _another(first: Path, number: int) -> Path:
    path = first.with_name(f"{first.name}-{number}")
    if not path.exists() or path.stat().st_blocks < first.stat().st_blocks:
        shutil.copyfile(first, path)
    return path
