"""A group of verbs that are imported when they are called: what one verb needs is not what the others wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True)
class Verb:
    """Where a verb is, and its help in one line, so that a group can be shown without its verbs being imported."""

    where: str
    """``module:attribute``, the module below ``snowha.cli``."""
    short: str
    """The first line of the verb's own help."""


class LazyGroup(click.Group):
    """Shows ``verbs`` in the order given, as they are written, and imports one when it is asked for."""

    def __init__(self, *words: Any, verbs: Mapping[str, Verb], **options: Any) -> None:
        super().__init__(*words, **options)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module, _, attribute = verb.where.partition(":")
        command = getattr(import_module(f"snowha.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.short) for name, verb in self.verbs.items()])
