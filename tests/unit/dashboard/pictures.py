"""``PYTHONPATH=tests/unit:tests/unit/support python tests/unit/dashboard/pictures.py docs/img``: the pictures of
docs/dashboard.md, of a made-up site in Chromium."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from browser import browser
from dashboard_site import Shown, lost, of, served, summary, well

_AGO_S = 4500.0
"""Seconds from the begin of what is shown until now."""
PICTURES = {
    "dashboard-wrong-light.png": (lost, True, 1280, "light"),
    "dashboard-wrong-dark.png": (lost, True, 1280, "dark"),
    "dashboard-well-light.png": (well, False, 800, "light"),
}


def main(folder: Path) -> None:
    begin = time.time() - _AGO_S
    with browser() as page:
        for name, (site, goes_on, width, scheme) in PICTURES.items():
            with served(Shown(of(site(40, begin), summary(begin, goes_on=goes_on)))) as (address, _):
                page.show(width, 960, scheme)
                page.open(f"{address}/")
                page.until("document.querySelector('#rows tr')")
                (folder / name).write_bytes(page.picture())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
