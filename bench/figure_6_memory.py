"""Figure 6: memory as the disk grows from 1 GiB to 1 TiB. (Figure 5, away times, is measured in the lab.)"""

from __future__ import annotations

import subprocess

from measure import Bench, clear, say
from sources import sparse_disk

# VmHWM is asked for from inside: wait4's figure would be that of the process which started it, where that is larger
_SCRIPT = """\
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print(re.search(r"VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())[1])
"""
_SIZES = (1 << 30, 1 << 33, 1 << 36, 1 << 38, 1 << 40)


def measure(bench: Bench) -> list[str]:
    """The most memory that a copy had (its resident set at the peak), by the size of a sparse source."""
    lines = ["### Memory", "", "| disk, GiB | at most, MiB |", "|---|---|"]
    peaks = []
    for size in _SIZES:
        clear(bench)
        source = sparse_disk(bench.target(f"sparse{size}"), size)
        python, *engine = bench.engine
        words = [python, "-I", "-S", "-c", _SCRIPT, engine[-1], "copy", str(source), str(bench.target("image"))]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
        say(f"{size >> 30} GiB: {peaks[-1]:.0f} MiB")
        lines.append(f"| {size >> 30} | {peaks[-1]:.0f} |")
    clear(bench)
    return [*lines, "", f"Most to least: {max(peaks) / min(peaks):.2f}; allowed are 64 MiB.", ""]
