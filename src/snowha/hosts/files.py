"""Files on a host, with nothing there but a POSIX shell and coreutils (a stock Debian has no python3).

The scripts are fixed; names come to them as positional parameters and content over stdin, never in an argument, where
everybody on the host could read it. A file is never half written: it is made beside, seen to be whole, synced, and
renamed. Its earlier version is kept, with owner and mode, under /var/lib/snow-ha/kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from snowha.errors import CommandError, InputError
from snowha.hosts.file_scripts import (
    ABSENT,
    ABSENT_STATUS,
    KEPT_VERSIONS,
    LINK,
    LOOK,
    MAKE_DIR,
    READ,
    READ_FOLDER,
    REMOVE,
    STAT,
    WRITE,
)
from snowha.hosts.host import Completed, Host

KEPT = "/var/lib/snow-ha/kept"
"""Where earlier versions go: KEPT/PATH/vNUMBER-TIME, folders mode 0700. The number counts: no clock says which one is newer."""


_SHA256 = LOOK + 'exec sha256sum < "$1"\n'


@dataclass(frozen=True)
class FileFacts:
    """What stat(1) says of a file, links followed."""

    mode: int
    """Permission bits, e.g. 0o640."""
    owner: str
    group: str
    size: int
    """Bytes."""
    kind: str
    """As stat's %F: ``regular file``, ``regular empty file``, ``directory``, ``block special file``, …"""


Verb = Literal["stat", "read", "hash", "folder", "absent", "kept", "write", "remove", "make", "link"]


@dataclass(frozen=True)
class FileCall:
    """One of this module's scripts as a host sees it: what it would do, told from its words."""

    verb: Verb
    paths: tuple[str, ...]
    mode: int | None = None
    owner: str = ""
    content: bytes = b""

    @property
    def changes(self) -> bool:
        return self.verb in ("write", "remove", "make", "link")


def call_of(argv: Sequence[str], input: str | bytes = b"") -> FileCall | None:
    """What ``argv`` does to files, None if it is not one of the scripts of this module."""
    if len(argv) < 5 or tuple(argv[:2]) != ("sh", "-c") or argv[2] not in _VERBS:
        return None
    verb, parameters = _VERBS[argv[2]], list(argv[4:])
    if verb == "absent":
        return FileCall(verb, tuple(parameters))
    mode = int(parameters[1], 8) if verb in ("write", "make") and parameters[1] else None
    owner = parameters[2] if verb in ("write", "make") else ""
    data = input.encode() if isinstance(input, str) else input
    content = data.partition(b"\n")[2] if verb == "write" else b""
    paths = tuple(parameters[:2]) if verb in ("folder", "link") else (parameters[0],)
    return FileCall(verb, paths, mode, owner, content)


_VERBS: dict[str, Verb] = {
    STAT: "stat",
    READ: "read",
    _SHA256: "hash",
    READ_FOLDER: "folder",
    ABSENT: "absent",
    WRITE: "write",
    REMOVE: "remove",
    MAKE_DIR: "make",
    KEPT_VERSIONS: "kept",
    LINK: "link",
}


def stat(host: Host, path: str) -> FileFacts | None:
    """The facts of a file or folder, None if it is not there. Raises CommandError if that cannot be said."""
    completed = _script(host, "look at", STAT, path)
    if completed is None:
        return None
    mode, owner, group, size, kind = completed.stdout.strip().split(" ", 4)
    return FileFacts(int(mode, 8), owner, group, int(size), kind)


def exists(host: Host, path: str) -> bool:
    """Whether a file, folder or device is there (a link that leads nowhere is not)."""
    return stat(host, path) is not None


def read_file(host: Host, path: str, *, timeout: float = 60.0) -> bytes | None:
    """The content, byte for byte, None if the file is not there. For configs and keys: all of it is in memory."""
    completed = _script(host, "read", READ, path, timeout=timeout)
    if completed is None:
        return None
    try:
        return base64.b64decode(completed.stdout, validate=True)
    except binascii.Error as error:
        raise CommandError(f"cannot read {path}: it arrived incomplete ({error})", where=host.name) from error


def read_folder(host: Host, folder: str, suffix: str, *, timeout: float = 60.0) -> dict[str, bytes]:
    """Path and content of every file in ``folder`` whose name ends in ``suffix``, in one go. Empty if there is none."""
    completed = host.run(["sh", "-c", READ_FOLDER, "sh", _checked(folder), suffix], timeout=timeout)
    found = {}
    for line in completed.stdout.splitlines():
        path, _, content = line.partition(" ")
        found[base64.b64decode(path).decode(errors="surrogateescape")] = base64.b64decode(content)
    return found


def absent(host: Host, paths: Sequence[str]) -> tuple[str, ...]:
    """Those of ``paths`` that are not there, in one go."""
    if not paths:
        return ()
    return tuple(host.run(["sh", "-c", ABSENT, "sh", *map(_checked, paths)]).stdout.splitlines())


