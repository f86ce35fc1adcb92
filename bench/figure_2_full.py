"""Figure 2: a disk full of noise, where nothing can be left out. Verified against all others."""

from __future__ import annotations

from measure import OURS, Bench, copiers, fastest, in_turns, median, table
from sources import noise_disk


def measure(bench: Bench) -> list[str]:
    """The table, and the sentence that the project promises."""
    source = noise_disk(bench.folder / f"noise-{bench.size}", bench.size)
    seconds = in_turns(bench, copiers(bench, source, file_system=False), [source])
    best = fastest(seconds)
    ratio = median(seconds[OURS]) / median(seconds[best])
    return [
        *table(f"{bench.size / 2**30:g} GiB full of noise", seconds, against=best, rounds=bench.rounds),
        f"Ours, verified, takes {ratio:.2f} of the fastest other ({best}, not verified), wanted: 1.1.",
        "",
    ]
