"""Assignments of a bash file, found by reading it: nothing in the file is ever executed.

Covers what a sourced configuration is made of (bash(1): QUOTING, PARAMETERS, Arrays). What only running could tell
(command substitution, a value set inside an ``if``) is kept as *opaque*, with the reason. Positions are offsets
of characters, so that an editor can change one value and leave every other byte alone. Commands of the shell that change
variables (``source``, ``eval``, ``let``, ``read``, a function of the file) are told as what they may change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from snowha.site.bash_words import BLANK, META, NAME, Array, Element, Piece, Word, Words

_IN_BRACKETS = r"""'[^'\n]*'|"[^"\n]*"|\[[^\[\]\n]*\]"""
"""In a subscript: ``${#NAME[@]}`` has one of its own."""
_ASSIGN = re.compile(rf"({NAME})(\[(?:{_IN_BRACKETS}|[^\[\]\n\"'])*\])?(\+?=)")
_DECLARE = re.compile(r"(?:export|declare|typeset|readonly|local)(?=[ \t])")
_UNSET = re.compile(rf"unset(?:[ \t]+-v)?((?:[ \t]+{NAME})+)[ \t]*(?=[;\r\n#]|\Z)")
_FUNCTION = re.compile(rf"(?:function[ \t]+[^\s(){{}};]+(?:[ \t]*\([ \t]*\))?|{NAME}[ \t]*\([ \t]*\))\s*")
_SUBSCRIPT = re.compile(rf"\[((?:{_IN_BRACKETS}|[^\[\]\s\"'])+)\](\+?)=")
_CHANGES = re.compile(r"\+\+|--|=")
"""In a subscript that is computed: what sets a variable."""
_KEYWORD = re.compile(r"(?:if|while|until|for|select|case|then|do|else|elif|fi|done|esac|time|[!{}])(?=[\s;)&|]|\Z)")

READONLY = "it is readonly"
"""Reason of what sets nothing, but keeps others from it: bash gives up where one tries."""
REFERENCE = "declare -n makes it a name for another variable"
"""Reason of what sends all that is assigned to it from then on elsewhere."""
ANYTHING = "*"
"""Stands for the name of every variable, in an assignment by what is not followed."""
_ATTRIBUTES = frozenset("ilun")
"""Of declare: what is assigned is computed, or changed in its letters, or goes to another variable."""
_SETS_ITS_WORDS = ("let", "read", "mapfile", "readarray", "getopts", "printf", "unset", "wait")
_DECLARES = ("export", "declare", "typeset", "readonly")
_REDIRECTION = re.compile(r"([0-9]+|\{\w+\})?(?:&>>?|<<<|<>|>>|>\||[<>]&|[<>])(?!\()")
_DESCRIPTOR = re.compile(r"[0-9]+|\{\w+\}")
_NAMES = re.compile(NAME)


@dataclass(frozen=True)
class Assignment:
    name: str
    line: int
    subscript: str | None
    operator: str
    """``=``, ``+=``, ``unset``, ``source`` (``value`` is the file), or ``?``: a command that may set it (``reason``)."""
    operator_start: int
    value: Word | Array
    certain: bool
    """False when it stands in an ``if``, a function or behind ``&&``: whether it happens is only known by running."""
    reason: str = ""
    """Why the value cannot be known."""
    is_associative: bool = False
    """Its subscripts are words. Of any other array they are computed, or the file does not say what it is."""


def scan(text: str, *, where: str) -> tuple[Assignment, ...]:
    """Every assignment of the file, in its order. An unclosed quote or array is an InputError with its line."""
    return tuple(_Scanner(text, where).run())


