"""Files of this machine that the user has: read only if they are what they should be, written whole or not at all.

A FIFO would be waited for without an end, a device never ends, and a folder in which others can write is theirs: whatever
comes from the user comes through here.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from snowha.errors import InputError, remedy_of

LIMIT = 1 << 20
"""Bytes of the largest file that is read. No configuration, password or plan comes near it."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(path: Path, *, what: str = "", remedy: str = "", private: bool = False) -> str:
    """The text of a regular file of at most 1 MiB, UTF-8, without a byte order mark. Else as ``read_bytes``."""
    content = read_bytes(path, what=what, remedy=remedy, private=private)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            _about(what, "it is not UTF-8 text"),
            where=f"{path}:{line}",
            remedy="save it as UTF-8, or correct this line",
        ) from None


def read_bytes(path: Path, *, what: str = "", remedy: str = "", private: bool = False, limit: int = LIMIT) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    ``private``: refused unless nobody else owns it, or can read or write it. ``what`` it is and the ``remedy`` if it is not
    there are for the message. Raises InputError.
    """
    where = str(path)
    try:
        check_regular(path, what=what, remedy=remedy)
        # a FIFO that came here after that look does not hold it up either
        with open(path, "rb", opener=_open_now) as file:
            facts = os.fstat(file.fileno())
            if private:
                _check_private(path, facts, what)
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise InputError(_about(what, "there is no such file"), where=where, remedy=remedy) from None
    except OSError as error:
        raise InputError(
            _about(what or "it", error.strerror or str(error)),
            where=where,
            remedy=remedy_of(error) or remedy or "name another file",
        ) from error
    if len(content) > limit:
        raise InputError(
            _about(what, f"it is larger than {limit >> 20} MiB"), where=where, remedy="name the right file"
        )
    return content


def _about(what: str, problem: str) -> str:
    return f"{what} cannot be read: {problem}" if what else problem


def check_regular(path: Path, *, what: str = "", remedy: str = "") -> None:
    """Raise InputError if ``path`` is there and is no regular file, OSError if that cannot be said or nothing is there. ``what``
    it should be and the ``remedy`` are for the message."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for matches, name in _KINDS if matches(mode)), "something else")
        raise InputError(
            _about(what, f"it is {kind}, not a regular file"), where=str(path), remedy=remedy or "name a file"
        )


def check_private_folder(folder: Path) -> None:
    """Raise InputError if somebody else can write into ``folder``, or owns it: what is in it may be theirs. One that is not there
    is nobody's."""
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(folder, error, "this folder of passwords cannot be read") from error
    if not stat.S_ISDIR(mode):
        raise InputError(
            "this is a file, but a folder of passwords is expected here",
            where=str(folder),
            remedy=f"move it away, make the folder (mkdir -m 700 {folder}), and put the password into a file in it",
        )
    facts = folder.stat()
    if facts.st_uid not in trusted_owners():
        raise InputError(
            "this folder of passwords belongs to another user",
            where=str(folder),
            remedy=f"check its content, then: chown {os.geteuid()} {folder}",
        )
    if stat.S_IMODE(facts.st_mode) & 0o022:
        raise InputError(
            f"others can write into this folder of passwords (mode {stat.S_IMODE(facts.st_mode):04o})",
            where=str(folder),
            remedy=f"check its content, then: chmod 700 {folder}",
        )


PROBE = 16 << 10
"""Bytes that are written where a file shall be, to see whether there is room for one."""


def check_target(path: Path) -> None:
    """Whether a file can be written at ``path``: one is, beside it, and is removed again. What is there is left alone.

    Raises InputError: a folder that is not there, a full or read-only file system, a name that is too long, a place that takes
    no files (/proc).
    """
    try:
        path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise InputError(
                "there is no such folder", where=str(path.parent), remedy=f"make it: mkdir -p {path.parent}"
            ) from None
    except OSError as error:
        raise _refused(path, error) from error
    else:
        try:
            check_regular(path)
        except FileNotFoundError:
            raise InputError("it is a dangling link", where=str(path), remedy="remove it") from None
        except OSError as error:
            raise _refused(path, error) from error
    try:
        beside(path, bytes(PROBE), mode=0o600).unlink()
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError, what: str = "nothing can be written here") -> InputError:
    return InputError(
        f"{what}: {error.strerror or error}",
        where=str(path),
        remedy=remedy_of(error) or "name another place",
    )


def write(path: Path, content: str | bytes, *, mode: int) -> None:
    """Make ``path`` have ``content``: written beside it, synced, and renamed. Raises OSError, and leaves nothing then; InputError
    for a device, a FIFO or a folder, which would not be one any more."""
    with suppress(FileNotFoundError):
        check_regular(path)
    put(beside(path, content, mode=mode), path)


def beside(path: Path, content: str | bytes, *, mode: int) -> Path:
    """A new file beside ``path`` with ``content``, to be put there. Raises OSError, and leaves nothing then."""
    # of a long name a part: with the rest it would be too long for a file system that takes the name itself
    new = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.new")
    try:
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        error.filename = str(path)  # not a name that nobody has typed
        raise
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        new.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    return new


def put(new: Path, path: Path, *, keep: bool = False) -> Path | None:
    """Rename ``new`` to ``path``. With ``keep`` an earlier version stays beside it, and is returned."""
    earlier = None
    if keep and path.exists():
        earlier = _free(path)
        path.rename(earlier)
    try:
        new.replace(path)
    except BaseException:
        if earlier is not None:
            earlier.rename(path)
        raise
    return earlier


def like(new: Path, path: Path) -> None:
    """Give ``new`` the mode and owner of ``path``, if that is there."""
    with suppress(FileNotFoundError):
        facts = path.stat()
        new.chmod(stat.S_IMODE(facts.st_mode))
        with suppress(PermissionError):
            os.chown(new, facts.st_uid, facts.st_gid)


def _free(path: Path) -> Path:
    """``NAME.old``, or ``NAME.old.2`` and so on where there are such already."""
    candidate, number = path.with_name(f"{path.name}.old"), 1
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}.old.{number}")
    return candidate


def _check_private(path: Path, facts: os.stat_result, what: str) -> None:
    what = what or "this file"
    if facts.st_uid not in trusted_owners():
        raise InputError(f"{what} belongs to another user", where=str(path), remedy="write it again")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise InputError(f"others can read {what}", where=str(path), remedy=f"chmod 600 {path}")


def trusted_owners() -> set[int]:
    """Whose files may be believed: ours, root's, and those of whoever became root by sudo."""
    caller = os.environ.get("SUDO_UID", "")
    return {os.geteuid(), 0} | ({int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set())


def _open_now(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
