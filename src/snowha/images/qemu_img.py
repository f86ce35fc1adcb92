"""qemu-img(1): what is in a disk of another format than raw, converted and compared.

Files are named by options, never by a name that qemu-img would take apart, and their format is said, never guessed. A raw file of
ours is opened without QEMU's own locks: its lease has it locked, and over NFS the one kind of lock keeps the other out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import BusyError, SourceError, TargetError, VerifyError
from .storage import Storage

PROGRAM = "qemu-img"
DRIVERS = {"qcow2": "qcow2", "vhd": "vpc"}
"""What xl calls a format (xl-disk-configuration(5)), and QEMU."""
_WHOLE = {"qcow2": f"{PROGRAM} convert", "vhd": "vhd-util coalesce"}
"""What makes one disk of several that are based on each other."""
_FOOTER, _DIFFERENCE = 512, (4).to_bytes(4, "big")
_SHARE = re.compile(rb"\(([0-9.]+)/100%\)")
_LEAKS, _CANNOT = 3, 63
"""Exit codes of ``check``: clusters that nothing uses, and a format that has no such check."""


def check_there() -> None:
    """Raise TargetError if there is no qemu-img here."""
    if shutil.which(PROGRAM) is None:
        raise TargetError(
            f"there is no {PROGRAM} on this server, which converts it",
            where=PROGRAM,
            remedy="apt-get install --no-install-recommends qemu-utils",
        )


def options_of(path: str, driver: str) -> str:
    """A file as ``--image-opts`` names it."""
    words = [f"driver={driver}", "file.driver=file", f"file.filename={path.replace(',', ',,')}"]
    return ",".join(words + (["file.locking=off"] if driver == "raw" else []))


def length_of(path: str, kind: str, *, in_use: bool = False) -> int:
    """Bytes that a domain sees of the disk. Raises SourceError for one that holds more than that, or something else.

    ``in_use``: a domain may have it open. Raises BusyError else, if one has.
    """
    info = _info(path, kind, in_use=in_use)
    specific = info.get("format-specific", {}).get("data", {})
    reasons = {
        "its contents are partly in another file, on which it is based": info.get("backing-filename")
        or (kind == "vhd" and _is_difference(path)),
        "there are snapshots in it, which would be lost": info.get("snapshots"),
        "it is encrypted": info.get("encrypted"),
        "its contents are in another file": specific.get("data-file"),
        "it is marked as corrupt": specific.get("corrupt"),
        "it was not closed properly": info.get("dirty-flag") and not in_use,
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise SourceError(
                f"{reason}, so it is not converted",
                where=path,
                remedy=f"check it: {PROGRAM} info {path}; {_WHOLE[kind]} makes one whole disk of it, with its domain off",
            )
    return int(info["virtual-size"])


def _is_difference(path: str) -> bool:
    """Whether a VHD holds only what differs from another one. QEMU does not look (block/vpc.c): what is not in it reads as zeros.

    Its footer, which a dynamic one has at its beginning, too: Microsoft's specification of the format, "Hard Disk Footer Format".
    """
    with Storage(path) as disk:
        ends = (disk.read_bytes(0, _FOOTER), disk.read_bytes(max(0, disk.length - _FOOTER), _FOOTER))
    return any(end.startswith(b"conectix") and end[60:64] == _DIFFERENCE for end in ends)


def check(path: str, kind: str) -> None:
    """Raise SourceError for a disk whose own tables are wrong. It must be closed."""
    done = _run(["check", "--output=json", "--image-opts", options_of(path, DRIVERS[kind])])
    if done.returncode not in (0, _LEAKS, _CANNOT):
        raise _failed(done, path, f"{PROGRAM} check finds errors in it", remedy=f"see them: {PROGRAM} check {path}")


def to_raw(path: str, kind: str, target: str, progress: Callable[[float], None]) -> None:
    """Write a disk into the file ``target``, which is as long as what is in it, and reads as zeros. ``progress``: 0 to 1.

    Raises SourceError, BusyError, TargetError."""
    words = ["convert", "-p", "-n", "--target-is-zero", "--image-opts", "--target-image-opts"]
    done = _run([*words, options_of(path, DRIVERS[kind]), options_of(target, "raw")], progress)
    if done.returncode:
        raise _failed(done, path, "it cannot be converted")


def from_raw(path: str, target: str, kind: str, like: str, progress: Callable[[float], None]) -> None:
    """Make ``target`` a disk of ``kind`` with the contents of the raw file ``path``; where ``like`` is one, with its properties.

    Raises SourceError, TargetError."""
    words = ["convert", "-p", "--image-opts", "-O", DRIVERS[kind]]
    if options := _creation(like, kind):
        words += ["-o", options]
    done = _run([*words, options_of(path, "raw"), target], progress)
    if done.returncode:
        raise _failed(done, path, "it cannot be converted back")


def compare(first: str, kind: str, raw: str, progress: Callable[[float], None]) -> None:
    """Raise VerifyError unless a disk and a raw file have the same contents, read past this server's cache where that works."""
    words = ["compare", "-p", "--image-opts", options_of(first, DRIVERS[kind]), options_of(raw, "raw")]
    done = _run([*words[:2], "-T", "none", *words[2:]], progress)
    if done.returncode > 1 and "O_DIRECT" in done.stderr:
        done = _run(words, progress)
    if done.returncode == 1:
        raise VerifyError(
            "after it was converted, the two differ: " + _first_line(done),
            where=raw,
            remedy="do not trust this storage: check its logs, and run this again",
        )
    if done.returncode:
        raise _failed(done, first, "it cannot be compared with the converted disk")


