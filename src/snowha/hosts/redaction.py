"""Secrets blotted out of what is written down: none should ever be there, and a journal or a log goes places."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

HIDDEN = "***"
known: set[str] = set()


def hide(secret: str) -> str:
    """``secret`` itself; from now on no log of this process shows it."""
    if secret:
        known.add(secret)
    return secret


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """``text`` without ``secrets`` (those that were told to ``hide``), as they are, as a shell quotes them and as JSON does."""
    for secret in tuple(known) if secrets is None else secrets:
        quoted = shlex.quote(secret)
        for form in (secret, quoted[1:-1] if quoted != secret else secret, json.dumps(secret)[1:-1]):
            text = text.replace(form, HIDDEN)
    return text
