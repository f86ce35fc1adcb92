"""A group of verbs that are imported when they are called: what one verb needs is not what the others wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from snowha.cli import verbosity

_SNOWS = frozenset(
    {"config", "update", "deploy", "clone", "set", "chroot", "takeover", "cmd", "cluster"}
    | {"node", "nodes", "role", "roles", "template", "templates", "image", "images"}
)
"""Words of sNow!'s own command (sbin/snow of 1.1.16) that are not about what runs on the servers."""
_SNOWS_OPTIONS = {"help": "--help", "version": "--version"}
"""What sNow!'s own command has as a word, and this one as an option."""

_MAKE_DOMAINS = ("deploy", "clone")
"""Verbs of sNow!'s that would make a domain behind Pacemaker's back."""


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
        self._imported: set[str] = set()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module, _, attribute = verb.where.partition(":")
        command = getattr(import_module(f"snowha.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        if cmd_name not in self._imported and not isinstance(command, click.Group):
            verbosity.with_output_options(command)
        self._imported.add(cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it; an option that is one of a verb's is said to stand behind that."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            name = error.option_name
            raise click.UsageError(
                f"No such option {name!r} here. Options of a verb come after it: {ctx.command_path} VERB {name}",
                ctx,
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; a name that is no verb's is handed on to sNow!'s own command if it is about compute nodes, else
        answered with those that are like it, here or one group away."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.verbs and not ctx.resilient_parsing:
            from snowha.cli import snows_command  # what it needs is not what a right word waits for

            snows_command.hand_on_unknown([*_groups(ctx), *args])
            ctx.fail(f"there is no command {name!r} here. {self._hint(ctx, name)}")
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: click.Context, name: str) -> str:
        near = [f"{ctx.command_path} {verb}" for verb in get_close_matches(name.lower(), self.verbs, n=3)]
        root = ctx.find_root().command
        if isinstance(root, LazyGroup):
            for group, verb in root.verbs.items():
                # a group of the tree is there already; a verb's module would be imported for nothing
                found = root.get_command(ctx, group) if verb.where.startswith("tree:") else None
                if isinstance(found, LazyGroup) and found is not self and name.lower() in found.verbs:
                    near.append(f"{ctx.find_root().command_path} {group} {name.lower()}")
        if self is root and name in _SNOWS_OPTIONS:
            near.insert(0, f"{ctx.command_path} {_SNOWS_OPTIONS[name]}")
        if self is root and name in _MAKE_DOMAINS:
            near.insert(0, f"{ctx.command_path} add domain")
        told = [f"Did you mean {' or '.join(f'`{one}`' for one in near)}?"] if near else []
        if name in _SNOWS:
            from snowha.cli.snows_command import PLACES

            first, second = PLACES
            told.append(f"sNow!'s own command has it: {first}, or {second} of 2.0.")
        return " ".join(told) or f"There {'are' if len(self.verbs) > 1 else 'is'} {', '.join(self.verbs)}."

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.short) for name, verb in self.verbs.items()])


def _groups(ctx: click.Context) -> list[str]:
    """The words of the command line that led to ``ctx``, without the command's own name."""
    return [*_groups(ctx.parent), str(ctx.info_name)] if ctx.parent is not None else []
