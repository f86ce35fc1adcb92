"""Where ``snow ha init`` writes: ha.toml, and beside it a folder with the BMCs' password. Both whole, or neither."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from snowha.errors import InputError
from snowha.hosts import user_file

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)
"""With `.secrets` behind it, it is a name that every file system takes (255 bytes)."""


@dataclass(frozen=True)
class Target:
    """``secret``: the file of the password, in a folder that is named after ``file``."""

    file: Path
    secret: Path

    @property
    def secret_path(self) -> str:
        """As it stands in ``file``."""
        return f"{self.secret.parent.name}/{self.secret.name}"


def target(output: Path, *, replace: bool) -> Target:
    """Where things go if ``output`` is to be ha.toml. What can be known of it before anybody is asked is an InputError."""
    try:
        file = Path(os.path.realpath(output))
    except FileNotFoundError:
        raise InputError(
            "the current folder was removed", where=str(output), remedy="change to an existing folder"
        ) from None
    folder = file.parent
    if not folder.is_dir():
        raise InputError(
            "there is no such folder", where=str(folder), remedy="create it, or choose another file with -o"
        )
    if not _NAME.fullmatch(file.stem):
        raise InputError(
            "the password's folder is named after this file, which is impossible with this name",
            where=str(output),
            remedy="use at most 200 letters, digits, '.', '_' and '-', for example ha.toml",
        )
    if os.path.lexists(file):
        user_file.check_regular(file)
        if not replace:
            raise InputError("it exists already", where=str(output), remedy="edit it, or use --force to replace it")
    found = Target(file, folder / f"{file.stem}.secrets" / "ipmi")
    _check_secret(found)
    user_file.check_target(file)
    return found


def _check_secret(to: Target) -> None:
    folder = to.secret.parent
    if folder == to.file or (os.path.lexists(folder) and not folder.is_dir()):
        raise InputError(
            "it is in the way: the BMCs' password is written into a folder of this name",
            where=str(folder),
            remedy="move it away, or choose another file with -o",
        )
    if not folder.is_dir():
        return
    user_file.check_private_folder(folder)
    if to.secret.is_symlink() and not to.secret.exists():
        raise InputError("it is a dangling link", where=str(to.secret), remedy="remove it")
    if to.secret.exists():
        user_file.check_regular(to.secret)


def write(to: Target, text: str, secret: str, *, said: bool) -> Iterator[str]:
    """Write both files. Notes, a line each. Raises OSError, and leaves everything as it was then.

    A password that is there and is another one is kept: as it is, unless the user gave the new one himself (``said``).
    """
    folder = to.secret.parent
    present = _password(to.secret)
    stays = bool(present) and (present == secret or not said)
    with ExitStack() as undo:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            undo.callback(_remove, folder)
        new_file = user_file.beside(to.file, text, mode=0o666)
        undo.callback(new_file.unlink, missing_ok=True)
        user_file.like(new_file, to.file)
        earlier = None
        if not stays:
            new_secret = user_file.beside(to.secret, f"{secret}\n", mode=0o600)
            undo.callback(new_secret.unlink, missing_ok=True)
            earlier = user_file.put(new_secret, to.secret, keep=True)
            undo.callback(_back, to.secret, earlier)
        before = user_file.put(new_file, to.file, keep=True)
        undo.pop_all()
    for path in (to.secret, earlier):
        if path is not None:
            path.chmod(0o600)
    yield from _notes(to, before, earlier, kept=stays and present != secret)


def _notes(to: Target, before: Path | None, earlier: Path | None, *, kept: bool) -> Iterator[str]:
    if kept:
        yield f"BMC password: {to.secret} is not changed. snow.conf has another one: to use that, remove this file first"
    else:
        yield f"BMC password: {to.secret} (mode 0600)"
    if earlier is not None:
        yield f"the earlier BMC password is kept: {earlier}"
    if before is not None:
        yield f"the earlier {to.file.name} is kept: {before}"


def _password(path: Path) -> str | None:
    """What is there as password; None if nothing is, empty if it is not text."""
    if not path.exists():
        return None
    try:
        return user_file.read(path).split("\n", 1)[0].removesuffix("\r")
    except InputError:
        return ""


def _back(path: Path, earlier: Path | None) -> None:
    if earlier is None:
        path.unlink(missing_ok=True)
    else:
        earlier.replace(path)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
