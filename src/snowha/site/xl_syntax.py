"""The grammar of xl.cfg(5): ``key = value``, with strings, numbers and lists, each with its place in the text.

After Xen's tools/libs/util/libxlu_cfg_l.l and libxlu_cfg_y.y, and compared with them in the tests: a statement ends with the
line or with ``;``, a comment with the end of its line, lists may go over lines and end with a comma, a later setting of a key
replaces an earlier one, ``+=`` adds to it. Space is blanks and tabs; keys and numbers have no capitals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from snowha.errors import InputError
from snowha.site.names import show

_KEY = re.compile(r"[a-z][a-z0-9_.]*", re.ASCII)
_NUMBER = re.compile(r"[0-9][0-9a-fx]*", re.ASCII)
_STRING = {
    "'": re.compile(r"'((?:[^'\\\n]|\\.)*)'"),
    '"': re.compile(r'"((?:[^"\\\n]|\\.)*)"'),
}
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", '"': '"', "\\": "\\"}
_DEEPEST = 50
"""Lists in lists. xl takes some thousands; it knows no setting that needs more than two."""


@dataclass(frozen=True)
class Atom:
    """A string or a number."""

    start: int
    end: int
    text: str
    quote: str
    """The quote character, empty for a number."""


@dataclass(frozen=True)
class List:
    start: int
    end: int
    items: tuple[Atom | List, ...]


@dataclass(frozen=True)
class Setting:
    key: str
    line: int
    start: int
    operator_start: int
    operator: str
    value: Atom | List


def parse_settings(text: str, *, where: str) -> tuple[Setting, ...]:
    """Every setting, in the order of the file. What xl could not parse is an InputError with its line."""
    if "\0" in text:
        raise InputError(
            "it contains a NUL character", where=f"{where}:{line_at(text, text.index(chr(0)))}", remedy="remove it"
        )
    return tuple(_Parser(text, where).run())


def quoted(value: str, quote: str) -> str:
    """``value`` as a string of this grammar. InputError if it holds a control character."""
    if not value.isprintable():
        raise InputError(
            f"a domain config cannot hold a control character: {show(value)}", remedy="remove it from the value"
        )
    return quote + value.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def line_at(text: str, position: int) -> int:
    """The line, counted from 1, of a character."""
    return text.count("\n", 0, position) + 1


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.pos = 0

    def fail(self, message: str, position: int, remedy: str) -> NoReturn:
        raise InputError(message, where=f"{self.where}:{line_at(self.text, position)}", remedy=remedy)

    def fail_at_word(self, message: str, remedy: str) -> NoReturn:
        """Say what xl trips over, where one can be misled by what is seen in an editor."""
        char = self.peek()
        if char == "\r":
            message, remedy = "the line ends as on Windows (CR LF), which xl refuses", "convert the file: dos2unix"
        elif char in ("\f", "\v", "\ufeff", "\xa0"):
            message, remedy = f"{show(char)} is not a space to xl", "remove this character"
        self.fail(message, self.pos, remedy)

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def run(self) -> list[Setting]:
        settings: list[Setting] = []
        while True:
            self.skip(newlines=True)
            if self.peek() == ";":
                self.pos += 1
            elif self.peek():
                settings.append(self.setting())
            else:
                return settings

    def setting(self) -> Setting:
        start = self.pos
        key = _KEY.match(self.text, start)
        if not key:
            remedy = "write key = value, as in xl.cfg(5); keys of xl are lower-case"
            self.fail_at_word(f"{self.rest()} is not a setting", remedy)
        self.pos = key.end()
        self.skip(newlines=False)
        operator_start = self.pos
        operator = "+=" if self.text.startswith("+=", self.pos) else "="
        if not self.text.startswith(operator, self.pos):
            self.fail(f"no '=' after {show(key[0])}", start, "write key = value, as in xl.cfg(5)")
        self.pos += len(operator)
        self.skip(newlines=False)
        value = self.value()
        self.skip(newlines=False)
        if self.peek() not in ("", "\n", ";"):
            self.fail_at_word(f"{self.rest()} after the value of {key[0]}", "end the line after the value")
        return Setting(key[0], line_at(self.text, start), start, operator_start, operator, value)

    def value(self, depth: int = 0) -> Atom | List:
        start = self.pos
        char = self.peek()
        if char == "[":
            if depth == _DEEPEST:
                self.fail(f"lists are nested more than {_DEEPEST} deep", start, "write the value as in xl.cfg(5)")
            return self.list(depth + 1)
        if char in _STRING:
            match = _STRING[char].match(self.text, start)
            if not match:
                self.fail(f"the quote ({char}) that opens here is not closed on its line", start, "close it")
            self.pos = match.end()
            return Atom(start, self.pos, _ESCAPE.sub(partial(self.escaped, start), match[1]), char)
        match = _NUMBER.match(self.text, start)
        if not match:
            self.fail_at_word(f"{self.rest()} is not a value", "write a number, a quoted string or a list")
        self.pos = match.end()
        return Atom(start, self.pos, match[0], "")

    def list(self, depth: int) -> List:
        start = self.pos
        self.pos += 1
        items: list[Atom | List] = []
        while True:
            self.skip(newlines=True)
            if not self.peek():
                self.fail("the list that opens here is never closed", start, "close it with ']'")
            if self.peek() == "]":
                self.pos += 1
                return List(start, self.pos, tuple(items))
            items.append(self.value(depth))
            self.skip(newlines=True)
            if self.peek() == ",":
                self.pos += 1
            elif self.peek() not in ("]", ""):
                self.fail_at_word(f"{self.rest()} in a list", "separate the values of a list with ','")

    def escaped(self, start: int, match: re.Match[str]) -> str:
        code = match[1]
        if code not in _ESCAPED:
            # xl refuses \\x, and drops what \\0 to \\7 begin
            self.fail(f"{show(match[0])} in a string is unknown to xl", start, "write \\\\ for a backslash")
        return _ESCAPED[code]

    def skip(self, *, newlines: bool) -> None:
        while char := self.peek():
            if char in " \t" or (newlines and char == "\n"):
                self.pos += 1
            elif char == "#":
                end = self.text.find("\n", self.pos)
                # a `#` alone is taken at the end of the file, anything behind it is not
                if end < 0 and self.pos + 1 < len(self.text):
                    self.fail("the last line is a comment that no newline ends, which xl refuses", self.pos, "add one")
                self.pos = end if end >= 0 else len(self.text)
            else:
                return

    def rest(self) -> str:
        return (
            show(self.text[self.pos :].partition("\n")[0].rstrip()[:40]) if self.peek() not in ("", "\n") else "nothing"
        )