class _Scanner(Words):
    def __init__(self, text: str, where: str) -> None:
        super().__init__(text, where)
        self.open: list[str] = []
        """Compound commands not yet closed: ``if``, ``{``, ``(``…"""
        self.conditional = False
        self.found: list[Assignment] = []
        self.associative: set[str] = set()
        """Arrays of ``declare -A``: ``(a 1 b 2)`` is pairs to them."""
        self.is_trapped = False
        """What a trap runs at its end may set any variable."""
        self.functions: dict[str, list[str]] = {}
        """Of the file, with the variables that each sets."""
        self.in_function: list[tuple[str, int]] = []
        """Those that are being read: name, and how many compound commands were open before."""
        self.ended = self.may_have_ended = False
        """Behind a ``return`` or ``exit``: nothing is read any more, or perhaps nothing, if that is under a condition."""

    def add(self, *assignments: Assignment) -> None:
        for name, _ in self.in_function:
            self.functions[name] += [one.name for one in assignments]
        self.found += assignments

    def unknown(self, names: Iterable[str], reason: str) -> None:
        """``names`` may be set here, to what only running could tell."""
        nothing = Word(self.pos, self.pos, ())
        for name in dict.fromkeys(names):
            self.add(Assignment(name, self.line(self.pos), None, "?", self.pos, nothing, self.certain, reason))

    def defaulted(self, name: str) -> None:
        self.unknown([name], "it may be set by ${…=…}")

    @property
    def certain(self) -> bool:
        return not self.open and not self.conditional and not self.may_have_ended

    def run(self) -> list[Assignment]:
        while True:
            self.skip_blanks()
            char = self.peek()
            if (
                self.in_function
                and len(self.open) <= self.in_function[-1][1]
                and self.text[self.pos - 1 : self.pos] in ("}", ")")
            ):
                self.in_function.pop()
            if not char or self.ended:
                if self.is_trapped:
                    self.unknown([ANYTHING], "a trap may set it")
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
            elif self.peek(2) == "((" and (end := self.text.find("))", self.pos)) > 0:
                self.unknown(_NAMES.findall(self.text[self.pos : end]), "it is computed")
                self.pos = end + 2
            elif char == "(":
                self.open.append("(")
                self.pos += 1
            elif char == ")":
                if self.open and self.open[-1] == "(":
                    self.open.pop()
                self.pos += 1
            else:
                self.command()

    def redirection(self) -> bool:
        """Take a redirection, which may stand anywhere between assignments (bash(1): REDIRECTION). False if there is none."""
        if self.heredoc():
            return True
        match = _REDIRECTION.match(self.text, self.pos)
        if not match:
            return False
        self.pos = match.end()
        self.descriptor(match[1] or "")
        self.skip_blanks()
        self.word()
        return True

    def descriptor(self, text: str) -> None:
        """``{NAME}>FILE`` sets a variable to the number that it gets."""
        if text.startswith("{"):
            self.unknown([text.strip("{}")], "it is the number of an open file")

    def command(self) -> None:
        while self.redirection():
            self.skip_blanks()
        if not self.peek() or self.peek() in "\n;&|()":
            return
        if _ASSIGN.match(self.text, self.pos):
            self.assignments()
        elif (match := _DECLARE.match(self.text, self.pos)) and (match[0] != "local" or self.in_function):
            self.pos = match.end()
            self.assignments(match[0])
        elif match := _UNSET.match(self.text, self.pos):
            for name in match[1].split():
                empty = Word(self.pos, self.pos, ())
                self.associative.discard(name)
                self.add(
                    Assignment(name, self.line(self.pos), None, "unset", self.pos, value=empty, certain=self.certain)
                )
            self.pos = match.end()
        elif match := _FUNCTION.match(self.text, self.pos):
            name = match[0].removeprefix("function").partition("(")[0].strip()
            self.functions.setdefault(name, [])
            self.in_function.append((name, len(self.open)))
            self.pos = match.end()
        elif match := _KEYWORD.match(self.text, self.pos):
            self.pos = match.end()
            word = match[0]
            if word in ("fi", "done", "esac", "}"):
                if self.open:
                    self.open.pop()
            elif word in ("if", "while", "until", "for", "select", "case", "{"):
                self.open.append(word)
                if word in ("for", "select") and (
                    variable := re.compile(rf"[ \t]+({NAME})").match(self.text, self.pos)
                ):
                    self.unknown([variable[1]], f"it is set by {word}")
                if word in ("for", "select", "case"):
                    self.skip_command()
        else:
            self.simple_command()

    def simple_command(self) -> None:
        """A command that is no assignment. What it may do to variables is told; nothing is run."""
        start, heredocs = self.pos, len(self.heredocs)
        words = self.skip_command()
        while words and self.plain_text(words[0]) in ("builtin", "command"):
            words = words[1:]
        if not words:
            return
        name, rest = self.plain_text(words[0]), words[1:]
        raw = self.text[start : self.pos]
        if name in _DECLARES:
            # ``builtin export X=1``, ``\\export X=1``: what is behind it is read once more, as assignments
            self.pos = words[0].end
            del self.heredocs[heredocs:]
            self.assignments(name)
        elif name in ("source", "."):
            file = rest[0] if rest else Word(self.pos, self.pos, ())  # none: ``source <(…)``
            reason = f"{name} is not followed"
            self.add(Assignment(ANYTHING, self.line(start), None, "source", start, file, self.certain, reason))
        elif name == "eval" or (not name and not any("/" in piece.text for piece in words[0].pieces)):
            self.unknown([ANYTHING], "eval may set it" if name else "a command that a variable names may set it")
        elif name in _SETS_ITS_WORDS:
            self.sets_its_words(name, raw)
        elif name == "trap" and re.search(r"\b(?:RETURN|DEBUG|ERR)\b", raw):
            self.is_trapped = True
        elif name in ("return", "exit", "exec") and not self.in_function and (name != "exec" or rest):
            self.ended = self.ended or self.certain
            self.may_have_ended = self.may_have_ended or not self.certain
        elif name in self.functions:
            self.unknown(self.functions[name], f"the function {name} sets it")

    def sets_its_words(self, name: str, raw: str) -> None:
        """``let X=1``, ``read X Y``, ``printf -v X``, ``unset 'X[1]'``: each name in it may be a variable's."""
        option = {"printf": "-v", "wait": "-p"}.get(name)
        if option and not re.search(rf"\s{option}", raw):
            return
        if name == "unset" and re.match(r"unset\s+-f\b", raw):
            return
        # the name may follow the option directly: ``printf -vX``
        names = _NAMES.findall(re.sub(rf"(\s{option})", r"\1 ", raw) if option else raw)
        if name == "unset":
            self.associative.difference_update(names)
        self.unknown([ANYTHING] if "$" in raw and name != "printf" and name != "let" else names, f"{name} may set it")

    def assignments(self, declared_by: str = "") -> None:
        """``A=1 B=2``, perhaps behind ``export`` or the like. With a command behind them they hold for that command alone, and
        are none of ours."""
        options = "r" if declared_by == "readonly" else ""
        batch: list[Assignment] = []
        declared_names: list[str] = []
        while True:
            self.skip_blanks()
            if self.redirection():
                continue
            char = self.peek()
            if not char or char in "\n;&|)":
                # In a pipe or in the background they happen in another process, and change nothing here.
                if not char or char not in "&|" or self.peek(2) in ("&&", "||"):
                    self.add(*batch)
                    if "r" in options:
                        self.unknown([*declared_names, *(one.name for one in batch)], READONLY)
                    if "A" in options:
                        self.associative.update(declared_names, (one.name for one in batch))
                    if set(options) & set("aA"):
                        # what declare(1) itself prints of an array, in old versions of bash
                        as_text = (one for one in batch if isinstance(one.value, Word))
                        said = {one.name: self.text[one.value.start : one.value.end] for one in as_text}
                        self.unknown(
                            [name for name, text in said.items() if "(" in text], "declare reads an array of it"
                        )
                    if "n" in options:
                        self.unknown([*declared_names, *(one.name for one in batch)], REFERENCE)
                    elif set(options) & _ATTRIBUTES:
                        names = [*declared_names, *(one.name for one in batch)]
                        self.unknown(names, f"declare -{options} changes what is assigned")
                return
            if match := _ASSIGN.match(self.text, self.pos):
                batch.append(self.assignment(match, pairs="A" in options or match[1] in self.associative))
            elif declared_by and char not in "(<>":
                # An option (-r) or a name that is only declared.
                word = self.word()
                text = self.plain_text(word)
                self.unknown(_quoted_name(word), f"{declared_by} sets it, with its name in quotes")
                # export has options of its own
                options += text[1:] if text[:1] == "-" and declared_by != "export" else ""
                declared_names += [text] if _NAMES.fullmatch(text) else []
            else:
                self.simple_command()
                return

    def assignment(self, match: re.Match[str], *, pairs: bool) -> Assignment:
        start = self.pos
        self.pos = match.end()
        if match[2] and not pairs and _CHANGES.search(match[2]):
            self.unknown(_NAMES.findall(match[2]), "it is computed in a subscript")
        value: Word | Array = self.array() if self.peek() == "(" else self.word()
        if isinstance(value, Array) and self.peek() and self.peek() not in META:
            reason = "text follows the ')' of the array directly"
            value = Word(value.start, self.word().end, (Piece("opaque", reason, quoted=False),))
        elif isinstance(value, Array) and pairs and any(element.subscript is None for element in value.elements):
            pieces = (Piece("opaque", "its elements are pairs", quoted=False),)
            value = Array(value.start, value.end, (Element(None, Word(value.start, value.end, pieces)),))
        return Assignment(
            name=match[1],
            line=self.line(start),
            subscript=None if match[2] is None else _unquote_subscript(match[2][1:-1]),
            operator=match[3],
            operator_start=match.start(3),
            value=value,
            certain=self.certain,
            is_associative=pairs,
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
            match = _SUBSCRIPT.match(self.text, self.pos)
            if match:
                subscript = _unquote_subscript(match[1])
                self.pos = match.end()
            word = self.word(split=subscript is None)
            if match and match[2]:
                word = replace(word, pieces=(Piece("opaque", "an element of it is appended to", quoted=False),))
            elements.append(Element(subscript, word))

    def skip_command(self) -> list[Word]:
        """The words of a command that is no assignment, up to what ends it."""
        words: list[Word] = []
        redirected = False
        while True:
            self.skip_blanks()
            char = self.peek()
            if not char or char in "\n;|()":
                return words
            if self.heredoc():
                pass
            elif char in "<>" or self.peek(2) == "&>":
                if (
                    words
                    and not redirected
                    and self.text[self.pos - 1 : self.pos] not in BLANK
                    and _DESCRIPTOR.fullmatch(self.plain_text(words[-1]))
                ):
                    self.descriptor(self.plain_text(words.pop()))
                # A redirection: the "&" of ">&2" and the "(" of "<(…)" end no command.
                self.pos += 2 if self.text[self.pos + 1 : self.pos + 2] in ("&", "<", ">") else 1
                redirected = True
            elif char == "&":
                return words
            else:
                word = self.word()
                if not redirected:
                    words.append(word)
                redirected = False


def _unquote_subscript(raw: str) -> str:
    return raw[1:-1] if len(raw) >= 2 and raw[0] == raw[-1] and raw[0] in "'\"" else raw


def _quoted_name(word: Word) -> list[str]:
    """What ``export "X=1"`` sets; ANYTHING for ``export "$NAME=1"``, nothing for a word without ``=``."""
    text = "".join(piece.text if piece.kind == "text" else "$" for piece in word.pieces)
    name, equals, _ = text.partition("=")
    name = name.removesuffix("+").partition("[")[0]
    return [] if not equals else [ANYTHING] if "$" in name else [name] if _NAMES.fullmatch(name) else []
