"""``python -m snowha.cli.man > docs/man/snow.1``: the manual page, of the same words as ``--help``.

What no verb says of itself (exit status, files, examples) is in ``snow.1.in``, in the language of man(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import resources

import click

from snowha import __version__
from snowha.cli.lazy import LazyGroup
from snowha.cli.tree import snow

_SIGNS = {"\\": "\\e", "-": "\\-", "…": "...", "→": "\\(->", "'": "\\(aq"}


def page() -> str:
    """All of it."""
    template = resources.files("snowha.cli").joinpath("snow.1.in").read_text(encoding="utf-8")
    parts = {
        "VERSION": __version__,
        "SYNOPSIS": "\n".join(line for words, verb in _verbs() for line in _synopsis(words, verb)),
        "OPTIONS": "\n".join(_options(snow)),
        "VERBS": "\n".join(_verbs_of(_alone())),
        "GROUPS": "\n".join(line for name in _groups() for line in _section(name)),
    }
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], template)


def _verbs() -> Iterator[tuple[str, click.Command]]:
    """In the order of the groups; verbs that stand alone first."""
    yield from ((f"snow {verb}", command) for verb, command in _alone())
    for name in _groups():
        yield from ((f"snow {name} {verb}", command) for verb, command in _commands(name))


def _groups() -> list[str]:
    return [name for name, verb in snow.verbs.items() if verb.where.startswith("tree:")]


def _alone() -> Iterator[tuple[str, click.Command]]:
    """Verbs without a group."""
    for name in snow.verbs:
        if name not in _groups():
            command = snow.get_command(click.Context(snow), name)
            assert command is not None
            yield name, command


def _group(name: str) -> LazyGroup:
    found = snow.get_command(click.Context(snow), name)
    assert isinstance(found, LazyGroup)
    return found


def _commands(group: str) -> Iterator[tuple[str, click.Command]]:
    found = _group(group)
    for name in found.verbs:
        command = found.get_command(click.Context(snow), name)
        assert command is not None
        yield name, command


def _section(group: str) -> Iterator[str]:
    """What a group is for, and its verbs."""
    yield f".SH SNOW {group.upper()}"
    yield from _paragraphs(_group(group), ".PP")
    yield from _verbs_of(_commands(group))


def _synopsis(words: str, command: click.Command) -> Iterator[str]:
    yield f'.SY "{words}"'
    for option in _shown(command):
        repeated = "..." if option.multiple else ""
        yield f".RB [ {_text(option.opts[0])}" + (
            f' " \\fI{_text(_value(option))}\\fR" ]{repeated}' if _value(option) else " ]"
        )
    yield from (f".I {_text(_argument(argument))}" for argument in _arguments(command))
    yield ".YS"


def _verbs_of(commands: Iterable[tuple[str, click.Command]]) -> Iterator[str]:
    for name, command in commands:
        arguments = "".join(f" \\fI{_text(_argument(argument))}\\fR" for argument in _arguments(command))
        yield ".TP"
        yield f"\\fB{name}\\fR{arguments}"
        yield from _paragraphs(command, ".IP")
        options = list(_options(command))
        if options:
            yield from (".RS", *options, ".RE")


def _paragraphs(command: click.Command, between: str) -> Iterator[str]:
    for number, paragraph in enumerate((command.help or "").split("\n\n")):
        if number:
            yield between
        yield prose(" ".join(paragraph.split()))


def _options(command: click.Command) -> Iterator[str]:
    for option in _shown(command):
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in sorted(option.opts, key=len))
        yield ".TP"
        yield f"{names} \\fI{_text(_value(option))}\\fR" if _value(option) else names
        default = f" Default: {option.default}." if option.show_default else ""
        yield prose(f"{option.help}{default}")


def _shown(command: click.Command) -> Iterator[click.Option]:
    return (one for one in command.params if isinstance(one, click.Option) and not one.hidden and one.name != "version")


def _arguments(command: click.Command) -> Iterator[click.Argument]:
    return (one for one in command.params if isinstance(one, click.Argument))


def _argument(argument: click.Argument) -> str:
    return argument.metavar or _choices(argument) or (argument.name or "").upper()


def _value(option: click.Option) -> str:
    """What stands behind the option; empty for a flag."""
    return "" if option.is_flag else option.metavar or _choices(option) or option.type.name.upper()


def _choices(parameter: click.Parameter) -> str:
    return "|".join(map(str, parameter.type.choices)) if isinstance(parameter.type, click.Choice) else ""


def prose(text: str) -> str:
    """A line for each sentence; what stands between backticks is bold."""
    marked = re.sub(r"`([^`]*)`", "\\\\fB\\1\\\\fR", _text(text))
    return "\n".join(re.sub(r"^(?=[.'])", r"\\&", line) for line in re.split(r"(?<=[.?]) (?=[A-Z])", marked))


def _text(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in text)


if __name__ == "__main__":
    print(page(), end="")
