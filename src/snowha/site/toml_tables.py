"""TOML tables into frozen dataclasses, strictly: a key that is not declared, missing, or of another type is a Problem.

A field's type is ``str``, ``int``, ``bool``, another such dataclass, one of these or None, or a tuple of one of them, and may be
Annotated.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Location = tuple[str | int, ...]
"""``("server", 1, "links")``: keys, and numbers in a list, from 0 on."""
T = TypeVar("T")

_PLAIN = {
    str: "must be a string in quotes",
    int: "must be a whole number, without quotes",
    bool: "must be true or false, without quotes",
}
_FORMS = {str: '"…"', int: "NUMBER", bool: "true"}
"""How a value is written."""


@dataclass(frozen=True)
class Declared:
    """A key that a table has. ``kind``: its type, without None and annotations."""

    kind: Any
    default: object
    """``dataclasses.MISSING`` for a key that must be given."""
    said: tuple[object, ...]
    """What its type is Annotated with."""

    @property
    def is_required(self) -> bool:
        return self.default is MISSING


@dataclass(frozen=True)
class Problem:
    """What is wrong at a place. The value itself stays out: it may be a password."""

    at: Location
    says: str
    known: tuple[str, ...] = ()
    """For a key that is not known: the keys that are, in its place."""
    form: str = ""
    """How its value is written, if that is one value or a list of them."""


class ShapeError(Exception):
    """Everything that is wrong with the shape, in the order of the declared keys; what is not known comes last in its table."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems


@cache
def declared(table: type) -> Mapping[str, Declared]:
    """The keys of a table, in the order in which they are declared."""
    hints = get_type_hints(table, include_extras=True)
    keys: dict[str, Declared] = {}
    for field in dataclasses.fields(table):
        kind, said = hints[field.name], ()
        if get_origin(kind) is Annotated:
            kind, said = kind.__origin__, kind.__metadata__
        if isinstance(kind, types.UnionType):
            (kind,) = (one for one in get_args(kind) if one is not types.NoneType)
        keys[field.name] = Declared(kind, field.default, said)
    return keys


def read(table: type[T], data: Mapping[str, object]) -> T:
    """``data``, as tomllib returns it, as a ``table``. Raises ShapeError with all that is wrong."""
    problems: list[Problem] = []
    values = _values(table, data, (), problems)
    if problems:
        raise ShapeError(tuple(problems))
    return table(**values)


def _values(table: type, data: Mapping[str, object], at: Location, problems: list[Problem]) -> dict[str, Any]:
    keys = declared(table)
    values: dict[str, Any] = {}
    for name, key in keys.items():
        if name in data:
            values[name] = _value(key.kind, data[name], (*at, name), problems)
        elif key.is_required:
            problems.append(Problem((*at, name), "is missing", form=_form(key.kind)))
    problems.extend(Problem((*at, name), "is unknown", tuple(keys)) for name in data if name not in keys)
    return values


def _value(kind: Any, data: object, at: Location, problems: list[Problem]) -> Any:
    """``data`` as a ``kind``. What it returns means nothing once there is a problem."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            problems.append(Problem(at, "must be a table"))
            return None
        known = len(problems)
        values = _values(kind, data, at, problems)
        return kind(**values) if len(problems) == known else None
    if get_origin(kind) is tuple:
        item, _ = get_args(kind)
        if not isinstance(data, list):
            is_table = dataclasses.is_dataclass(item)
            says = f"must be a list of tables, each under [[{at[-1]}]]" if is_table else "must be a list, [ … ]"
            problems.append(Problem(at, says, form=_form(kind)))
            return None
        return tuple(_value(item, one, (*at, number), problems) for number, one in enumerate(data))
    # bool is an int for isinstance
    if type(data) is not kind:
        problems.append(Problem(at, _PLAIN[kind], form=_form(kind)))
    return data


def _form(kind: Any) -> str:
    """Empty for a table, and a list of tables."""
    if get_origin(kind) is tuple:
        item = _form(get_args(kind)[0])
        return f"[{item}, …]" if item else ""
    return _FORMS.get(kind, "")