def read_text(host: Host, path: str, *, timeout: float = 60.0) -> str | None:
    """The content as UTF-8, None if the file is not there. Raises InputError if it is something else."""
    content = read_file(host, path, timeout=timeout)
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError as error:
        line = (content or b"").count(b"\n", 0, error.start) + 1
        raise InputError(
            "it is not UTF-8 text", where=f"{host.name}:{path}:{line}", remedy="save it as UTF-8, or correct this line"
        ) from error


def sha256(host: Host, path: str, *, timeout: float = 600.0) -> str | None:
    """The hash of the content in hex, None if the file is not there."""
    done = _script(host, "hash", _SHA256, path, timeout=timeout)
    return None if done is None else done.stdout.split()[0]


def write_file(
    host: Host,
    path: str,
    content: str | bytes,
    *,
    mode: int | None = None,
    owner: str | None = None,
    keep: bool = True,
    kept: str = KEPT,
    timeout: float = 60.0,
) -> bool:
    """Make ``path`` have ``content``; True if anything was changed. Links are followed, folders must be there.

    ``mode`` and ``owner`` (``user`` or ``user:group``) stay as they are unless given. A new file without ``mode`` is
    0600: whoever wants it readable says so. Nobody can read a secret in the meantime. Raises CommandError.
    """
    data = content.encode() if isinstance(content, str) else content
    message = f"{len(data)} {hashlib.sha256(data).hexdigest()} {secrets.token_hex(8)}\n".encode() + data
    octal = "" if mode is None else f"{mode:o}"
    root, version = _keeping(keep, kept)
    return _changed(host, "write", WRITE, path, octal, _owner(owner), root, version, input=message, timeout=timeout)


@dataclass(frozen=True)
class Kept:
    """An earlier version of a file, or of a link (``target``, else empty)."""

    name: str
    """Names sort by their number. One without (a time instead, of an earlier version of this program) is older than any with."""
    content: bytes
    target: str = ""


def kept(host: Host, path: str, *, root: str = KEPT) -> tuple[Kept, ...]:
    """The earlier versions of ``path``, the newest first. Links above it are followed, itself it may be one."""
    found = []
    for line in host.run(["sh", "-c", KEPT_VERSIONS, "sh", _checked(path), root]).stdout.splitlines():
        name, kind, *rest = line.split(" ")
        content = base64.b64decode(rest[0] if rest else "")
        is_link = kind == "link"
        found.append(Kept(name, b"" if is_link else content, content.decode() if is_link else ""))
    return tuple(sorted(found, key=lambda version: version.name, reverse=True))


def make_link(host: Host, path: str, target: str) -> bool:
    """Make the symbolic link ``path``; True if it was not there. Raises CommandError."""
    return _changed(host, "link", LINK, path, _checked(target))


def remove_file(host: Host, path: str, *, keep: bool = True, kept: str = KEPT) -> bool:
    """Remove a file or link; True if there was one. Raises CommandError, also if it is a folder."""
    return _changed(host, "remove", REMOVE, path, *_keeping(keep, kept))


def make_dir(host: Host, path: str, *, mode: int | None = None, owner: str | None = None) -> bool:
    """Make a folder and those above it (0755 unless given; mode and owner of one that is there stay unless given)."""
    return _changed(host, "make", MAKE_DIR, path, "" if mode is None else f"{mode:o}", _owner(owner))


def _keeping(keep: bool, kept: str) -> tuple[str, str]:
    if not keep:
        return "", ""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return _checked(kept), f"{now}-{secrets.token_hex(2)}"


def _owner(owner: str | None) -> str:
    if owner is not None and (not owner or owner.startswith(("-", ":")) or not owner.isprintable() or " " in owner):
        raise InputError(f"invalid owner: {owner!r}", remedy="use user or user:group")
    return owner or ""


def _checked(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or any(ord(sign) < 32 or ord(sign) == 127 for sign in path):
        raise InputError(
            f"invalid path: {path!r}", remedy="use an absolute path without '..' and without control characters"
        )
    return path


def _changed(host: Host, verb: str, script: str, *parameters: str, input: bytes = b"", timeout: float = 60.0) -> bool:
    completed = _script(host, verb, script, *parameters, input=input, timeout=timeout)
    answer = completed.stdout.strip() if completed is not None else "nothing"
    if answer not in ("same", "changed"):
        raise CommandError(f"cannot {verb} {parameters[0]}: unexpected answer {answer!r}", where=host.name)
    return answer == "changed"


def _script(
    host: Host, verb: str, script: str, path: str, *parameters: str, input: bytes = b"", timeout: float = 60.0
) -> Completed | None:
    """Run one of the scripts above. None: there is no such file. The script itself is never shown to anybody."""
    argv = ["sh", "-c", script, "sh", _checked(path), *parameters]
    completed = host.run(argv, input=input, timeout=timeout, check=False)
    if completed.returncode == ABSENT_STATUS:
        return None
    if not completed.ok:
        said = completed.stderr.strip() or f"exit status {completed.returncode}"
        raise CommandError(f"cannot {verb} {path}: {said}", where=host.name)
    return completed
