"""What the assignments of a bash file amount to, one after the other, as bash would have it after sourcing the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from snowha.site.bash import ANYTHING, READONLY, REFERENCE, Assignment
from snowha.site.bash_words import NAME, Array, Piece, Word


@dataclass(frozen=True)
class NotUnderstood:
    """A variable whose value only running the file could tell."""

    reason: str
    line: int
    is_array: bool = False
    """It is one, or may be: ``X=1`` sets its first element then, and leaves the others."""


Value = str | dict[str, str] | NotUnderstood
"""A scalar, an array (subscript → value, in bash's order), or neither."""


_IFS = " \t\n"
_NAMES = re.compile(rf"(?<![A-Za-z0-9_]){NAME}")
_COMPUTES = re.compile(r"\+\+|--|=|#")
"""What no word has that is a subscript."""
_MAKES_ARRAYS = ("read", "mapfile")
_DEEPEST = 8
"""Files that source one another."""


def evaluate(
    assignments: Iterable[Assignment],
    environment: Mapping[str, Value] | None = None,
    follow: Callable[[str], Iterable[Assignment] | None] = lambda path: None,
    *,
    depth: int = 0,
) -> dict[str, Value]:
    """The variables after the last assignment. ``environment`` is what is set before the file is read.

    ``follow``: the assignments of a file that is sourced; None if it cannot be followed. Under the name ANYTHING stands what may
    set any variable that is not named itself.
    """
    values: dict[str, Value] = dict(environment or {})
    readonly: set[str] = set()
    fixed: set[str] = set()
    """Names with an attribute: what is assigned to them from then on is changed."""
    references: set[str] = set()
    broken = ""
    for assignment in assignments:
        name = assignment.name
        was_array = _is_array(values.get(name))
        if assignment.reason == READONLY:
            readonly.add(name)
        elif broken or name in readonly:
            # bash gives the whole command up, and whatever is on its line
            broken = broken or f"{name} is readonly, and set again"
            values = _all_uncertain(replace(assignment, reason=broken), values)
        elif name in references:
            reason = f"{name} is a name for another variable"
            values = _all_uncertain(replace(assignment, reason=reason), values, may_be_arrays=True)
        elif assignment.operator == "source":
            values = _sourced(assignment, values, follow, depth)
        elif name == ANYTHING:
            values = _all_uncertain(assignment, values)
        elif assignment.operator == "?" or name in fixed:
            reason = assignment.reason or "declare changes what is assigned to it"
            values[name] = NotUnderstood(
                reason, assignment.line, is_array=was_array or reason.startswith(_MAKES_ARRAYS)
            )
            if assignment.reason == REFERENCE:
                references.add(name)
            elif assignment.reason.startswith("declare"):
                fixed.add(name)
        elif not assignment.certain:
            is_array = was_array or isinstance(assignment.value, Array) or assignment.subscript is not None
            values[name] = NotUnderstood(
                "it is set only under a condition, or in a function", assignment.line, is_array=is_array
            )
        elif assignment.operator == "unset":
            values.pop(name, None)
        else:
            values[name] = _assigned(assignment, values)
    return values


def _sourced(
    assignment: Assignment,
    values: dict[str, Value],
    follow: Callable[[str], Iterable[Assignment] | None],
    depth: int,
) -> dict[str, Value]:
    """The values once another file was read in its place."""
    path = _join(assignment.value, values, assignment.line) if isinstance(assignment.value, Word) else ""
    inner = follow(path) if isinstance(path, str) and depth < _DEEPEST else None
    if inner is None:
        return _all_uncertain(assignment, values)
    after = evaluate(inner, values, follow, depth=depth + 1)
    if assignment.certain:
        return after
    changed = [name for name in (*values, *after) if values.get(name) != after.get(name)]
    reason = "a file that is read under a condition may set it"
    return values | {
        name: NotUnderstood(reason, assignment.line, is_array=_is_array(values.get(name)) or _is_array(after.get(name)))
        for name in changed
    }


def _all_uncertain(
    assignment: Assignment, values: Mapping[str, Value], *, may_be_arrays: bool = False
) -> dict[str, Value]:
    """Any variable may have been set by something that is not followed."""
    made = may_be_arrays or assignment.reason.startswith(_MAKES_ARRAYS)
    return {
        name: NotUnderstood(assignment.reason, assignment.line, is_array=made or _is_array(values.get(name)))
        for name in (*values, ANYTHING)
    }


def _is_array(value: Value | None) -> bool:
    return isinstance(value, dict) or (isinstance(value, NotUnderstood) and value.is_array)


def fields(word: Word, values: Mapping[str, Value], line: int) -> list[str] | NotUnderstood:
    """A word of an array as bash would split it: an unquoted ``$X`` can become any number of elements."""
    result: list[str] = []
    current: str | None = None
    for piece in word.pieces:
        text = _text(piece, values, line)
        if isinstance(text, NotUnderstood):
            return text
        if piece.kind != "variable" or piece.quoted:
            if text or piece.quoted:
                current = (current or "") + text
            continue
        if values.get("IFS", _IFS) != _IFS:
            return NotUnderstood("IFS is set, by which it is split", line)
        if set(text) & set("*?["):
            return NotUnderstood("it is a file name pattern", line)
        for number, part in enumerate(_split(text)):
            if number and current is not None:
                result.append(current)
                current = None
            if part:
                current = (current or "") + part
    return result if current is None else [*result, current]


def ordered(array: Mapping[str, str]) -> dict[str, str]:
    """Numbered elements by their number, as ``"${A[@]}"`` gives them; named ones as they came."""
    if all(key.isdecimal() for key in array):
        return {key: array[key] for key in sorted(array, key=int)}
    return dict(array)


def _assigned(assignment: Assignment, values: Mapping[str, Value]) -> Value:
    old = values.get(assignment.name, values.get(ANYTHING))
    line = assignment.line
    append = assignment.operator == "+="
    whole = isinstance(assignment.value, Array) and not append
    if isinstance(old, NotUnderstood) and (append or assignment.subscript is not None or (old.is_array and not whole)):
        makes_array = assignment.subscript is not None or isinstance(assignment.value, Array)
        return replace(old, is_array=old.is_array or makes_array)
    if isinstance(assignment.value, Array):
        start: dict[str, str] = {}
        if append and old is not None and not isinstance(old, NotUnderstood):
            start = dict(old) if isinstance(old, dict) else {"0": old}
        found = _array(assignment.value, start, values, line, is_associative=assignment.is_associative)
        return replace(found, is_array=True) if isinstance(found, NotUnderstood) else found
    text = _join(assignment.value, values, line)
    if isinstance(text, NotUnderstood):
        return replace(text, is_array=_is_array(old) or assignment.subscript is not None)
    if assignment.subscript is not None or isinstance(old, dict):
        # ``A=x`` on an array sets its first element.
        subscript = assignment.subscript if assignment.subscript is not None else "0"
        key = _key(subscript, values, is_associative=assignment.is_associative)
        if key is None:
            return NotUnderstood("its subscript is not a plain word", line, is_array=True)
        array = {"0": old} if isinstance(old, str) else dict(old) if isinstance(old, dict) else {}
        array[key] = array.get(key, "") + text if append else text
        return ordered(array)
    return old + text if append and isinstance(old, str) else text


def _array(
    array: Array, start: dict[str, str], values: Mapping[str, Value], line: int, *, is_associative: bool
) -> Value:
    result = start
    following = max((int(key) for key in result if key.isdecimal()), default=-1) + 1
    for element in array.elements:
        if element.subscript is not None:
            key = _key(element.subscript, values, is_associative=is_associative)
            text = _join(element.value, values, line)
            if key is None:
                return NotUnderstood("a subscript in it is not a plain word", line)
            if isinstance(text, NotUnderstood):
                return text
            result[key] = text
            if key.isdecimal():
                following = int(key) + 1
            continue
        parts = fields(element.value, values, line)
        if isinstance(parts, NotUnderstood):
            return parts
        for part in parts:
            result[str(following)] = part
            following += 1
    return ordered(result)


def _key(subscript: str, values: Mapping[str, Value], *, is_associative: bool) -> str | None:
    """The subscript as a key; a number without leading zeros, None when it would have to be computed.

    A word is taken for one although the file declares no associative array: sNow! declares its own before it reads the file.
    """
    if not is_associative:
        subscript = subscript.strip()
        names = _NAMES.findall(subscript)
        if not subscript.isdecimal() and (
            not names or _COMPUTES.search(subscript) or any(name in values for name in names)
        ):
            return None
    if not subscript or set(subscript) & set("$`\\"):
        return None
    if subscript.startswith("-"):
        return None  # counted from the end
    if subscript.isdecimal():
        # A leading zero makes it octal for bash.
        return subscript if subscript == str(int(subscript)) else None
    return subscript


def _join(word: Word, values: Mapping[str, Value], line: int) -> str | NotUnderstood:
    result = ""
    for piece in word.pieces:
        text = _text(piece, values, line)
        if isinstance(text, NotUnderstood):
            return text
        result += text
    return result


def _text(piece: Piece, values: Mapping[str, Value], line: int) -> str | NotUnderstood:
    if piece.kind == "text":
        return piece.text
    if piece.kind == "opaque":
        return NotUnderstood(piece.text, line)
    value = values.get(piece.text, values.get(ANYTHING))
    if piece.or_else and not (isinstance(value, str) and value):
        return NotUnderstood(f"it uses {piece.text}, or something else where that has no value", line)
    if value is None:
        return NotUnderstood(f"it refers to {piece.text}, which is not set before it", line)
    if isinstance(value, NotUnderstood):
        return NotUnderstood(f"it refers to {piece.text} (line {value.line}), and there {value.reason}", line)
    if isinstance(value, dict):
        return value.get(piece.index or "0", "")
    return value if piece.index in ("", "0") else ""


def _split(text: str) -> list[str]:
    """Parts between white space; an empty one at an end where the text begins or ends with white space."""
    parts = text.split()
    if text[:1].isspace():
        parts.insert(0, "")
    if text[-1:].isspace() and parts != [""]:
        parts.append("")
    return parts
