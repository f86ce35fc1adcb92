"""The catalogue in words: of one finding for ``snow ha check --explain``, of all for docs/checks.md."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches

from snowha.checks.catalogue import ENTRIES, ONLY_STATUS
from snowha.checks.entry import Entry
from snowha.errors import InputError
from snowha.site.names import listed, show

ALL = "all"
"""In place of a code."""
_KNOWN = {**ENTRIES, **ONLY_STATUS}


def paragraphs(entry: Entry) -> list[str]:
    """What it is and why it matters; what to do; and, if there is one, the step that does it."""
    text = [f"{entry.title} ({entry.severity}). {entry.why}", f"{entry.remedy}."]
    if entry.fix:
        text.append(f"`--fix` does it: step `{entry.fix.replace('{server}', 'SERVER')}`.")
    return text


def explain(code: str) -> list[str]:
    """One finding for a terminal. Raises InputError for a code that is none, with those that are like it."""
    what, do, *fix = paragraphs(entry(code))
    return [code, f"  {what}", f"  → {do}", *(f"  {line}" for line in fix)]


def codes() -> list[str]:
    """Every word that can be explained."""
    return [ALL, *sorted(_KNOWN)]


def all_lines() -> list[str]:
    """A line of each finding: its code, how severe it is, and what it is."""
    width = max(map(len, _KNOWN))
    return [f"{code.ljust(width)}  {entry.severity:4}  {entry.title}" for code, entry in sorted(_KNOWN.items())]


def all_data() -> list[dict[str, object]]:
    """Every finding as data."""
    return [data(code) for code in sorted(_KNOWN)]


def data(code: str) -> dict[str, object]:
    """One finding as data. Raises InputError as ``explain``."""
    found = asdict(entry(code))
    del found["error"]
    return {"code": code, **found}


def entry(code: str) -> Entry:
    """Raises InputError for a code that is none, with those that are like it."""
    if code in _KNOWN:
        return _KNOWN[code]
    asked = code.lower()
    like = [*get_close_matches(asked, _KNOWN, n=3), *(known for known in _KNOWN if asked in known)]
    hint = f"did you mean {listed(list(dict.fromkeys(like))[:3], 'or')}? " if like else ""
    raise InputError(
        f"there is no finding {show(code)}", where="--explain", remedy=f"{hint}`snow ha check --explain all` lists them"
    )


def document() -> str:
    """docs/checks.md."""
    lines = [
        "# What `snow ha check` looks for",
        "",
        "`snow ha check` asks every server at once and changes nothing. A **stop** ends `snow ha apply` before it changes",
        "anything, and makes `snow ha check` exit with 4. A **warn** should be corrected soon, a **note** is information.",
        "`snow ha check --fix` carries out the remedies that are safe, and looks again.",
        "",
        "This page is generated from the code (`src/snowha/checks/catalogue.py`).",
        "",
        "| code | severity | `--fix` |",
        "|---|---|---|",
        *(
            f"| [{code}](#{code}) | {entry.severity} | {'yes' if entry.fix else ''} |"
            for code, entry in sorted(ENTRIES.items())
        ),
        "",
    ]
    for code, entry in sorted(ENTRIES.items()):
        what, do, *fix = paragraphs(entry)
        lines += [f"## {code}", "", what, "", f"**Do:** {do}", "", *(line for text in fix for line in (text, ""))]
    return "\n".join(lines).rstrip() + "\n"
