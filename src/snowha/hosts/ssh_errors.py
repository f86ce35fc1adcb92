"""What ssh says when it fails, and what to do about it.

Messages as in OpenSSH 9 and 10 (sshconnect.c, clientloop.c, mux.c).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from snowha.errors import UnreachableError
from snowha.site.model import Ssh


class ConnectionLostError(UnreachableError):
    """The connection broke while a command ran: it may have been carried out or not. Look before doing it again."""


@dataclass(frozen=True)
class _Known:
    signs: tuple[str, ...]
    """Any of these, in lower case, in what ssh said."""
    reason: str
    remedy: str


_TROUBLES = (
    _Known(
        ("remote host identification has changed",),
        "its host key has changed",
        "if the server was reinstalled: ssh-keygen -R {address}, then compare and accept its key with: {by_hand}; "
        "if not, another machine answers at this address",
    ),
    _Known(
        ("host key verification failed", "host key is known for"),
        "its host key is unknown here",
        "connect once, compare the key and accept it: {by_hand}",
    ),
    _Known(
        ("permission denied", "too many authentication failures"),
        "it rejects the login",
        "it must accept your key without a password: ssh-copy-id {login}, then try: {by_hand}",
    ),
    _Known(
        ("could not resolve hostname",),
        "its name cannot be resolved",
        "write its name into /etc/hosts or its address into ha.toml",
    ),
    _Known(
        ("bad configuration option", "can't open user config file", "bad owner or permissions", "bad configuration"),
        "ssh cannot use its configuration",
        "correct the ssh configuration, then try: {by_hand}",
    ),
    _Known(
        ("no route to host", "network is unreachable"),
        "there is no route to it",
        "is it switched on, and is this machine in a network that reaches {address}?",
    ),
    _Known(
        ("connection refused",),
        "no ssh server listens there",
        "is it still booting? Is sshd installed and running, on the port that ssh uses?",
    ),
    _Known(
        ("timed out", "timeout, server", "operation timed out"),
        "it does not answer",
        "is it switched on, and does a firewall let ssh through to {address}?",
    ),
    _Known(
        ("kex_exchange_identification", "connection closed by", "connection reset by", "banner exchange"),
        "it closed the connection before the login",
        "it may be booting, or reject this machine (MaxStartups, hosts.deny, fail2ban); try: {by_hand}",
    ),
)


def explain(stderr: str, *, address: str, where: str, ssh: Ssh, running: Sequence[str] = ()) -> UnreachableError:
    """The error for ssh's own exit status 255. ``running``: the command that was given to ssh, if one was."""
    said = stderr.strip()
    login = f"{ssh.user}@{address}" if ssh.user else address
    by_hand = shlex.join(["ssh", *(["-F", ssh.config] if ssh.config else []), login])
    words = said.lower()
    for trouble in _TROUBLES:
        if any(sign in words for sign in trouble.signs):
            message = f"{trouble.reason}: {_last_line(said)}"
            return UnreachableError(
                message, where=where, remedy=trouble.remedy.format(address=address, login=login, by_hand=by_hand)
            )
    if running:
        message = f"the connection broke while this ran: {shlex.join(running)}"
        return ConnectionLostError(
            f"{message}\n    {_last_line(said)}" if said else message,
            where=where,
            remedy="check what the command did; running it again is safe once the server answers",
        )
    return UnreachableError(
        _last_line(said) or "ssh failed without a reason", where=where, remedy=f"try by hand: {by_hand}"
    )


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip() if text else ""
