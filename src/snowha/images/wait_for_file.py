"""Waiting for a word from outside, with everything ready."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .errors import TargetError
from .events import Report

_POLL_INTERVAL, SAY_EVERY = 0.1, 5.0
"""Seconds. By saying that it waits it learns whether anybody listens still. All of it is taken from a domain that shuts down on
the same processor: twenty looks and two words a second cost 0.1 to 0.5 s of 6 on an emulated one."""


def wait(path: str, report: Report) -> dict[str, Any]:
    """Return when somebody has made the file that the ``waiting`` events name, and remove it: the ``found`` event.

    It is ``path`` with the number of this process: an engine that waits on, because its connection broke without a sign, must
    not take the word that is meant for the next one. It has to be made after the first event.

    Raises TargetError if it cannot be removed or its folder is not there, Interrupted if nobody listens.
    """
    path = f"{path}.{os.getpid()}"
    _check_folder(path)
    _remove(path)
    began = said = time.monotonic()
    report({"event": "waiting", "target": path, "seconds": 0.0})
    while not (os.access(path, os.F_OK) and _remove(path)):
        time.sleep(_POLL_INTERVAL)
        if time.monotonic() - said >= SAY_EVERY:
            said = time.monotonic()
            _check_folder(path)
            report({"event": "waiting", "target": path, "seconds": round(said - began, 3)})
    return {"event": "found", "target": path, "seconds": round(time.monotonic() - began, 3)}


def _check_folder(path: str) -> None:
    """A folder that is not there would be waited for without an end: nobody can make the file."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise TargetError("there is no such folder", where=str(folder), remedy="give a file in an existing folder")


def _remove(path: str) -> bool:
    """Whether it was there."""
    try:
        Path(path).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TargetError(
            f"cannot be removed: {error.strerror}", where=path, remedy="name a file in a folder that you may write to"
        ) from None
    return True
