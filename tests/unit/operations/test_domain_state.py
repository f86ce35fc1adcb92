"""What is said of a domain that has no console: its remedy must not start it a second time, or send the reader away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snowha.errors import SiteError, SnowError, UnreachableError
from snowha.operations.domain_state import DomainState
from snowha.xen.xl import Running

HERE = Running("deploy01", 5, 512, 1, "-b----", 1.0)


def refused(running: dict[str, Running], silent: dict[str, str]) -> SnowError:
    with pytest.raises(SnowError) as caught:
        DomainState("deploy01", running, silent, None).only_one()
    return caught.value


def test_a_domain_that_runs_once_has_a_console_whatever_is_lost() -> None:
    assert DomainState("deploy01", {"snow01": HERE}, {"snow02": "lost"}, None).only_one() == ("snow01", HERE)


def test_a_server_that_does_not_answer_may_run_it() -> None:
    """`console` said "snow boot deploy01", with exit code 4, while the servers did not answer."""
    error = refused({}, {"snow01": "it does not answer"})
    assert isinstance(error, UnreachableError)
    assert "snow01 cannot tell" in error.message and "snow boot" not in error.remedy


def test_of_two_one_is_to_be_shut_down() -> None:
    error = refused({"snow01": HERE, "snow02": HERE}, {})
    assert isinstance(error, SiteError) and "xl shutdown deploy01" in error.remedy


def test_one_that_is_off_can_be_booted() -> None:
    assert refused({}, {}).remedy == "snow boot deploy01"


@pytest.mark.parametrize("other", ["deploy01--incoming", "deploy01--migratedaway"])
def test_a_domain_that_is_being_migrated_has_the_console_of_the_half_that_has_its_name(other: str) -> None:
    """During each live migration `snow console` said to shut one of the two down: whoever typed that ended the domain."""
    halves = {"snow01": HERE, "snow02": replace(HERE, name=other)}
    assert DomainState("deploy01", halves, {}, None).only_one() == ("snow01", HERE)


def test_a_domain_that_changes_sides_is_waited_for() -> None:
    """For a moment neither half has its name."""
    halves = [replace(HERE, name=f"deploy01--{part}") for part in ("migratedaway", "incoming")]
    error = refused(dict(zip(("snow01", "snow02"), halves, strict=True)), {})
    assert "is being migrated on snow01 and snow02" in error.message
    assert "shut" not in error.remedy and "wait until it has arrived" in error.remedy
