"""This package as one file, for a server that has nothing but Python."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

PATH = "/var/lib/snow-ha/images.pyz"
"""Where a server has that file."""
COMMAND = ("python3", PATH)
_PACKAGE = "snow_images"
_MAIN = f"import sys\nfrom {_PACKAGE}.cli import main\nsys.exit(main())\n"
_LEFT_OUT = {"bundle.py", "__main__.py"}


def pack() -> bytes:
    """A zip application (PEP 441): ``python3 FILE copy SOURCE TARGET``, Python 3.9 or later.

    The same modules give the same bytes, so that a server's copy can be compared with ours.
    """
    out = io.BytesIO()
    out.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN)
        for module in sorted(Path(__file__).parent.glob("*.py")):
            if module.name not in _LEFT_OUT:
                _add(archive, f"{_PACKAGE}/{module.name}", module.read_text(encoding="utf-8"))
    return out.getvalue()


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, text)
