"""Fencing: a power state misread, or a password that leaks or is mangled, and the wrong thing happens in the dark."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from cluster_sites import server
from hypothesis import given, settings
from hypothesis import strategies as st

from snowha.cluster.fencing import parse_status, probe_argv, probe_input, reason_in, render_password_script, tools
from snowha.errors import InputError, UnreachableError
from snowha.site.model import FenceDevice

SCRIPT = "/etc/snow-ha/fence/snow01"

REFUSED = """\
2026-11-24 10:12:01,120 ERROR: Failed: Unable to obtain correct plug status or plug is not available


"""
NO_IPMITOOL = """\
2026-11-24 10:12:01,120 ERROR: Ipmitool not found or not accessible

2026-11-24 10:12:01,120 ERROR: Please use '-h' for usage

"""

_passwords = (
    st.text(
        st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=20
    )
    .map(str.rstrip)
    .filter(lambda text: text.isprintable() and 0 < len(text.encode()) <= 20)
)


def printed(password: str) -> str:
    """What the agents read: the script's output without what stands behind it."""
    script = render_password_script(password)
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout.decode().rstrip()


def test_the_password_is_not_among_the_words() -> None:
    argv = probe_argv(server(1), SCRIPT)
    assert argv[0] == "fence_ipmilan"
    assert f"--password-script={SCRIPT}" in argv
    assert "--lanplus" in argv
    assert argv[-1] == "--action=status"


def test_without_a_fence_device_there_is_nothing_to_ask() -> None:
    with pytest.raises(InputError, match="snow01 has no fence device"):
        probe_argv(replace(server(1), fence=None), SCRIPT)


@pytest.mark.parametrize(("output", "code", "power"), [("Status: ON\n", 0, "on"), ("Status: OFF\n", 2, "off")])
def test_the_power_is_what_the_bmc_says(output: str, code: int, power: str) -> None:
    assert parse_status(output, code, where="snow02") == power


@pytest.mark.parametrize(
    ("output", "code"),
    [("", 0), ("", 1), (REFUSED, 1), ("Status: OFF\n", 0), ("Status: ON\n", 1), ("Status: UNKNOWN\n", 0), ("", 127)],
)
def test_no_clear_answer_is_never_off(output: str, code: int) -> None:
    """A server that is taken for off and runs: two servers write one image."""
    with pytest.raises(UnreachableError):
        parse_status(output, code, where="snow02")


def test_a_missing_ipmitool_is_said_so() -> None:
    with pytest.raises(UnreachableError) as caught:
        parse_status(NO_IPMITOOL, 1, where="snow02")
    assert "Ipmitool not found" in caught.value.message
    assert caught.value.remedy == "install ipmitool on the server"


@settings(max_examples=30)  # each starts a shell
@given(_passwords)
def test_any_password_arrives_as_it_is(password: str) -> None:
    assert printed(password) == password


@pytest.mark.parametrize("password", ["$(reboot)", "a'b\"c`d\\n", "%s%n", "-n", "!#& ;|<>*?~", "ü€ß", " x"])
def test_special_characters_arrive_as_they_are(password: str) -> None:
    assert printed(password) == password


@pytest.mark.parametrize("password", ["", "two\nlines", "ends in space ", "nul\0", "x" * 21, "ü" * 11])
def test_a_password_that_would_be_mangled_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(InputError) as caught:
        render_password_script(password)
    assert not password or password not in str(caught.value)


def test_the_limit_of_ipmi_is_not_everybodys() -> None:
    assert "x" * 40 in render_password_script("x" * 40, agent="fence_apc")


def test_ipmitool_is_asked_for_where_it_is_used() -> None:
    """The Debian package of the agents only recommends it."""
    assert tools(FenceDevice("fence_ipmilan", "10.0.0.101", "admin", "s")) == ("fence_ipmilan", "ipmitool")
    assert tools(FenceDevice("fence_apc", "10.0.0.101", "admin", "s")) == ("fence_apc",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cipher": 17}, ["--cipher=17"]),
        ({"privilege": "operator"}, ["--privlvl=operator"]),
        ({"port": 6230}, ["--ipport=6230"]),
        ({"cipher": 0, "lanplus": False}, ["--cipher=0"]),
        ({"options": ("target=0x20", "hexadecimal")}, ["--target=0x20", "--hexadecimal"]),
    ],
)
def test_a_bmc_is_spoken_to_as_it_needs(changes: dict[str, object], words: list[str]) -> None:
    """It is said to be broken, and its server can never be made highly available."""
    fence = replace(server(1).fence, **changes)  # type: ignore[type-var]
    argv = probe_argv(replace(server(1), fence=fence), SCRIPT)
    assert set(words) <= set(argv)
    assert ("--lanplus" in argv) == fence.lanplus  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("RAKP 2 HMAC is invalid\nError: Unable to establish IPMI v2 / RMCP+ session\n", "RAKP 2 HMAC is invalid"),
        (
            "Error in open session response message : no matching cipher suite\n\nError: Unable to establish IPMI v2\n",
            "Error in open session response message : no matching cipher suite",
        ),
        ("Error: Unable to establish IPMI v2 / RMCP+ session\n", "Error: Unable to establish IPMI v2 / RMCP+ session"),
        (
            "Set Session Privilege Level to ADMINISTRATOR failed\nError: Unable to establish IPMI v2\n",
            "Set Session Privilege Level to ADMINISTRATOR failed",
        ),
        (
            "Address lookup for snow01-mgmt failed\nCould not open socket!\nError: Unable to establish IPMI v2\n",
            "Address lookup for snow01-mgmt failed",
        ),
        ("", ""),
    ],
)
def test_of_what_is_printed_the_line_that_says_why_is_told(said: str, why: str) -> None:
    assert reason_in(said) == why


def test_another_agent_gets_its_own_parameters() -> None:
    """A Redfish BMC with a certificate of its own could not be fenced."""
    fence = FenceDevice(
        "fence_redfish", "10.0.0.101", "admin", "s", options=("ssl_insecure", "systems_uri=/redfish/v1/Systems/1")
    )
    one = replace(server(1), fence=fence)
    assert {"--ssl-insecure", "--systems-uri=/redfish/v1/Systems/1"} <= set(probe_argv(one, SCRIPT))
    given = probe_input(one, "secret").splitlines()
    assert {"ssl_insecure=1", "systems_uri=/redfish/v1/Systems/1"} <= set(given)
