"""Figure 1: a file system, a quarter live, a quarter deleted files, the rest never written. Verified against all others."""

from __future__ import annotations

from measure import OURS, Bench, copiers, fastest, in_turns, median, table
from sources import domain_disk


def measure(bench: Bench) -> list[str]:
    """The table, and the two sentences that the project promises."""
    source = domain_disk(bench.folder / f"domain-{bench.size}", bench.size)
    seconds = in_turns(bench, copiers(bench, source, file_system=True), [source])
    best = fastest(seconds)
    ours = median(seconds[OURS])
    return [
        *table(
            f"{bench.size / 2**30:g} GiB ext4, a quarter live, a quarter deleted",
            seconds,
            against=best,
            rounds=bench.rounds,
        ),
        f"Ours, verified, takes {ours / median(seconds[best]):.2f} of the fastest other ({best}, not verified), wanted: 1; "
        f"and 1/{median(seconds['guide: dd']) / ours:.1f} of the guide's dd, wanted: 1/10.",
        "",
    ]
