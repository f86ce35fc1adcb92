"""docs/guide.md: every step is beside what it replaces."""

from __future__ import annotations

from pathlib import Path

from simulated import SECRET, single_server

from snowha.migration.steps import all_steps

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"


def test_the_guide_names_every_step() -> None:
    """An administrator who knows the guide would not learn what a step of the plan is for."""
    context, _, hosts = single_server()
    text = GUIDE.read_text()
    # a step for each server or domain is named once, with the upper-case word in place of the name
    names = {server.name: "SERVER" for server in context.site.servers} | {
        domain.name: "DOMAIN" for domain in context.site.domains
    }
    kinds = set()
    for step in all_steps(context, {host.name: SECRET for host in hosts}):
        head, _, last = step.id.rpartition(".")
        kinds.add(f"{head}.{names[last]}" if last in names else step.id)
    assert sorted(kind for kind in kinds if f"`{kind}`" not in text) == []
