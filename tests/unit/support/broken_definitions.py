"""Copies of ha.toml on two servers, and what makes each finding of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snowha.site import definition
from snowha.site.definition import Definition

TEXT = "# ha.toml\n[cluster]\nname = 'snow'\n"
OTHER = TEXT.replace("snow", "rain")
OLD, NEW = definition.copy_of(TEXT, 1_700_000_000), definition.copy_of(OTHER, 1_700_000_100)


@dataclass(frozen=True)
class Case:
    """What each server keeps, and what the run was given."""

    kept: Mapping[str, str | None]
    given: Definition = field(default_factory=lambda: Definition(OLD))


WELL = Case({"snow01": OLD, "snow02": OLD})
CASES: dict[str, Case] = {
    "definition-differs": Case({"snow01": OLD, "snow02": NEW}),
    "definition-other": Case({"snow01": OLD, "snow02": OLD}, Definition(NEW)),
}
"""By the code of the finding that it makes."""
