"""What somebody at a terminal reads of a site: what is wrong first, with what to type, then the tables."""

from __future__ import annotations

import re

from snowha.operations import findings
from snowha.operations.findings import Finding
from snowha.operations.status import DomainStatus, LinkStatus, ServerStatus, SiteStatus
from snowha.operations.status_text import lines

LINKS = (LinkStatus(0, True), LinkStatus(1, False))


def status(*found: Finding, **changes: object) -> SiteStatus:
    known: dict[str, object] = {
        "name": "snow",
        "servers": (
            ServerStatus("snow01", True, "online", "4.20.0", 900, True, LINKS),
            ServerStatus("snow02", False, "offline", trouble="it does not answer"),
        ),
        "domains": (
            DomainStatus("deploy01", ("snow01",), ("snow01",), True, "running"),
            DomainStatus("proxy01", (), (), True, "off", on_purpose=True),
            DomainStatus("slurm01", ("snow01",), ("snow01",), False, "running"),
            DomainStatus("slurm02", (), (), True, "off"),
        ),
        "fencing": {"snow01": "ready", "snow02": "not running"},
        "floating_ip": "192.168.8.254",
        "floating_ip_on": None,
        "findings": found,
    }
    return SiteStatus(**{**known, **changes})  # type: ignore[arg-type]


RED = findings.found("server-out", "snow02", "snow02 is out of the cluster")
YELLOW = findings.found("failed-action", "deploy01", "monitor of deploy01 has failed")
NOTE = findings.found("off-on-purpose", "proxy01", "proxy01 is off on purpose")


def test_what_is_wrong_comes_before_the_tables_with_what_to_type() -> None:
    """ "NOT well: see above" was the last line, and what was meant had to be found."""
    text = lines(status(RED, YELLOW, NOTE))
    assert text[:4] == [
        "NOT well: 1 wrong, 1 to look at, 1 worth knowing",
        "WRONG  snow02 is out of the cluster",
        "       → look why it was lost (journalctl on snow02), then: snow ha apply",
        "WARN   monitor of deploy01 has failed",
    ]
    assert text.index("") < next(number for number, line in enumerate(text) if line.startswith("SERVER"))


def test_notes_are_no_reason_to_say_that_it_is_not_well() -> None:
    """A domain that somebody has shut down would be an alarm each night."""
    assert lines(status())[0] == "all is well"
    assert lines(status(NOTE))[0] == "all is well: 1 worth knowing"
    assert status(YELLOW, NOTE).healthy and not status(NOTE, RED).healthy


def test_what_is_off_on_purpose_and_what_is_not_managed_is_shown_as_that() -> None:
    rows = {line.split()[0]: re.split(r"  +", line) for line in lines(status()) if line}
    assert rows["proxy01"] == ["proxy01", "off on purpose", "-", "on no server", "-"]
    assert rows["slurm01"] == ["slurm01", "running", "snow01", "snow01 (not managed)", "-"]
    assert rows["slurm02"] == ["slurm02", "off", "-", "on no server", "-"]


def test_what_is_down_is_red_and_nothing_else_moves() -> None:
    """Colour would shift the columns, or be missing where it counts."""
    plain, coloured = lines(status(RED)), lines(status(RED), colour=True)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured] == plain
    assert "\x1b" not in "".join(plain)
    for words in (
        "NOT well",
        "WRONG",
        "0:up 1:DOWN",
        "offline",
        "not running",
        "off",
        "snow01 (not managed)",
        "floating IP",
    ):
        assert any(f"\x1b[1;31m{words}" in line for line in coloured), words
    assert not any("\x1b[1;31moff on purpose" in line for line in coloured)
