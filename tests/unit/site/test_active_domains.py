"""active-domains.conf: roles decide which domains stand in for each other, line numbers decide IP and MAC."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site.active_domains import ActiveDomain, parse

TEXT = """\
# Here you can define the role to be deployed in your domains
#    /sNow/snow-tools/etc/role.d/[role-name]
snow01       snow
deploy01     deploy

slurm01      slurmctld-master   # the first
login01\tlogin,cfs
bare01
"""


def test_names_roles_and_lines_are_read() -> None:
    assert parse(TEXT, where="active-domains.conf") == (
        ActiveDomain("snow01", ("snow",), 3),
        ActiveDomain("deploy01", ("deploy",), 4),
        ActiveDomain("slurm01", ("slurmctld-master",), 6),
        ActiveDomain("login01", ("login", "cfs"), 7),
        ActiveDomain("bare01", (), 8),
    )


def test_names_that_xl_takes_are_taken() -> None:
    """One of them ended `snow ha init`, whatever domains it was to be for."""
    assert [entry.name for entry in parse("web_01.example  web\nSNOW01 snow\n", where="x")] == [
        "web_01.example",
        "SNOW01",
    ]


def test_a_server_is_not_taken_for_a_domain_to_migrate() -> None:
    assert [entry.name for entry in parse(TEXT, where="x") if "snow" in entry.roles] == ["snow01"]


@pytest.mark.parametrize("line", ["a;reboot deploy", "../../etc deploy", "deploy02 a;b", "deploy01 other", "-x y"])
def test_a_line_that_cannot_be_meant_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"{TEXT}{line}\n", where="active-domains.conf")
    assert caught.value.where == "active-domains.conf:9"
