"""The folder of a demo's report: what an earlier demo wrote there is replaced, what somebody else wrote is not."""

from __future__ import annotations

import os
from pathlib import Path

from snowha.errors import InputError

HA_TOML, JOURNAL = "ha.toml", "journal.sqlite"
_MARK = ".snow-lab-demo"
"""A file that the demo writes first: the others in the folder are its own then."""
_OWN = (HA_TOML, "ha.secrets", JOURNAL, "report.json", "report.html")


def check(folder: Path) -> None:
    """Raise InputError unless the demo may write into ``folder``, which need not be there. Nothing is written."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise InputError("this is not a folder", where=str(folder), remedy="name another: --folder FOLDER")
    if (folder / _MARK).exists():
        return
    others = [name for name in _OWN if os.path.lexists(folder / name)]
    if others:
        raise InputError(
            f"the demo would replace what it did not write: {', '.join(others)}",
            where=str(folder),
            remedy="name another folder (--folder FOLDER), or move these files",
        )


def prepare(folder: Path) -> None:
    """Make ``folder`` ready for a demo: what an earlier one knew of its site is removed. Raises InputError as ``check`` does."""
    check(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text("Files here are those of `snow lab demo`, which replaces them.\n", encoding="utf-8")
    for old in (folder / HA_TOML, *folder.glob(f"{JOURNAL}*")):
        old.unlink(missing_ok=True)
