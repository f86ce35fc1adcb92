"""Where the dashboard can be reached: an address and port, or a Unix socket. Standard library only."""

from __future__ import annotations

import errno
import grp
import os
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from snowha.errors import InputError, explained
from snowha.hosts import user_file

PORT = 8620
DEFAULT = f"127.0.0.1:{PORT}"
_BACKLOG = 64
_UNACKED_MS = 60_000
"""Milliseconds that data may stay unacknowledged until the kernel ends a connection: tcp(7), TCP_USER_TIMEOUT."""
_ADDRESS = re.compile(r"(?:(?P<host>[^:]+)|\[(?P<v6>[^]]+)\])(?::(?P<port>[0-9]+))?|(?P<bare>[^][]*:[^][]*:[^][]*)")
TOKEN_MIN = 16
"""Characters of a token at least: too many to be guessed with 20 requests a second."""


@dataclass(frozen=True)
class Address:
    """``port`` 0: any that is free."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str, where: str) -> Address:
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``. Raises InputError."""
    match = _ADDRESS.fullmatch(text)
    host = next(filter(None, match.group("host", "v6", "bare"))) if match else ""
    host = "127.0.0.1" if host.lower() == "localhost" else host
    port = (match["port"] if match else None) or str(PORT)
    try:
        if int(port) > 65535:
            raise ValueError
        return Address(str(ip_address(host)), int(port))
    except ValueError:
        raise InputError(
            f"{text!r} is not an address to listen on",
            where=where,
            remedy="write an IP address of this machine, with or without a port: 127.0.0.1:8620, [::1]:8620",
        ) from None


def on_address(chosen: Address, where: str) -> socket.socket:
    """A socket that listens there. Raises InputError."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # a connection has what the socket has that it was accepted on
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKED_MS)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((chosen.host, chosen.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {chosen}: {error.strerror}",
            where=where,
            remedy="is a dashboard running already? Otherwise use another port; port 0 takes a free one"
            if error.errno == errno.EADDRINUSE
            else "use an address of this machine, and a port above 1023",
        ) from error
    return listening


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@contextmanager
def on_path(path: Path, group: str) -> Iterator[socket.socket]:
    """A Unix socket that listens at ``path`` until the end of ``with``: for this user alone, with a ``group`` for that, too. One
    that nobody listens on is replaced. Raises InputError."""
    owner = _group(group) if group else -1
    try:
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)  # nobody else can connect before the mode is set
            try:
                listening.bind(str(path))
            finally:
                os.umask(before)
            made = path.lstat()
            try:
                if group:
                    _let_in(path, owner, group)
                listening.listen(_BACKLOG)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise InputError(
            f"the socket cannot be created: {error.strerror or error}",
            where=str(path),
            remedy="use a path in a folder that this user can write, of at most 107 characters",
        ) from explained(error)
    try:
        yield listening
    finally:
        listening.close()
        with suppress(OSError):
            if path.lstat().st_ino == made.st_ino:  # not that of another dashboard
                path.unlink()


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise InputError("this file is not a socket; it is not changed", where=str(path), remedy="use another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise InputError("another process listens there", where=str(path), remedy="end it, or use another file")


def _let_in(path: Path, owner: int, group: str) -> None:
    try:
        os.chown(path, -1, owner)
    except PermissionError as error:
        raise InputError(
            f"this user is not in the group {group!r}",
            where="--socket-group",
            remedy="use a group of this user, or run this as root",
        ) from error
    path.chmod(0o660)


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InputError(
            f"there is no group {name!r}", where="--socket-group", remedy="use that of the reverse proxy: www-data"
        ) from None


def token(path: Path) -> str:
    """The token in a file that only its owner can read. Raises InputError."""
    remedy = f"make it: (umask 077; openssl rand -hex 32 > {path})"
    text = user_file.read(path, what="the token", remedy=remedy, private=True).strip()
    if len(text) < TOKEN_MIN or not text.isascii() or not text.isprintable() or " " in text:
        raise InputError(
            f"a token is one word of at least {TOKEN_MIN} letters and digits", where=str(path), remedy=remedy
        )
    return text


def check_tls(certificate: Path, key: Path) -> None:
    """Raise InputError for a certificate and key that cannot be used, or a key that others can read."""
    user_file.read(key, what="the key", private=True)
    user_file.read(certificate, what="the certificate")
    try:
        # a key with a password would be asked for on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"the certificate or its key cannot be used: {getattr(error, 'reason', None) or error}",
            where=f"{certificate}, {key}",
            remedy="give a certificate and its key in PEM, the key without a password",
        ) from error
