"""A domain added to ``ha.toml``, or taken out of it: no other line of the file changes.

What comes out is read back. Where it is not what was asked for, as in a file that is written in an unusual way, it is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace

from snowha.errors import InputError
from snowha.site import ha_toml
from snowha.site.ha_file import HaFile

_HEADER = re.compile(r"\s*\[")


def with_domain(text: str, name: str, apart: Sequence[str] = (), *, where: str) -> str:
    """``text`` with a ``[[domain]]`` behind the others, and ``apart`` as a new group. Raises InputError."""
    before = ha_toml.parse(text, where=where)
    lines, end = _split(text)
    blocks = _blocks(lines, "domain")
    at = blocks[-1][1] if blocks else len(lines)
    lines[at:at] = ["", "[[domain]]", f'name = "{name}"', *([] if at < len(lines) else [""])]
    if apart:
        listed = ", ".join(f'"{one}"' for one in apart)
        lines += [*([""] if lines[-1] else []), "[[apart]]", f"domains = [{listed}]", ""]
    groups = (*before.apart, tuple(apart)) if apart else before.apart
    wanted = replace(before, domains=(*before.domains, name), apart=groups)
    return _proven(end.join(lines), wanted, f"a [[domain]] for {name}", where=where)


def without_domain(text: str, name: str, *, where: str) -> str:
    """``text`` without the ``[[domain]]``, and the name out of each ``[[apart]]``; a group of one goes. Raises InputError."""
    before = ha_toml.parse(text, where=where)
    lines, end = _split(text)
    for begin, stop in reversed(_blocks(lines, "domain")):
        if _table("\n".join(lines[begin:stop]), "domain").get("name") == name:
            _cut(lines, begin, stop)
    for begin, stop in reversed(_blocks(lines, "apart")):
        block = "\n".join(lines[begin:stop])
        listed = _table(block, "apart").get("domains")
        if not isinstance(listed, list) or name not in listed:
            continue
        if len(listed) < 3:
            _cut(lines, begin, stop)
        else:
            lines[begin:stop] = _without_word(block, name).split("\n")
    groups = (tuple(one for one in group if one != name) for group in before.apart)
    wanted = replace(
        before,
        domains=tuple(one for one in before.domains if one != name),
        apart=tuple(group for group in groups if len(group) > 1),
    )
    return _proven(end.join(lines), wanted, f"this file without {name}", where=where)


def _proven(text: str, wanted: HaFile, what: str, *, where: str) -> str:
    try:
        if ha_toml.parse(text, where=where) == wanted:
            return text
    except InputError:
        pass
    raise InputError(
        f"{what} cannot be written: the file is not structured as `snow ha init` writes it",
        where=where,
        remedy="write each domain as [[domain]] with its name on a line of its own, then run this again",
    )


def _split(text: str) -> tuple[list[str], str]:
    end = "\r\n" if "\r\n" in text else "\n"
    return text.split(end), end


def _blocks(lines: Sequence[str], table: str) -> list[tuple[int, int]]:
    """First line of each ``[[table]]``, and the one behind its last that says something."""
    header = re.compile(rf"\s*\[\[\s*{table}\s*\]\]\s*(#|$)")
    found = []
    for begin, line in enumerate(lines):
        if header.match(line):
            following = (number for number in range(begin + 1, len(lines)) if _HEADER.match(lines[number]))
            inside = range(begin, next(following, len(lines)))
            found.append((begin, 1 + max(number for number in inside if lines[number].split("#")[0].strip())))
    return found


def _table(block: str, key: str) -> dict[str, object]:
    """The one table of ``block``; empty for one that is not understood."""
    try:
        (table,) = tomllib.loads(block)[key]
    except (tomllib.TOMLDecodeError, KeyError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def _cut(lines: list[str], begin: int, stop: int) -> None:
    """Remove lines, and a blank one behind them."""
    del lines[begin : stop + (stop < len(lines) - 1 and not lines[stop].strip())]


def _without_word(block: str, name: str) -> str:
    word = rf"""(["']){re.escape(name)}\1"""
    found, count = re.subn(rf"{word}\s*,\s*", "", block, count=1)
    return found if count else re.sub(rf"\s*,\s*{word}", "", block, count=1)
