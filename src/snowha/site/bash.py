"""Assignments of a bash file, found by reading it: nothing in the file is ever executed.

Covers what a sourced configuration is made of (bash(1): QUOTING, PARAMETERS, Arrays). What only running could tell
(command substitution, a value set inside an ``if``) is kept as *opaque*, with the reason. Positions are offsets
of characters, so that an editor can change one value and leave every other byte alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from snowha.errors import InputError

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ASSIGN = re.compile(rf"({_NAME})(\[[^\]\n]*\])?(\+?=)")
_DECLARE = re.compile(r"(?:export|declare|typeset|readonly|local)(?=[ \t])")
_UNSET = re.compile(rf"unset(?:[ \t]+-v)?((?:[ \t]+{_NAME})+)[ \t]*(?=[;\r\n#]|\Z)")
_FUNCTION = re.compile(rf"(?:function[ \t]+[^\s(){{}};]+(?:[ \t]*\([ \t]*\))?|{_NAME}[ \t]*\([ \t]*\))\s*")
_SUBSCRIPT = re.compile(r"\[((?:'[^'\n]*'|\"[^\"\n]*\"|[^\]\s\"'])+)\]\+?=")
_KEYWORD = re.compile(r"(?:if|while|until|for|select|case|then|do|else|elif|fi|done|esac|time|[!{}])(?=[\s;)&|]|\Z)")
_SIMPLE = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})(?:\[([0-9]+)\])?\}})")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(['\"]?)(\w+)\2")

_BLANK = " \t\r"
_META = " \t\r\n;&|()<>"
_ANSI_C = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True)
class Piece:
    """Part of a word. The text is not in the repr: these files hold passwords."""

    kind: Literal["text", "variable", "opaque"]
    text: str = field(repr=False)
    """The text, the name of the variable, or why it cannot be known."""
    quoted: bool
    index: str = ""


@dataclass(frozen=True)
class Word:
    start: int
    end: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Element:
    """One ``value`` or ``[subscript]=value`` between the parentheses of an array."""

    subscript: str | None
    value: Word


@dataclass(frozen=True)
class Array:
    start: int
    """Of the opening parenthesis."""
    end: int
    """After the closing one."""
    elements: tuple[Element, ...]


@dataclass(frozen=True)
class Assignment:
    name: str
    line: int
    subscript: str | None
    operator: str
    """``=``, ``+=`` or ``unset``."""
    operator_start: int
    value: Word | Array
    certain: bool
    """False when it stands in an ``if``, a function or behind ``&&``: whether it happens is only known by running."""


def scan(text: str, *, where: str) -> tuple[Assignment, ...]:
    """Every assignment of the file, in its order. An unclosed quote or array is an InputError with its line."""
    return tuple(_Scanner(text, where).run())


class _Scanner:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.pos = 0
        self.open: list[str] = []
        """Compound commands not yet closed: ``if``, ``{``, ``(``…"""
        self.conditional = False
        self.heredocs: list[tuple[str, bool]] = []
        self.found: list[Assignment] = []

    def fail(self, message: str, position: int, remedy: str) -> NoReturn:
        raise InputError(message, where=f"{self.where}:{self.line(position)}", remedy=remedy)

    def line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def peek(self, length: int = 1) -> str:
        return self.text[self.pos : self.pos + length]

    def run(self) -> list[Assignment]:
        while True:
            self.skip_blanks()
            char = self.peek()
            if not char:
                return self.found
            if char in "\n;":
                self.pos += 1
                self.conditional = False
                if char == "\n":
                    self.skip_heredocs()
            elif self.peek(2) in ("&&", "||"):
                self.pos += 2
                self.skip_space_and_comments()
                self.conditional = True
            elif char in "&|":
                self.pos += 1
                self.conditional = char == "|"
            elif char == "(":
                self.open.append("(")
                self.pos += 1
            elif char == ")":
                if self.open and self.open[-1] == "(":
                    self.open.pop()
                self.pos += 1
            else:
                self.command()

    def command(self) -> None:
        if _ASSIGN.match(self.text, self.pos):
            self.assignments(declared=False)
        elif match := _DECLARE.match(self.text, self.pos):
            self.pos = match.end()
            self.assignments(declared=True)
        elif match := _UNSET.match(self.text, self.pos):
            for name in match[1].split():
                empty = Word(self.pos, self.pos, ())
                certain = not self.open and not self.conditional
                self.found.append(
                    Assignment(name, self.line(self.pos), None, "unset", self.pos, value=empty, certain=certain)
                )
            self.pos = match.end()
        elif match := _FUNCTION.match(self.text, self.pos):
            self.pos = match.end()
        elif match := _KEYWORD.match(self.text, self.pos):
            self.pos = match.end()
            word = match[0]
            if word in ("fi", "done", "esac", "}"):
                if self.open:
                    self.open.pop()
            elif word in ("if", "while", "until", "for", "select", "case", "{"):
                self.open.append(word)
                if word in ("for", "select", "case"):
                    self.skip_command()
        else:
            self.skip_command()

    def assignments(self, *, declared: bool) -> None:
        """``A=1 B=2``. With a command behind them they hold for that command alone, and are none of ours."""
        batch: list[Assignment] = []
        while True:
            self.skip_blanks()
            char = self.peek()
            if not char or char in "\n;&|)":
                # In a pipe or in the background they happen in another process, and change nothing here.
                if not char or char not in "&|" or self.peek(2) in ("&&", "||"):
                    self.found.extend(batch)
                return
            if match := _ASSIGN.match(self.text, self.pos):
                batch.append(self.assignment(match))
            elif declared and char not in "(<>":
                # An option (-r) or a name that is only declared.
                self.word()
            else:
                self.skip_command()
                return

    def assignment(self, match: re.Match[str]) -> Assignment:
        start = self.pos
        self.pos = match.end()
        value: Word | Array = self.array() if self.peek() == "(" else self.word()
        if isinstance(value, Array) and self.peek() and self.peek() not in _META:
            reason = "something is glued to the ')' of the array"
            value = Word(value.start, self.word().end, (Piece("opaque", reason, quoted=False),))
        return Assignment(
            name=match[1],
            line=self.line(start),
            subscript=None if match[2] is None else _unquote_subscript(match[2][1:-1]),
            operator=match[3],
            operator_start=match.start(3),
            value=value,
            certain=not self.open and not self.conditional,
        )

    def array(self) -> Array:
        start = self.pos
        self.pos += 1
        elements: list[Element] = []
        while True:
            self.skip_space_and_comments()
            char = self.peek()
            if not char:
                self.fail("the array that opens here is never closed", start, "close it with ')'")
            if char == ")":
                self.pos += 1
                return Array(start, self.pos, tuple(elements))
            if char in ";&|<>(":
                self.fail(f"{char!r} inside an array", self.pos, "put it in quotes, or close the array before it")
            subscript = None
            if match := _SUBSCRIPT.match(self.text, self.pos):
                subscript = _unquote_subscript(match[1])
                self.pos = match.end()
            elements.append(Element(subscript, self.word(split=subscript is None)))

    def word(self, *, split: bool = False) -> Word:
        """One word. ``split``: in an array, where bash would expand braces and file name patterns."""
        start = self.pos
        pieces: list[Piece] = []
        while (char := self.peek()) and char not in _META:
            if char == "'":
                end = self.text.find("'", self.pos + 1)
                if end < 0:
                    self.fail("the quote (') that opens here is never closed", self.pos, "close it")
                pieces.append(Piece("text", self.text[self.pos + 1 : end], quoted=True))
                self.pos = end + 1
            elif char == '"':
                pieces += self.double_quoted()
            elif self.peek(2) == "$'":
                pieces.append(self.ansi_c())
            elif self.peek(2) == '$"':
                self.pos += 1
            elif char in "$`":
                pieces.append(self.expansion(quoted=False))
            elif char == "\\":
                escaped = self.text[self.pos + 1 : self.pos + 2]
                pieces.append(Piece("text", "" if escaped == "\n" else escaped or "\\", quoted=True))
                self.pos += 2
            else:
                self.plain(pieces, split=split, first=self.pos == start)
        self.pos = min(self.pos, len(self.text))
        return Word(start, self.pos, tuple(pieces))

    def plain(self, pieces: list[Piece], *, split: bool, first: bool) -> None:
        char = self.peek()
        previous = self.text[self.pos - 1 : self.pos]
        if char == "~" and (first or previous == ":"):
            pieces.append(Piece("opaque", "'~' stands for somebody's home", quoted=False))
        elif split and char in "*?[":
            pieces.append(Piece("opaque", "it is a file name pattern", quoted=False))
        elif split and char == "{":
            pieces.append(Piece("opaque", "it uses a brace expansion", quoted=False))
        else:
            pieces.append(Piece("text", char, quoted=False))
        self.pos += 1

    def double_quoted(self) -> list[Piece]:
        start = self.pos
        self.pos += 1
        pieces = [Piece("text", "", quoted=True)]
        while (char := self.peek()) != '"':
            if not char:
                self.fail('the quote (") that opens here is never closed', start, "close it")
            if char in "$`":
                pieces.append(self.expansion(quoted=True))
                continue
            length = 1
            if char == "\\" and (escaped := self.text[self.pos + 1 : self.pos + 2]) and escaped in '$`"\\\n':
                char = "" if escaped == "\n" else escaped
                length = 2
            pieces.append(Piece("text", char, quoted=True))
            self.pos += length
        self.pos += 1
        return pieces

    def ansi_c(self) -> Piece:
        match = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.pos)
        if not match:
            self.fail("the quote ($') that opens here is never closed", self.pos, "close it")
        self.pos = match.end()
        return Piece("text", re.sub(_ANSI_ESCAPE, _ansi_character, match[1], flags=re.DOTALL), quoted=True)

    def expansion(self, *, quoted: bool) -> Piece:
        start = self.pos
        if self.peek() == "`":
            end = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL).match(self.text, start)
            if not end:
                self.fail("the command substitution (`) that opens here is never closed", start, "close it")
            self.pos = end.end()
            return Piece("opaque", "it uses a command substitution", quoted=quoted)
        if match := _SIMPLE.match(self.text, start):
            self.pos = match.end()
            return Piece("variable", match[1] or match[2], quoted=quoted, index=match[3] or "")
        following = self.text[start + 1 : start + 2]
        if following in ("(", "{"):
            self.pos += 1
            self.skip_balanced(following, {"(": ")", "{": "}"}[following])
            what = "a command substitution" if following == "(" else "${…} with more than a name in it"
            return Piece("opaque", f"it uses {what}", quoted=quoted)
        if following and following in "0123456789@*#?$!-":
            self.pos += 2
            return Piece("opaque", f"it uses ${following}", quoted=quoted)
        self.pos += 1
        return Piece("text", "$", quoted=quoted)

    def skip_balanced(self, opening: str, closing: str) -> None:
        start = self.pos
        depth = 0
        while char := self.peek():
            if char == "\\":
                self.pos += 1
            elif char == "'":
                self.pos = self.text.find("'", self.pos + 1)
                if self.pos < 0:
                    self.fail("a quote (') behind this point is never closed", start, "close it")
            elif char == '"':
                self.double_quoted()
                continue
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if depth == 0:
                    self.pos += 1
                    return
            self.pos += 1
        self.fail(f"'${opening}' is never closed", start, f"close it with {closing!r}")

    def skip_command(self) -> None:
        """The words of a command that is no assignment, up to what ends it."""
        while True:
            self.skip_blanks()
            char = self.peek()
            if not char or char in "\n;|()":
                return
            if match := _HEREDOC.match(self.text, self.pos):
                self.heredocs.append((match[3], match[1] == "-"))
                self.pos = match.end()
            elif char in "<>" or self.peek(2) == "&>":
                # A redirection: the "&" of ">&2" and the "(" of "<(…)" end no command.
                self.pos += 2 if self.text[self.pos + 1 : self.pos + 2] in ("&", "<", ">") else 1
            elif char == "&":
                return
            else:
                self.word()

    def skip_blanks(self) -> None:
        """Spaces, comments and continued lines, up to a word or the end of the line."""
        while char := self.peek():
            if char in _BLANK:
                self.pos += 1
            elif char == "\\" and (continued := re.compile(r"\\\r?\n").match(self.text, self.pos)):
                self.pos = continued.end()
            elif char == "#":
                end = self.text.find("\n", self.pos)
                self.pos = end if end >= 0 else len(self.text)
            else:
                return

    def skip_space_and_comments(self) -> None:
        self.skip_blanks()
        while self.peek() == "\n":
            self.pos += 1
            self.skip_blanks()

    def skip_heredocs(self) -> None:
        for delimiter, tabs in self.heredocs:
            while self.peek():
                end = self.text.find("\n", self.pos)
                end = end if end >= 0 else len(self.text)
                line = self.text[self.pos : end].rstrip("\r")
                self.pos = min(end + 1, len(self.text))
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self.heredocs.clear()


_ANSI_ESCAPE = r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)"


def _ansi_character(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\N{REPLACEMENT CHARACTER}"
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ANSI_C.get(code, code if code in "\\'\"?" else f"\\{code}")


def _unquote_subscript(raw: str) -> str:
    return raw[1:-1] if len(raw) >= 2 and raw[0] == raw[-1] and raw[0] in "'\"" else raw
