"""The figures of docs/performance.md that a finished demonstration has measured: ``python bench/lab_times.py build/demo``."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    folder = Path(sys.argv[1])
    report = json.loads((folder / "report.json").read_text())
    timeline = report["timeline"]
    print(f"from the first step to the last answer: {(timeline['end'] - timeline['start']) / 60:.1f} min")
    sections: dict[str, list[tuple[float, float]]] = {}
    for step in timeline["steps"]:
        sections.setdefault(step["section"], []).append((step["from"], step["to"]))
    for section, windows in sections.items():
        first, last = min(start for start, _ in windows), max(end for _, end in windows)
        work = sum(end - start for start, end in windows)
        print(f"{section:<12} {last - first:6.0f} s on the clock, {work:6.0f} s of steps")
    for step in sorted(report["steps"], key=lambda step: -step["seconds"]):
        print(f"  {step['seconds']:6.1f} s  {step['title']}")
    for name, row in report["domains"].items():
        away = ", ".join(f"{key} {value} s" for key, value in row["away_s"].items())
        print(f"{name}: away {away}")
    print(f"power loss: {report['power_loss']}")


if __name__ == "__main__":
    main()
