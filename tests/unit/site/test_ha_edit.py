"""A domain added to ha.toml, and taken out: nothing else of an administrator's file changes."""

from __future__ import annotations

import difflib

import pytest

from snowha.errors import InputError
from snowha.site import ha_toml
from snowha.site.ha_edit import with_domain, without_domain

TEXT = """\
# by hand
[cluster]
name = "snow"

[paths]
snow_conf = "/sNow/etc/snow.conf"
domain_configs = "/sNow/etc/domains"
images = "/sNow/domains"

[[server]]
name = "snow01"
address = "192.168.8.1"
links = ["192.168.8.1"]

[[server]]
name = "snow02"
address = "192.168.8.2"
links = ["192.168.8.2"]

# the domains
[[domain]]
name = "deploy01"  # the first

[[domain]]
name = 'slurm01'

[[domain]]
name = "slurm02"

# pairs
[[apart]]
domains = ["slurm01", "slurm02"]
"""


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-" and line[2:].strip()]


def test_a_domain_comes_behind_the_others_and_changes_no_line() -> None:
    after = with_domain(TEXT, "new01", where="ha.toml")
    assert changed(TEXT, after) == ["+ [[domain]]", '+ name = "new01"']
    assert ha_toml.parse(after, where="").domains == ("deploy01", "slurm01", "slurm02", "new01")
    assert without_domain(after, "new01", where="ha.toml") == TEXT


def test_a_group_to_keep_apart_comes_with_it() -> None:
    after = with_domain(TEXT, "slurm03", ("slurm01", "slurm02", "slurm03"), where="ha.toml")
    assert ha_toml.parse(after, where="").apart == (("slurm01", "slurm02"), ("slurm01", "slurm02", "slurm03"))
    back = without_domain(after, "slurm02", where="ha.toml")
    assert ha_toml.parse(back, where="").apart == (("slurm01", "slurm03"),)


def test_a_domain_that_goes_leaves_no_group_of_one() -> None:
    """ha.toml would be refused by every verb from then on."""
    after = without_domain(TEXT, "slurm01", where="ha.toml")
    assert ha_toml.parse(after, where="").domains == ("deploy01", "slurm02")
    gone = {"[[domain]]", "name = 'slurm01'", "[[apart]]", 'domains = ["slurm01", "slurm02"]'}
    lines = changed(TEXT, after)
    assert {line[2:] for line in lines} == gone and {line[0] for line in lines} == {"-"}


@pytest.mark.parametrize("name", ["deploy01", "slurm01", "slurm02"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_domain_can_go_and_come_back(name: str, end: str) -> None:
    text = TEXT.replace("\n", end)
    gone = without_domain(text, name, where="ha.toml")
    assert name not in ha_toml.parse(gone, where="").domains
    assert set(ha_toml.parse(with_domain(gone, name, where=""), where="").domains) == {"deploy01", "slurm01", "slurm02"}
    assert end == "\n" or "\n" not in gone.replace("\r\n", "")


def test_the_last_domain_goes_and_the_first_comes() -> None:
    text = TEXT
    for name in ("deploy01", "slurm01", "slurm02"):
        text = without_domain(text, name, where="ha.toml")
    assert ha_toml.parse(text, where="").domains == ()
    assert ha_toml.parse(with_domain(text, "new01", where=""), where="").domains == ("new01",)


@pytest.mark.parametrize("edit", [with_domain, without_domain])
def test_what_is_written_in_another_way_is_refused_and_not_mangled(edit: object) -> None:
    domains = TEXT.index("# the domains")
    inline = 'domain = [{name = "deploy01"}]\n' + TEXT[:domains]
    with pytest.raises(InputError, match="cannot be written"):
        edit(inline, "new01" if edit is with_domain else "deploy01", where="ha.toml")  # type: ignore[operator]
