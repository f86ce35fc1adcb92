"""Whether all servers keep the same ha.toml."""

from __future__ import annotations

import pytest
from broken_definitions import CASES, NEW, OLD, OTHER, TEXT, WELL, Case

from snowha.health.catalogue import KINDS
from snowha.health.definition_copies import evaluate
from snowha.health.findings import Finding
from snowha.site import definition
from snowha.site.definition import Definition


def judged(case: Case) -> list[Finding]:
    return list(evaluate(case.kept, case.given))


@pytest.mark.parametrize("code", CASES)
def test_copies_that_differ_are_found(code: str) -> None:
    """Two administrators on two servers would each undo what the other one has done."""
    (found,) = judged(CASES[code])
    assert (found.code, found.severity) == (code, KINDS[code].severity)
    assert "{" not in found.remedy and "snow ha" in found.remedy


def test_nothing_is_said_of_copies_that_are_alike_nor_of_a_site_that_keeps_none_yet() -> None:
    """Every site of an earlier version would be warned of, before it can do anything about it."""
    assert judged(WELL) == []
    assert judged(Case({"snow01": None, "snow02": None})) == []


def test_which_server_has_which_one_is_told_and_from_when_it_is() -> None:
    """Somebody has to choose, and cannot by the names of two servers."""
    (found,) = judged(CASES["definition-differs"])
    assert f"snow01 {definition.digest(TEXT)[:8]} of 2023-11-14T22:13:20Z" in found.message
    assert f"snow02 {definition.digest(OTHER)[:8]} of 2023-11-14T22:15:00Z" in found.message


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "snow02 has none"), (OLD + "#\n", "edited there since 2023"), (TEXT, "put there by hand")],
)
def test_a_copy_that_is_missing_or_was_edited_is_told_as_that(text: str | None, said: str) -> None:
    """An edit that nobody has applied would be lost by the next apply from elsewhere."""
    (found,) = judged(Case({"snow01": OLD, "snow02": text}))
    assert found.code == "definition-differs" and said in found.message


def test_a_copy_says_when_it_was_edited_and_stays_as_it_is_when_it_is_copied_on() -> None:
    """A plan that is made twice would differ from itself, and a saved one be refused."""
    copy = definition.read(OLD)
    assert copy is not None and copy.is_whole
    assert (copy.body, copy.edited) == (TEXT, "2023-11-14T22:13:20Z")
    assert definition.copy_of(OLD, 1_800_000_000) == OLD
    again = definition.read(definition.copy_of(OLD + "# more\n", 1_800_000_000))
    assert again is not None and again.is_whole and again.body == TEXT + "# more\n" and again.edited > copy.edited
    assert definition.read(TEXT) is None and definition.body(TEXT) == TEXT == definition.body(OLD)


def test_what_the_run_was_given_counts_by_what_it_says_not_by_when_it_was_edited() -> None:
    """`touch ha.toml` would be a warning."""
    assert judged(Case(WELL.kept, Definition(definition.copy_of(TEXT, 1_900_000_000)))) == []
    assert NEW != OLD
