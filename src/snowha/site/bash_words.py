"""Words of a bash file: quoting and expansions (bash(1): QUOTING, PARAMETERS), read without running anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from snowha.errors import InputError

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
BLANK = " \t"
META = " \t\n;&|()<>"
_SIMPLE = re.compile(rf"\$(?:({NAME})|\{{({NAME})(?:\[([0-9]+)\])?\}})")
_DEFAULT = re.compile(rf"\$\{{({NAME}):?=")
_OR_ELSE = re.compile(rf"\$\{{({NAME}):?-")
_HEREDOC = re.compile(r"[0-9]*<<(-?)(?!<)[ \t]*")
_ANSI_C = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True)
class Piece:
    """Part of a word. The text is not in the repr: these files hold passwords."""

    kind: Literal["text", "variable", "opaque"]
    text: str = field(repr=False)
    """The text, the name of the variable, or why it cannot be known."""
    quoted: bool
    index: str = ""
    or_else: bool = False
    """``${NAME:-…}``: the variable, if it has a value."""


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


class Words:
    """A reader at a place in the text."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.pos = 0
        self.heredocs: list[tuple[str, bool]] = []
        """What ends each here-document that begins behind this line, and whether tabs may stand in front of it."""

    def defaulted(self, name: str) -> None:
        """Told of ``${NAME:=…}``, which sets a variable."""

    def fail(self, message: str, position: int, remedy: str) -> NoReturn:
        raise InputError(message, where=f"{self.where}:{self.line(position)}", remedy=remedy)

    def line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def peek(self, length: int = 1) -> str:
        return self.text[self.pos : self.pos + length]

    def plain_text(self, word: Word) -> str:
        """The word if it is one whatever is run, else nothing."""
        return (
            "".join(piece.text for piece in word.pieces) if all(piece.kind == "text" for piece in word.pieces) else ""
        )

    def word(self, *, split: bool = False) -> Word:
        """One word. ``split``: in an array, where bash would expand braces and file name patterns."""
        start = self.pos
        pieces: list[Piece] = []
        while (char := self.peek()) and char not in META:
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
            pieces.append(Piece("opaque", "'~' stands for a home folder", quoted=False))
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
        if default := _DEFAULT.match(self.text, start):
            self.defaulted(default[1])
        if match := _SIMPLE.match(self.text, start):
            self.pos = match.end()
            return Piece("variable", match[1] or match[2], quoted=quoted, index=match[3] or "")
        following = self.text[start + 1 : start + 2]
        if following in ("(", "{", "["):
            self.pos += 1
            self.skip_balanced(following, {"(": ")", "{": "}", "[": "]"}[following])
            if default := _OR_ELSE.match(self.text, start):
                return Piece("variable", default[1], quoted=quoted, or_else=True)
            if following == "[":
                return Piece("opaque", "it is computed", quoted=quoted)
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
        is_computed = opening != "(" or self.peek(2) == "(("
        outer, self.heredocs = self.heredocs, []
        cases: list[int] = []
        """How deep each ``case`` stands that is open: the ``)`` of its patterns closes nothing."""
        while char := self.peek():
            if char == "\\":
                self.pos += 1
            elif opening == "(" and char == "#" and self.text[self.pos - 1] in META:
                self.skip_comment()
                continue
            elif not is_computed and char == "<" and self.heredoc():
                continue
            elif char == "\n" and self.heredocs:
                self.pos += 1
                self.skip_heredocs()
                continue
            elif opening == "(" and char == "c" and self.begins_case(start):
                cases.append(depth)
            elif cases and char == "e" and re.compile(r"\besac\b").match(self.text, self.pos):
                cases.pop()
            elif char == closing and cases and cases[-1] == depth:
                pass
            elif char == "'":
                self.pos = self.text.find("'", self.pos + 1)
                if self.pos < 0:
                    self.fail("a quote (') after this point is never closed", start, "close it")
            elif char == '"':
                self.double_quoted()
                continue
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if depth == 0:
                    self.pos += 1
                    self.heredocs = outer
                    return
            self.pos += 1
        self.fail(f"'${opening}' is never closed", start, f"close it with {closing!r}")

    def heredoc(self) -> bool:
        """Take ``<<WORD``, whose text begins behind this line (bash(1): Here Documents). False if there is none."""
        match = _HEREDOC.match(self.text, self.pos)
        if not match:
            return False
        self.pos = match.end()
        word = self.word()
        # nothing in the word is expanded, only its quotes are removed
        delimiter = re.sub(r"\\(.)|['\"]", r"\1", self.text[word.start : word.end])
        self.heredocs.append((delimiter, match[1] == "-"))
        return True

    def skip_heredocs(self) -> None:
        for delimiter, tabs in self.heredocs:
            while self.peek():
                end = self.text.find("\n", self.pos)
                end = end if end >= 0 else len(self.text)
                line = self.text[self.pos : end]
                self.pos = min(end + 1, len(self.text))
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self.heredocs.clear()

    def begins_case(self, start: int) -> bool:
        """Whether a ``case`` begins here as a command, behind ``start``."""
        found = re.compile(r"case(?=\s)").match(self.text, self.pos)
        before = self.text[start : self.pos].rstrip(BLANK)
        return found is not None and re.search(r"(?:[(;&|{!\n]|\b(?:then|do|else))\Z", before) is not None

    def skip_blanks(self) -> None:
        """Spaces, comments and continued lines, up to a word or the end of the line."""
        while char := self.peek():
            if char in BLANK:
                self.pos += 1
            elif char == "\\" and (continued := re.compile(r"\\\n").match(self.text, self.pos)):
                self.pos = continued.end()
            elif char == "#":
                self.skip_comment()
            else:
                return

    def skip_comment(self) -> None:
        end = self.text.find("\n", self.pos)
        self.pos = end if end >= 0 else len(self.text)

    def skip_space_and_comments(self) -> None:
        self.skip_blanks()
        while self.peek() == "\n":
            self.pos += 1
            self.skip_blanks()


_ANSI_ESCAPE = r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)"


def _ansi_character(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\N{REPLACEMENT CHARACTER}"
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ANSI_C.get(code, code if code in "\\'\"?" else f"\\{code}")
