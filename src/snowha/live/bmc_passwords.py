"""The BMCs' passwords: from the files beside ``ha.toml``, or as the servers keep them for Pacemaker."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from snowha.cluster import fencing
from snowha.errors import InputError, UnreachableError
from snowha.hosts import user_file
from snowha.hosts.files import read_text
from snowha.hosts.host import Host
from snowha.hosts.redaction import hide
from snowha.site.model import Server


def read_secret(path: str, *, base: Path) -> str:
    """A BMC's password from its file: mode 0600, in a folder that is nobody else's, one line. Raises InputError."""
    user_file.check_private_folder((base / path).parent)
    return read_password(
        base / path, remedy="write the BMC's password into it, mode 0600; or correct `secret` in ha.toml"
    )


def read_password(file: Path, *, remedy: str) -> str:
    """The first line of a file that nobody else can read. ``remedy``: if it is not there. Raises InputError."""
    text = user_file.read(file, what="a BMC's password", remedy=remedy, private=True)
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise InputError(
            "it contains no password", where=str(file), remedy="write the BMC's password into its first line"
        )
    return hide(password)


def kept_password(hosts: Iterable[Host], server: Server) -> str:
    """The password of the BMC of ``server``, as the first server has it that can be asked. Raises InputError if none has it."""
    for host in hosts:
        with suppress(UnreachableError):
            password = fencing.password_in(read_text(host, fencing.password_script_path(server)) or "")
            if password:
                return hide(password)
    raise InputError(
        f"no server has the password of the BMC of {server.name}",
        where=fencing.password_script_path(server),
        remedy="use the ha.toml that has its file beside it: --file FILE",
    )
