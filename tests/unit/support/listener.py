"""A Reporter for tests of what a step does."""

from __future__ import annotations

from dataclasses import dataclass, field

from snowha.plan.step import Fact


@dataclass
class Listener:
    """Keeps what it is told."""

    said: list[str] = field(default_factory=list)
    """Also what was waited for."""
    facts: dict[str, Fact] = field(default_factory=dict)

    def say(self, text: str) -> None:
        self.said.append(text)

    def wait(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: float, total: float, unit: str = "") -> None:
        pass

    def fact(self, key: str, value: Fact) -> None:
        self.facts[key] = value
