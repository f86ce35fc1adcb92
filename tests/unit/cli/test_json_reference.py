"""The page of what `--json` prints: a script that is written after it must find what it says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from snowha.cli import json_reference
from snowha.cli.lazy import LazyGroup
from snowha.cli.tree import snow
from snowha.plan import events

PAGE = Path(__file__).parents[3] / "docs/json.md"


def help_of_json(words: str) -> str:
    command: click.Command = snow
    for word in words.split():
        assert isinstance(command, LazyGroup)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return next(one.help or "" for one in command.params if isinstance(one, click.Option) and "--json" in one.opts)


def test_the_page_is_made_of_the_code_of_today() -> None:
    """python -m snowha.cli.json_reference > docs/json.md"""
    assert PAGE.read_text(encoding="utf-8") == json_reference.document()


def test_every_verb_that_answers_with_more_than_events_has_its_answer_there() -> None:
    """A new verb would be on no page, and one that is gone would stay on it."""
    verbs = [*json_reference.verbs_with_json()]
    assert len(verbs) > 30
    assert {one for one in verbs if help_of_json(one) != "Events as JSON lines."} == set(json_reference.ANSWERS)


def test_every_event_is_there_with_what_is_printed_of_it() -> None:
    values: dict[str, Any] = {"error": ValueError("x"), "at": 0.0}
    for kind in json_reference.event_kinds(events.Event):
        given: dict[str, Any] = {one.name: values.get(one.name, 1) for one in dataclasses.fields(kind)}
        event = kind(**given)
        printed = json.loads(events.to_json(event))
        row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{printed['event']}` |"))
        assert all(f"`{name}`" in row for name in set(printed) - {"event", "at", "step", "title", "section"})


def test_a_field_has_the_text_that_stands_below_it_in_the_code() -> None:
    page = PAGE.read_text()
    assert "| `state` | string | `running`, `off`, `twice`, `unknown`" in page
    assert "| `free_memory_mib` | number or null |" in page
    assert "null: it did not end" in page or "null: there is none" in page
