"""What a command line means by a range: a domain too many is shut down, or one too few."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site.domain_names import chosen
from snowha.site.names import check_domain_name

KNOWN = ("deploy01", "proxy01", "slurm01", "slurm02", "web-1")
DOTTED = ("db_01_02", "mail.example.org", "v2.10-rc_1")
"""Names as xl takes them, and names.check_domain_name."""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["slurm[01-02]"], ("slurm01", "slurm02")),
        (["slurm[02,01]", "slurm01"], ("slurm01", "slurm02")),
        (["slurm02", "deploy01"], ("slurm02", "deploy01")),
        (["deploy01,proxy01"], ("deploy01", "proxy01")),
        (["web-1"], ("web-1",)),
        (["domains"], KNOWN),
        (["proxy01", "domains"], ("proxy01", "deploy01", "slurm01", "slurm02", "web-1")),
    ],
)
def test_ranges_as_snow_and_pdsh_write_them(words: list[str], names: tuple[str, ...]) -> None:
    assert chosen(words, KNOWN) == names


@pytest.mark.parametrize("name", DOTTED)
def test_a_name_that_a_config_may_have_is_a_name_on_the_command_line(name: str) -> None:
    """Such a domain was migrated, and could then be neither booted nor shut down, moved nor shown by its name."""
    assert check_domain_name(name, where="here") == name
    assert chosen([name], DOTTED) == (name,)


def test_a_range_may_stand_within_a_dotted_name() -> None:
    assert chosen(["db_01_[02-03].a"], ("db_01_02.a", "db_01_03.a")) == ("db_01_02.a", "db_01_03.a")


def test_all_of_none_is_an_error() -> None:
    """A script would go on as if everything were shut down."""
    with pytest.raises(InputError, match="this site has no domains"):
        chosen(["domains"], ())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("slurm[01-03]", "there is no domain 'slurm03'"),
        ("slurm[1-2]", "there is no domain 'slurm1', 'slurm2'"),
        ("slurm[03-09]", "there is no domain 'slurm03', 'slurm04', 'slurm05' and 4 more (did you mean"),
        ("depoly01", "did you mean 'deploy01'"),
        ("n[01-99]", "sNow!'s own command"),
        ("slurm[01-02", "neither a domain nor a range"),
        ("slurm[1-999999999]", "neither a domain nor a range"),
        ("a[1-9][1-99999999999999999999999]", "neither a domain nor a range"),
        ("@all", "neither a domain nor a range"),
        ("slurm*", "neither a domain nor a range"),
        ("slurm01!slurm02", "neither a domain nor a range"),
        ("", "neither a domain nor a range"),
        ("; reboot", "neither a domain nor a range"),
    ],
)
def test_what_is_no_domain_of_the_site_is_refused_as_a_whole(word: str, said: str) -> None:
    """Half of what was meant would be done, or something else."""
    with pytest.raises(InputError) as caught:
        chosen(["deploy01", word], KNOWN)
    assert said in str(caught.value)
