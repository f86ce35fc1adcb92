"""Figure 2: a disk full of noise, where nothing can be left out. Verified, against all others and what the disk can do."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

from measure import OURS, Bench, Work, copiers, fastest, in_turns, median, table
from sources import noise_disk

from snowha.images.buffer import Buffer

_STEP = 4 << 20
_THREADS = (1, 2, 4)


def measure(bench: Bench) -> list[str]:
    """The table, and the sentence that the project promises."""
    source = noise_disk(bench.folder / f"noise-{bench.size}", bench.size)
    works: dict[str, Work] = copiers(bench, source, file_system=False)
    limits = {f"read, written, read back, and nothing else, {threads} at once": threads for threads in _THREADS}
    for name, threads in limits.items():
        works[name] = partial(_three_passes, source, bench.target("limit"), threads)
    seconds = in_turns(bench, works, [source])
    best = fastest({name: row for name, row in seconds.items() if name not in limits})
    limit = min(limits, key=lambda name: median(seconds[name]))
    ratio = {name: median(seconds[OURS]) / median(seconds[name]) for name in (best, limit)}
    return [
        *table(f"{bench.size / 2**30:g} GiB full of noise", seconds, against=best, rounds=bench.rounds),
        f"Ours, verified, takes {ratio[best]:.2f} of the fastest other ({best}, not verified), wanted: 1.1; and "
        f"{ratio[limit]:.2f} of what the disk needs at best to give, take and give back as much, without a look at it.",
        "",
    ]


def _three_passes(source: Path, target: Path, threads: int) -> None:
    """Every block past the page cache, from huge pages, and neither hashed nor compared: no verified copy can be faster."""
    size = source.stat().st_size
    places = iter(range(0, size, _STEP))
    lock = threading.Lock()
    reading = os.open(source, os.O_RDONLY | os.O_DIRECT)
    writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    os.ftruncate(writing, size)

    def work() -> None:
        there, back = Buffer(_STEP).view, Buffer(_STEP).view
        while True:
            with lock:
                at = next(places, None)
            if at is None:
                return
            os.preadv(reading, [there], at)
            os.pwritev(writing, [there], at)
            os.preadv(writing, [back], at)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    os.fsync(writing)
    os.close(reading)
    os.close(writing)
