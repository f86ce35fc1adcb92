"""Who runs snow, and from where, as the journal and the lock name them."""

from __future__ import annotations

import getpass
import os
import socket


def current_user() -> str:
    """The person, also behind sudo."""
    if real := os.environ.get("SUDO_USER"):
        return real
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def origin() -> str:
    """This machine, and where the person's ssh came from (sshd sets SSH_CONNECTION: client address first)."""
    came_from = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return f"{socket.gethostname()} from {came_from}" if came_from else socket.gethostname()
