"""Whether all servers keep the same ha.toml, and whether it is the one that this run was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snowha.health.findings import CLUSTER, Finding, found
from snowha.site import definition
from snowha.site.definition import Definition

_SHOWN = 8
"""Digits of a digest that are shown: enough to tell two files apart."""


def evaluate(kept: Mapping[str, str | None], given: Definition) -> Iterator[Finding]:
    """What is wrong with the copies. ``kept``: their text by server, None where there is none; without the servers that could not
    be asked. Nothing is said of a site that keeps none yet."""
    there = {server: text for server, text in kept.items() if text is not None}
    bodies = {definition.body(text) for text in there.values()}
    if not there:
        return
    if len(bodies) > 1 or len(there) < len(kept) or not all(map(_is_whole, there.values())):
        said = "; ".join(f"{server} {_said(text)}" for server, text in kept.items())
        yield found("definition-differs", CLUSTER, f"the servers keep different versions of ha.toml: {said}")
    elif given.text and definition.body(given.text) not in bodies:
        server, text = next(iter(there.items()))
        message = f"this ha.toml differs from the one that the servers keep: it is {_said(given.text)}; {server} {_said(text)}"
        yield found("definition-other", server, message)


def _is_whole(text: str) -> bool:
    copy = definition.read(text)
    return copy is not None and copy.is_whole


def _said(text: str | None) -> str:
    if text is None:
        return "has none"
    copy = definition.read(text)
    shown = definition.digest(definition.body(text))[:_SHOWN]
    if copy is None:
        return f"{shown}, put there by hand"
    return f"{shown} of {copy.edited}" if copy.is_whole else f"{shown}, edited there since {copy.edited}"
