"""/etc/fstab as mount(8) reads it (fstab(5))."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Entry:
    source: str
    target: str
    """Without doubled slashes, and none at its end: ``//sNow/`` is ``/sNow``."""
    fstype: str
    options: str


def parse(text: str) -> Iterator[Entry]:
    """Its entries, in their order. What is no entry is left out, as mount(8) does."""
    for line in text.split("\n"):
        # libmount takes a file with the line ends of Windows
        line = line.removesuffix("\r")
        fields = [field for field in re.split(r"[ \t]+", line) if field]
        # a comment may be indented, and begins with the first field alone
        # numbers stand behind the options, or libmount takes the line for none
        if len(fields) < 3 or fields[0].startswith("#") or not all(map(_NUMBER.fullmatch, fields[4:6])):
            continue
        source, target, fstype, options = (_decoded(field) for field in (*fields, "defaults")[:4])
        yield Entry(source, _plain(target), fstype, options)


def entry_of(text: str, target: str) -> Entry | None:
    """The entry of a mount point; None if there is none."""
    wanted = _plain(target)
    return next((entry for entry in parse(text) if entry.target == wanted), None)


def _plain(path: str) -> str:
    """As libmount compares them (util-linux lib/strutils.c, streq_paths)."""
    return re.sub("/+", "/", path).rstrip("/") or "/"


def same_source(one: str, other: str) -> bool:
    """Whether two sources are one export: the kernel shows slashes, doubled or at its end, as they were typed."""
    return _plain(one) == _plain(other)


def comes_at_boot(options: Collection[str]) -> bool:
    """Whether something mounts it after a boot: not what is ``noauto``, unless an automounter has it (systemd.mount(5))."""
    return "noauto" not in options or any(option.startswith("x-systemd.automount") for option in options)


def gives_up(options: Collection[str]) -> str:
    """The option with which the client gives up waiting for its server, and a guest gets an error (nfs(5)); empty if none is."""
    words = ("soft", "softerr")
    return next(
        (
            option
            for option in sorted(options)
            if option in words or (option.startswith("fatal_neterrors=") and option[16:] not in ("none", "default"))
        ),
        "",
    )


def locks_locally(options: Collection[str]) -> str:
    """The option with which locks are seen by no other server (nfs(5)); empty if none is."""
    return next(iter(sorted({"nolock", "local_lock=all", "local_lock=flock"}.intersection(options))), "")


def _decoded(field: str) -> str:
    """``\\\\040`` is a blank (getmntent(3))."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
