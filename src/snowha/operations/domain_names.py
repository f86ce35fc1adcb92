"""Which domains a command line means: names, ranges as sNow! and pdsh write them, and ``domains`` for all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from snowha.errors import InputError
from snowha.site.names import did_you_mean, show

ALL = "domains"
"""sNow!'s word for every domain."""

_WORD = re.compile(r"[A-Za-z0-9,\[\]-]+", re.ASCII)
"""Letters of names, and of ranges. ``@``, ``&``, ``!``, ``^``, ``*``, ``?`` and ``/`` mean more to ClusterShell."""
_RANGE = re.compile(r"(\d+)-(\d+)", re.ASCII)
_MOST = 10_000
"""Names that one range may stand for: a mistyped one must not fill the memory."""


def chosen(words: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The domains that ``words`` mean, each once, in the order given; all of ``known`` for the word ``domains``.

    Raises InputError for a word that is no range, and for a name that is not ``known``.
    """
    found: dict[str, None] = {}
    for word in words:
        found |= dict.fromkeys(known if word == ALL else _expanded(word))
    unknown = [name for name in found if name not in known]
    if unknown:
        raise InputError(
            f"there is no domain {', '.join(map(show, unknown))}{did_you_mean(unknown[0], known)}",
            remedy=f"there are {', '.join(known)}; compute nodes are the business of sNow!'s own command",
        )
    return tuple(found)


def _expanded(word: str) -> list[str]:
    spans = [int(last) - int(first) for first, last in _RANGE.findall(word) if len(first + last) < 20]
    if not _WORD.fullmatch(word) or len(spans) < len(_RANGE.findall(word)) or sum(spans) > _MOST:
        raise _unusable(word)
    try:
        return [str(name) for name in NodeSet(word, resolver=RESOLVER_NOGROUP)]
    except NodeSetException as error:
        raise _unusable(word) from error


def _unusable(word: str) -> InputError:
    return InputError(
        f"neither a domain nor a range of domains: {show(word)}", remedy="write a name, or a range such as slurm[01-02]"
    )
