"""Which domains a command line means: names, ranges as sNow! and pdsh write them, and ``domains`` for all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from snowha.errors import InputError
from snowha.site.names import did_you_mean, show, there_are

ALL = "domains"
"""sNow!'s word for every domain."""

_WORD = re.compile(r"[A-Za-z0-9._,\[\]-]+", re.ASCII)
"""Letters of names (names.check_domain_name), and of ranges.
``@``, ``&``, ``!``, ``^``, ``*``, ``?`` and ``/`` mean more to ClusterShell."""
_RANGE = re.compile(r"(\d+)-(\d+)", re.ASCII)
_SHOWN = 3
"""Names that a message has, of a range that is wrong."""
_MOST = 10_000
"""Names that one range may stand for: a mistyped one must not fill the memory."""


def meant(words: Sequence[str], known: Sequence[str] = ()) -> tuple[str, ...]:
    """The names that ``words`` mean, each once, in the order given; all of ``known`` for the word ``domains``. Raises InputError
    for a word that is no range."""
    return tuple(dict.fromkeys(name for word in words for name in (known if word == ALL else _expanded(word))))


def check_one(
    word: str, known: Sequence[str], *, remedy: str = "give one domain; `snow list domains` shows all"
) -> None:
    """Raise InputError if ``word`` is no range, or means several domains."""
    if len(meant([word], known)) > 1:
        raise InputError(f"{word} stands for more than one domain", remedy=remedy)


def chosen(words: Sequence[str], known: Sequence[str], *, also: str = "") -> tuple[str, ...]:
    """The domains that ``words`` mean, as ``meant`` has them.

    Raises InputError for a word that is no range, for a name that is not ``known``, and if there is none. ``also``: what the
    remedy adds.
    """
    found = meant(words, known)
    if not found:
        raise InputError("this site has no domains", remedy=f"see `snow list domains`{also}")
    unknown = [name for name in found if name not in known]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise InputError(
            f"there is no domain {', '.join(map(show, unknown[:_SHOWN]))}{more}{did_you_mean(unknown[0], known)}",
            remedy=f"{there_are(known)}; compute nodes are managed by sNow!'s own command{also}",
        )
    return found


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
