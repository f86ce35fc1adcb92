"""Which steps a run is about."""

from __future__ import annotations

import pytest

from snowha.errors import InputError, SiteError
from snowha.plan.selection import select
from snowha.plan.step import Reporter, Step


def step(name: str, *needs: str, section: str = "servers", domain: str = "") -> Step:
    def apply(reporter: Reporter) -> None:
        return None

    return Step(name, name, section, lambda: None, apply, needs=needs, domain=domain)


STEPS = [
    step("servers.packages.a"),
    step("servers.packages.b"),
    step("images.x", "servers.packages.a", section="images", domain="x"),
    step("images.y", "servers.packages.a", section="images", domain="y"),
    step("pacemaker.cib", "images.x", "images.y", "servers.packages.b", section="pacemaker"),
]


def ids(**words: object) -> list[str]:
    return [one.id for one in select(STEPS, known=("x", "y"), **words)]  # type: ignore[arg-type]


def test_up_to_a_step_with_all_that_it_needs_and_nothing_else() -> None:
    """A domain would be shut down that nobody asked to move, or a step fail for want of another."""
    assert ids(until_step="images.x") == ["servers.packages.a", "images.x"]
    assert ids(until_step="images") == ["servers.packages.a", "images.x", "images.y"]
    assert ids(until_step="servers.packages") == ["servers.packages.a", "servers.packages.b"]
    assert ids(until_step="pacemaker.cib") == [one.id for one in STEPS] == ids()


def test_a_domain_alone() -> None:
    assert ids(domains=("y",)) == ["servers.packages.a", "images.y"]


def test_one_step_alone_carries_out_nothing_else() -> None:
    """`--only` would install packages on the way."""
    chosen = select(STEPS, only_step="images.x")
    assert [one.id for one in chosen] == ["servers.packages.a", "images.x"]
    with pytest.raises(SiteError, match="neither done nor selected") as caught:
        chosen[0].apply(None)  # type: ignore[arg-type]
    assert "--until servers.packages.a" in caught.value.remedy
    assert chosen[1] is STEPS[2]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ({"until_step": "image.x"}, "images.x"),
        ({"only_step": "pacemakr"}, "pacemaker"),
        ({"domains": ("xx",)}, "x"),
        ({"domains": ("nothing-like-it",)}, "x, y"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_nearest(words: dict[str, object], hint: str) -> None:
    """All steps would be carried out for a typing mistake, or none and no reason given."""
    with pytest.raises(InputError) as caught:
        ids(**words)
    assert hint in caught.value.remedy


def test_a_step_that_is_called_as_its_section_is_offered_once() -> None:
    """ "did you mean snow.conf or snow.conf?" """
    with pytest.raises(InputError) as caught:
        select([*STEPS, step("snow.conf", section="snow.conf")], until_step="snow.cnf")
    assert caught.value.remedy.count("snow.conf") == 1


def test_choices_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be combined"):
        ids(until_step="images", domains=("x",))
