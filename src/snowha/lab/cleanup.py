"""What a build that was killed left behind: processes that still write, file systems that are still mounted, and its folder."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from snowha.hosts.local import LocalHost
from snowha.lab.machines import end_process


def remove(folder: Path) -> None:
    """Remove ``folder`` with all that is in it, and nothing else: what is mounted below it is the machine's own."""
    while working := _working_in(folder):  # one that is ended may have started another meanwhile
        for number in working:
            end_process(number)
    for mounted in reversed(mounts_below(folder)):
        LocalHost().run(["umount", mounted])
    shutil.rmtree(folder)


def mounts_below(folder: Path) -> list[str]:
    """Where something is mounted below ``folder``, in the order in which it was (proc(5), mountinfo)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [re.sub(r"\\([0-7]{3})", lambda escaped: chr(int(escaped[1], 8)), point) for point in points]
    return [point for point in plain if Path(point).is_relative_to(folder.resolve())]


def _working_in(folder: Path) -> list[int]:
    """Processes that were started with a path below ``folder``, or whose root is there; never this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            named = f"{folder}/".encode() in (process / "cmdline").read_bytes().replace(b"\0", b"/") + b"/"
            inside = (process / "root").readlink().is_relative_to(folder.resolve())
        except OSError:
            continue  # it has ended meanwhile
        if (named or inside) and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
