"""Figure 3: against the limit, which is the time that the disk needs to read the used blocks, by the best of fio."""

from __future__ import annotations

import json
import subprocess
from functools import partial

from measure import OURS, Bench, Work, copiers, in_turns, median, table
from sources import domain_disk

_SIZES = ("1M", "4M")
_DEPTHS = (4, 16, 32)


def measure(bench: Bench) -> list[str]:
    """fio reads as many bytes as the copy reads, from the same file, with O_DIRECT."""
    source = domain_disk(bench.folder / f"domain-{bench.size}", bench.size)
    said = subprocess.run([*bench.engine, "map", str(source), "--json"], check=True, capture_output=True, text=True)
    used = int(json.loads(said.stdout)["bytes"]) // 2**22 * 2**22
    works: dict[str, Work] = {OURS: copiers(bench, source, file_system=True)[OURS]}
    for size in _SIZES:
        for depth in _DEPTHS:
            works[f"fio reads, {size}, queue of {depth}"] = partial(_read, str(source), size, depth, used)
    seconds = in_turns(bench, works, [source])
    best = min((name for name in seconds if name != OURS), key=lambda name: median(seconds[name]))
    ratio = median(seconds[OURS]) / median(seconds[best])
    return [
        *table(f"Against reading {used / 2**30:.2f} GiB and nothing else", seconds, against=best, rounds=bench.rounds),
        f"Ours reads, writes, syncs and reads back in {ratio:.2f} of the time that reading alone takes at best, aimed at: 1.15.",
        "",
    ]


def _read(source: str, size: str, depth: int, used: int) -> float:
    """Seconds, as fio measures them: it takes a while to start, which is not what is asked."""
    words = ["--rw=read", "--direct=1", "--ioengine=libaio", "--readonly", f"--bs={size}", f"--iodepth={depth}"]
    done = subprocess.run(
        ["fio", "--name=limit", f"--filename={source}", f"--size={used}", "--output-format=json", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout)["jobs"][0]["read"]["runtime"]) / 1000
