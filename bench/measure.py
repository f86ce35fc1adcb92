"""Measuring programs that do the same work: in turns, from a cold cache, everything synced, medians."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sources import ENVIRONMENT

from snowha.images import bundle

OURS = "snow-ha, verified"
Work = Callable[[], "float | None"]
"""Does it; returns how many seconds it took where the program itself says that better than the clock outside."""


@dataclass(frozen=True)
class Bench:
    """Where it is measured, and how much."""

    folder: Path
    """Sources and targets lie here: its file system and disk are what is measured."""
    size: int
    """Bytes of a source."""
    rounds: int

    @property
    def engine(self) -> list[str]:
        """The engine as it runs on a server: one file, the system's Python, nothing else."""
        path = self.folder / "images.pyz"
        path.write_bytes(bundle.pack())
        return ["python3", "-I", "-S", str(path)]

    def target(self, name: str) -> Path:
        return self.folder / f"out-{name}"


def command(*argv: str | Path) -> None:
    """Run a program to its end; its words are shown if it fails."""
    done = subprocess.run([str(word) for word in argv], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def copiers(bench: Bench, source: Path, *, file_system: bool) -> dict[str, Work]:
    """Every program that copies ``source``, by what stands in the table. What it wrote is synced before it returns."""

    def peer(name: str, *argv: str | Path, make: bool = False) -> Work:
        target = bench.target(name)

        def run() -> None:
            if make:
                with target.open("wb") as file:
                    file.truncate(source.stat().st_size)
            command(*argv, target if argv[0] != "dd" else f"of={target}")
            descriptor = os.open(target, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

        return run

    found = {
        OURS: peer("ours", *bench.engine, "copy", source),
        "guide: dd": peer("dd", "dd", f"if={source}"),
        "dd bs=4M": peer("dd4", "dd", "bs=4M", f"if={source}"),
        "dd bs=1M conv=sparse": peer("dds", "dd", "bs=1M", "conv=sparse", f"if={source}"),
        "cp --sparse=always": peer("cp", "cp", "--sparse=always", source),
        "qemu-img convert -t none -T none -m 16 -W": peer(
            "qemu",
            "qemu-img",
            "convert",
            "-t",
            "none",
            "-T",
            "none",
            "-m",
            "16",
            "-W",
            "-f",
            "raw",
            "-O",
            "raw",
            source,
        ),
        "nbdcopy": peer("nbd", "nbdcopy", "--flush", source),
    }
    if file_system:
        found["e2image -ra"] = peer("e2image", "e2image", "-ra", source)
    return found


def in_turns(bench: Bench, works: Mapping[str, Work], source: Sequence[Path]) -> dict[str, list[float]]:
    """Seconds of every work in every round. Before each, what earlier ones wrote is gone and the source is not cached.

    Each round begins with another one: whoever comes after a program that wrote much may have to wait for its traces.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order = list(works.items())
    for number in range(bench.rounds):
        first = number * len(order) // bench.rounds
        for name, work in [*order[first:], *order[:first]]:
            clear(bench)
            for path in source:
                cold(path)
            began = time.monotonic()
            said = work()
            seconds[name].append(time.monotonic() - began if said is None else said)
            say(f"round {number + 1} of {bench.rounds}: {name} {seconds[name][-1]:.2f} s")
    clear(bench)
    return seconds


def clear(bench: Bench) -> None:
    """Remove what was written, and let the disk finish with it."""
    for path in bench.folder.glob("out-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    descriptor = os.open(bench.folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    os.sync()


def cold(path: Path) -> None:
    """Out of this machine's page cache. (What is under a virtual disk may still have it.)"""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def table(title: str, seconds: Mapping[str, Sequence[float]], *, against: str, rounds: int) -> list[str]:
    """A Markdown table: median, least and most, and the ratio of the medians to ``against``."""
    medians = {name: statistics.median(row) for name, row in seconds.items()}
    lines = [f"### {title}", "", f"| | median of {rounds}, s | least to most, s | ratio |", "|---|---|---|---|"]
    for name, row in sorted(seconds.items(), key=lambda item: medians[item[0]]):
        ratio = medians[name] / medians[against]
        lines.append(f"| {name} | {medians[name]:.2f} | {min(row):.2f} to {max(row):.2f} | {ratio:.2f} |")
    return [*lines, ""]


def fastest(seconds: Mapping[str, Sequence[float]]) -> str:
    """Which of the others has the least median."""
    return min((name for name in seconds if name != OURS), key=lambda name: statistics.median(seconds[name]))


def median(row: Sequence[float]) -> float:
    return statistics.median(row)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine(folder: Path) -> list[str]:
    """What it was measured on, in one line: processor, memory, kernel, the disk under ``folder``."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    place = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE,SOURCE", "--target", str(folder)], capture_output=True, text=True, check=False
    ).stdout.split()
    load = os.getloadavg()[0]
    return [
        f"{os.cpu_count()} × {processor}, {memory:.0f} GiB of memory, Linux {os.uname().release}, files on "
        f"{' on '.join(place)}, load average {load:.1f} before it began, {time.strftime('%Y-%m-%d', time.gmtime())}.",
        "",
    ]
