"""Change one value of a bash file and leave every other byte alone.

The last assignment of a name is the one that counts, so it is the one changed. Where that is not possible (it stands in
an ``if``, only single elements were set behind it) a new line at the end of the file says the same thing just as well.
Every edit is read back before it is returned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from snowha.errors import InputError
from snowha.site.bash import Assignment, scan
from snowha.site.bash_values import Value, evaluate
from snowha.site.bash_words import Array

Style = Literal["single", "double", "bare"]

_SAFE_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def set_scalar(text: str, name: str, value: str, *, where: str = "snow.conf") -> str:
    """``text`` with ``name`` set to ``value``, in its quoting style; a new line at the end if it was nowhere set.

    Raises InputError if the file has a syntax error or cannot be edited so that the value counts.
    """
    assignments = _scan(text, name, where=where)
    if _first(evaluate(assignments).get(name)) == value:
        return text
    last = _last_whole(assignments, name)
    if last is not None:
        old = text[last.value.start : last.value.end]
        style = _style_of(old) if not isinstance(last.value, Array) else "single"
        edited = _assign(text, last, quote(value, style))
        if _first(_value(edited, name, where=where)) == value:
            return edited
    edited = _append(text, f"{name}={quote(value, 'single')}")
    return _checked(edited, name, _first(_value(edited, name, where=where)) == value, where=where)


def set_array(text: str, name: str, values: Sequence[str], *, where: str = "snow.conf") -> str:
    """``text`` with the array ``name`` holding exactly ``values``; spacing, line breaks and comments in it stay.

    Raises InputError if the file has a syntax error or cannot be edited so that the value counts.
    """
    assignments = _scan(text, name, where=where)
    wanted: dict[str, str] = {str(number): value for number, value in enumerate(values)}
    if evaluate(assignments).get(name) == wanted:
        return text
    last = _last_whole(assignments, name)
    if last is not None:
        if isinstance(last.value, Array) and _is_plain(last.value) and last.operator == "=":
            edited = _replace_elements(text, last.value, values)
        else:
            edited = _assign(text, last, _array_words(values))
        if _value(edited, name, where=where) == wanted:
            return edited
    edited = _append(text, f"{name}={_array_words(values)}")
    return _checked(edited, name, _value(edited, name, where=where) == wanted, where=where)


def set_element(text: str, name: str, index: int, value: str, *, where: str = "snow.conf") -> str:
    """``text`` with element ``index`` of the array ``name`` set to ``value``, in the quoting style it had.

    Raises InputError if there is no such element, or the file cannot be edited so that the value counts.
    """
    assignments = _scan(text, name, where=where)
    before = evaluate(assignments).get(name)
    if not isinstance(before, dict) or str(index) not in before:
        raise InputError(
            f"{name} is not an array with an element number {index}",
            where=where,
            remedy=f"write {name} as one array with plain values",
        )
    if before[str(index)] == value:
        return text
    for assignment in reversed([a for a in assignments if a.name == name]):
        target = assignment.value
        if assignment.subscript is None and isinstance(target, Array) and assignment.operator == "=":
            if _is_plain(target) and index < len(target.elements):
                target = target.elements[index].value
            else:
                break
        elif assignment.subscript != str(index) or assignment.operator != "=":
            continue
        raw = text[target.start : target.end]
        edited = text[: target.start] + quote(value, _style_of(raw)) + text[target.end :]
        counts = _value(edited, name, where=where) == before | {str(index): value}
        return _checked(edited, name, counts, where=where)
    # it is put together of other variables: a line at the end of the file says it just as well
    edited = _append(text, f"{name}[{index}]={quote(value, 'single')}")
    counts = _value(edited, name, where=where) == before | {str(index): value}
    return _checked(edited, name, counts, where=where)


def quote(value: str, style: Style) -> str:
    """``value`` as a bash word that stands for exactly these characters, in this style where the style can carry it."""
    if "\0" in value:
        raise InputError("a value for a bash file cannot hold a NUL character", remedy="remove it")
    if style == "bare" and _SAFE_BARE.fullmatch(value):
        return value
    # An interactive bash would expand "!" in double quotes: single quotes are right everywhere.
    if style == "double" and "!" not in value:
        return '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
    return "'" + value.replace("'", "'\\''") + "'"


def _style_of(raw: str) -> Style:
    """How a word is quoted in the file; mixed quoting counts as single."""
    if raw.startswith('"') and raw.endswith('"') and len(raw) >= 2:
        return "double"
    return "bare" if raw and not set(raw) & set("'\"\\$`") else "single"


def _scan(text: str, name: str, *, where: str) -> tuple[Assignment, ...]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not the name of a bash variable: {name!r}")
    return scan(text, where=where)


def _last_whole(assignments: Sequence[Assignment], name: str) -> Assignment | None:
    """The last assignment of ``name``, if it surely happens and sets the whole of it."""
    last = next((a for a in reversed(assignments) if a.name == name), None)
    return last if last and last.certain and last.subscript is None and last.operator != "unset" else None


def _assign(text: str, assignment: Assignment, word: str) -> str:
    """``word`` for the value, and ``=`` for a ``+=``."""
    return text[: assignment.operator_start] + "=" + word + text[assignment.value.end :]


def _append(text: str, line: str) -> str:
    """``text`` with one more line, ended (or not) as the last one was, in the file's kind of line ending."""
    ending = "\r\n" if "\r\n" in text else "\n"
    if not text or text.endswith("\n"):
        return text + line + ending
    return text + ending + line


def _is_plain(array: Array) -> bool:
    """Whether its words are its elements, one to one."""
    return all(
        element.subscript is None and all(p.kind == "text" or (p.kind == "variable" and p.quoted) for p in pieces)
        for element in array.elements
        for pieces in [element.value.pieces]
    )


def _array_words(values: Sequence[str]) -> str:
    return f"( {' '.join(quote(value, 'bare') for value in values)} )" if values else "()"


def _replace_elements(text: str, array: Array, values: Sequence[str]) -> str:
    old = [element.value for element in array.elements]
    if not old:
        return text[: array.start] + _array_words(values) + text[array.end :]
    style = _style_of(text[old[0].start : old[0].end])
    edits: list[tuple[int, int, str]] = []
    for word, value in zip(old, values, strict=False):
        edits.append((word.start, word.end, quote(value, _style_of(text[word.start : word.end]))))
    for number in range(len(values), len(old)):
        # The white space in front goes too, a comment in front stays.
        start = old[number].start
        space = len(text[:start]) - len(text[:start].rstrip(" \t"))
        edits.append((start - space, old[number].end, ""))
    if len(values) > len(old):
        gap = text[old[0].end : old[1].start] if len(old) > 1 else text[array.start + 1 : old[0].start]
        gap = gap if gap and not gap.strip() and (len(old) > 1 or "\n" in gap) else " "
        more = "".join(gap + quote(value, style) for value in values[len(old) :])
        edits.append((old[-1].end, old[-1].end, more))
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def _value(text: str, name: str, *, where: str) -> Value | None:
    return evaluate(scan(text, where=where)).get(name)


def _first(value: Value | None) -> str | None:
    """What ``$NAME`` is: of an array its first element."""
    return value.get("0") if isinstance(value, dict) else value if isinstance(value, str) else None


def _checked(text: str, name: str, counts: bool, *, where: str) -> str:
    if not counts:
        raise InputError(
            f"{name} cannot be changed safely: this file sets it in a way that snow-ha does not understand",
            where=where,
            remedy=f"set {name} by hand, with one plain assignment",
        )
    return text