def _info(path: str, kind: str, *, in_use: bool) -> dict[str, Any]:
    share = ["--force-share"] if in_use else []
    done = _run(["info", "--output=json", *share, "--image-opts", options_of(path, DRIVERS[kind])])
    if done.returncode:
        raise _failed(done, path, f"it cannot be read as {kind}")
    info: dict[str, Any] = json.loads(done.stdout)
    return info


def _creation(like: str, kind: str) -> str:
    """Options for a disk such as ``like`` is. Of a VHD the exact size is kept: else it is rounded to cylinders."""
    if kind == "vhd":
        return "subformat=dynamic,force_size=on"
    if not Path(like).exists():
        return ""
    info = _info(like, kind, in_use=False)
    options = {
        "cluster_size": info.get("cluster-size"),
        "compat": info.get("format-specific", {}).get("data", {}).get("compat"),
    }
    return ",".join(f"{key}={value}" for key, value in options.items() if value)


def _run(words: Sequence[str], progress: Callable[[float], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run qemu-img; it ends with whatever ends this. ``progress`` gets the share that is done."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "LC_ALL": "C"},
        ) as process,
    ):
        said = b""
        try:
            assert process.stdout is not None
            while part := os.read(process.stdout.fileno(), 65536):
                if progress is None:
                    said += part
                    continue
                said = (said + part)[-4096:]
                if shares := _SHARE.findall(said):
                    progress(float(shares[-1]) / 100)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    return subprocess.CompletedProcess([PROGRAM, *words], code, said.decode(errors="replace"), text)


def _first_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).replace("\r", "\n").split("\n")]
    told = [line for line in lines if line and not line.startswith("(")]
    return told[0].removeprefix(f"{PROGRAM}: ") if told else f"{PROGRAM} ended with {done.returncode}"


def _failed(done: subprocess.CompletedProcess[str], path: str, message: str, *, remedy: str = "") -> Exception:
    said = next((line for line in done.stderr.split("\n") if line.strip()), _first_line(done)).removeprefix(
        f"{PROGRAM}: "
    )
    if "lock" in said and "Failed to get" in said:
        return BusyError(
            "a process has it open: " + said, where=path, remedy="shut its domain down, and run this again"
        )
    return SourceError(f"{message}: {said}", where=path, remedy=remedy or f"check it: {PROGRAM} info {path}")
