"""The command lines that documents, messages and packages tell a reader to type: ``snow`` takes each of them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snowha.cli.tree import snow
from snowha.cli.values import Amount
from snowha.errors import InputError

ROOT = Path(__file__).parents[2]
# Not CHANGELOG.md, which tells of what earlier versions had.
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md", "docs/ha.toml.sample")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.yml")),
    *sorted((ROOT / "share" / "prometheus").glob("*.yml")),
    *sorted(
        path for path in (ROOT / "debian").rglob("*") if path.is_file() and path.name not in ("changelog", "copyright")
    ),
]
SOURCES = [*sorted((ROOT / "src" / "snowha").rglob("*.py")), *sorted((ROOT / "src" / "snowha").rglob("*.pl"))]
MANUAL = ROOT / "docs" / "man" / "snow.1"

_BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_TYPED = re.compile(r"^(?:sudo |watch )*(?:[\w./]*/)?snow(?:-ha)? (.+)", re.MULTILINE)
_NAMED = re.compile(
    rf"(?<![\w./-])snow(?:-ha)? ((?:-\S+ )*(?:{'|'.join(snow.list_commands(click.Context(snow)))})\b.*)"
)
_END = re.compile(r" +#| *(?<!\\)[;|>)]| && | \(|\. |, |: | \\| \{\{|$")
# What the documents say of sNow!'s own command, whose words these are.
_SNOWS_OWN = {"deploy", "chroot", "nodes"}
_STRICT = (click.Choice, Amount)


class Mistyped(Exception):
    """What ``snow`` would answer."""


def test_every_command_line_of_the_documents_is_taken() -> None:
    """Who copies a line at night would be told that there is no such verb or option."""
    said = [
        (str(path.relative_to(ROOT)), line, whole)
        for path in DOCUMENTS
        for line, whole in _of_document(path.read_text())
    ]
    assert len(said) > 200
    refused = _refused(said)
    assert not refused, "\n".join(refused)


def test_every_command_line_of_the_manual_is_taken() -> None:
    """The examples of the manual page are what is tried first."""
    text = re.sub(r"\\([-(])", r"\1", MANUAL.read_text())
    examples = [
        line
        for block in re.findall(r"^\.EX\n(.*?)^\.EE", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    said = [("snow.1", match[1], True) for line in examples if (match := _TYPED.match(line))]
    assert len(said) > 4
    refused = _refused(said)
    assert not refused, "\n".join(refused)


def test_every_command_line_of_a_message_is_taken() -> None:
    """A remedy that names a verb or an option that is not there is none."""
    said = [(path.name, line, False) for path in SOURCES for text in _strings(path) for line in _NAMED.findall(text)]
    assert len(said) > 200
    refused = _refused(said)
    assert not refused, "\n".join(refused)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ha chekc", "no verb"),
        ("ha check --jsn", "--jsn"),
        ("images copy", "lacks DOMAIN"),
        ("boot", "lacks"),
        ("undrain snow01 snow02", "too many"),
        ("images copy proxy01 --rate fast", "fast"),
        ("lab power snow01 out", "out"),
        ("-f ha.toml status", "-f"),
    ],
)
def test_a_line_that_is_not_taken_is_found(line: str, why: str) -> None:
    """The tests above would say nothing of a verb that was renamed."""
    with pytest.raises(Mistyped, match=re.escape(why)):
        _take(shlex.split(line), whole=True)


def _of_document(text: str) -> Iterator[tuple[str, bool]]:
    """What stands behind ``snow`` in lines to type and in the text, and whether it is meant to be complete."""
    for block in _BLOCK.findall(text):
        for match in _TYPED.finditer(block):
            yield match[1], True
    for span in _SPAN.findall(_BLOCK.sub("", text)):
        if named := _TYPED.match(span):
            yield named[1], False


def _strings(path: Path) -> Iterator[str]:
    """Texts of a source file; in the place of what is filled in a word in capitals."""
    if path.suffix == ".pl":
        yield from re.findall(r'"((?:[^"\\\n]|\\.)*)"', path.read_text())
        return
    inside = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "FILLED" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _refused(said: list[tuple[str, str, bool]]) -> list[str]:
    found = []
    for place, line, whole in said:
        words = _words(line)
        try:
            _take(words, whole=whole)
        except Mistyped as error:
            found.append(f"{place}: snow {' '.join(words)}: {error}")
    return found


def _words(line: str) -> list[str]:
    """Up to a comment, a pipe or the end of the sentence; brackets and dots of a synopsis removed."""
    line = line.split("`")[0]
    line = line[: _END.search(line).start()]  # type: ignore[union-attr]
    line = re.sub(r"(?<!\w)\[|\](?=\s|$)", "", line.replace("\\|", "|").replace("…", "").replace("\\n", ""))
    return [word.strip("'\"") for word in line.split()]


def _take(words: list[str], *, whole: bool) -> None:
    """Walk down to the verb, and let it parse the rest as click does."""
    command: click.Command = snow
    context = click.Context(snow, info_name="snow")
    while isinstance(command, click.Group):
        _, words = _parsed(command, context, words)
        if not words:
            return
        if words[0] in _SNOWS_OWN and command.get_command(context, words[0]) is None:
            return
        below = command.get_command(context, words[0])
        if below is None:
            raise Mistyped(f"no verb {words[0]}")
        context = click.Context(below, info_name=words[0], parent=context, **below.context_settings)
        command, words = below, words[1:]
    given, rest = _parsed(command, context, words)
    if words[:1] == ["snow"]:  # behind `snow lab exec`
        _take(words[1:], whole=whole)
    if rest:
        raise Mistyped(f"too many words: {' '.join(rest)}")
    for param in command.params:
        value = given.get(str(param.name))
        words = [value] if isinstance(value, str) else [*value] if isinstance(value, (tuple, list)) else []
        if whole and param.required and not words:
            raise Mistyped(f"lacks {str(param.name).upper()}")
        for word in words:
            _convert(word, param, context)


def _parsed(command: click.Command, context: click.Context, words: list[str]) -> tuple[dict[str, object], list[str]]:
    try:
        options, rest, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        if isinstance(error, click.BadOptionUsage) and not isinstance(error, click.NoSuchOption):
            return {}, []  # an option that is named without its value
        raise Mistyped(error.format_message()) from error
    return dict(options), rest


def _convert(word: str, param: click.Parameter, context: click.Context) -> None:
    """What is no placeholder (those are in capitals) has the type that the verb takes."""
    if word.isupper() or "|" in word or not isinstance(param.type, _STRICT):
        return
    try:
        param.type.convert(word, param, context)
    except click.UsageError as error:
        raise Mistyped(error.format_message()) from error
    except InputError as error:
        raise Mistyped(str(error)) from error
