"""sNow!'s own command, which has the compute nodes: what is about them is handed on to it.

It is looked for in its own folders, and never by its name: both commands may be called ``snow``.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NoReturn

import click
from click.core import ParameterSource

from snowha.cli import verbosity
from snowha.errors import CommandError, InputError, MachineError
from snowha.hosts.local import LocalHost
from snowha.hosts.read_only import read_only_script
from snowha.site import domain_names

PLACES = ("/sNow/snow-tools/sbin/snow", "/sNow/sbin/snow")
"""Of sNow! 1.x and 2.0 (etc/profile.d/snow.sh and share/snow-env.sh there, which put these folders first in root's PATH)."""
_GROUPS = frozenset({"list", "show", "add", "remove", "clone", "set"})
_NOUNS = frozenset({"node", "nodes", "role", "roles", "template", "templates", "image", "images"})
_NODE_VERBS = frozenset({"deploy", "cmd"})
"""Verbs that only sNow! has, and that take compute nodes or domains."""
_CLUSTER = "cluster"
"""sNow!'s word before the name of a cluster of compute nodes."""
_TIMEOUT_S = 15.0
"""Seconds: /sNow is on the shared storage, which may hang."""

# A copy of this project's command, or a link to it, would call itself for ever.
_FIND = read_only_script(
    """for own; do
    if [ -f "$own" ] && [ -x "$own" ] && ! grep -q -a snowha -- "$own"; then
        printf '%s\\n' "$own"
        cat -- "${own%/sbin/*}/etc/nodes.json" 2> /dev/null
        exit 0
    fi
done
exit 1
"""
)


@dataclass(frozen=True)
class SnowsCommand:
    """Where it is on this machine, and the compute nodes that its nodes.json names."""

    path: str
    nodes: frozenset[str]


def find() -> SnowsCommand | None:
    """None where it is not, or where its folder does not answer."""
    try:
        done = LocalHost().run(["sh", "-c", _FIND, "sh", *PLACES], check=False, timeout=_TIMEOUT_S)
    except CommandError:
        return None
    path, _, text = done.stdout.partition("\n")
    return SnowsCommand(path, _nodes(text)) if done.ok else None


def hand_on(command: SnowsCommand, words: Sequence[str]) -> NoReturn:
    """Become sNow!'s command with ``words``. Raises MachineError if it cannot be executed."""
    verbosity.say(f"passed on to sNow!'s own command: {shlex.join([command.path, *words])}")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(command.path, [command.path, *words])
    except OSError as error:
        raise MachineError(
            error.strerror or "it cannot be executed", where=command.path, remedy="check sNow!'s command"
        ) from error


def hand_on_unknown(words: Sequence[str]) -> None:
    """Become sNow!'s command if ``words``, which this command does not have, are about compute nodes. Else return."""
    verb, *rest = words
    noun = rest[0] if rest else ""
    if not (verb == "chroot" or verb in _NODE_VERBS or (verb in _GROUPS and noun in _NOUNS)):
        return
    command = find()
    if command is None or (verb in _NODE_VERBS and not _are_nodes(noun, command)):
        return
    hand_on(command, words)


def hand_on_nodes(verb: str, names: Sequence[str], domains: Collection[str]) -> None:
    """Become sNow!'s command if ``names``, the words behind ``verb``, are compute nodes and no domains. Else return.

    Raises InputError where domains are named with them, or options that sNow!'s command does not have.
    """
    first, *rest = names
    meant = domain_names.meant([first])  # nothing for the word that means all domains
    if not meant or set(meant) & set(domains):
        return
    command = find()
    if command is None or not (first == _CLUSTER or _are_nodes(first, command)):
        return
    mixed = next((word for word in rest if word == domain_names.ALL or word in domains), None)
    if mixed is not None:
        raise InputError(f"{first} names compute nodes, and {mixed} domains", remedy="use one command for each")
    if given := _options_given():
        raise InputError(
            f"{first} names compute nodes, and sNow!'s own command has no option {given[0]}", remedy="leave it out"
        )
    hand_on(command, [verb, *names])


def _are_nodes(word: str, command: SnowsCommand) -> bool:
    """Whether every name that ``word`` means is a compute node."""
    try:
        names = domain_names.meant([word])
    except InputError:
        return False
    return bool(names) and set(names) <= command.nodes


def _options_given() -> list[str]:
    """Options of the verb that is carried out, but for those that every verb has."""
    context = click.get_current_context()
    return [
        max(one.opts, key=len)
        for one in context.command.params
        if isinstance(one, click.Option)
        and one.name != "file"
        and one.expose_value
        and context.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE
    ]


def _nodes(text: str) -> frozenset[str]:
    """Of nodes.json: ``{"compute": {NAME: …}}``. None if that is not what it is."""
    try:
        data = json.loads(text)
    except ValueError:
        return frozenset()
    compute = data.get("compute") if isinstance(data, dict) else None
    return frozenset(map(str, compute)) if isinstance(compute, dict) else frozenset()
