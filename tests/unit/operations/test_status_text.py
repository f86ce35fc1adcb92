"""What somebody at a terminal reads of a site: what is wrong first, with what to type, then the tables."""

from __future__ import annotations

import re

from snowha.operations import findings
from snowha.operations.findings import Finding
from snowha.operations.leases import ImageStatus
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


def image(domain: str, state: str = "held", holder: str = "snow01", disk: str = "disk") -> ImageStatus:
    path = f"/sNow/domains/{domain}/{domain}-{disk}"
    return ImageStatus(path, domain, state, holder, "yes", "2026-11-27T04:55:05Z", (holder,) if holder else ())


def test_who_has_the_images_of_a_domain_is_shown_once_however_many_they_are() -> None:
    """With two disks a domain would take two lines, or name a server twice."""
    shown = status(
        images=(
            image("deploy01"),
            image("deploy01", disk="swap"),
            image("proxy01", "free", ""),
            image("slurm02", "none", ""),
        )
    )
    rows = {line.split()[0]: re.split(r"  +", line)[-1] for line in lines(shown) if line}
    assert rows["DOMAIN"] == "IMAGES HELD BY"
    assert (rows["deploy01"], rows["proxy01"], rows["slurm02"]) == ("snow01", "nobody", "no record")
    two = status(
        images=(image("deploy01"), image("deploy01", "tentative", "snow02", "swap"), image("slurm01", "unknown", ""))
    )
    rows = {line.split()[0]: re.split(r"  +", line)[-1] for line in lines(two) if line}
    assert (rows["deploy01"], rows["slurm01"]) == ("snow01, snow02", "not known")


def test_an_image_that_another_server_has_than_the_one_that_runs_the_domain_is_red() -> None:
    """It is what tells that a domain writes without its lease; a domain that is off and free is no reason for it."""
    shown = status(images=(image("deploy01", holder="snow02"), image("proxy01", "free", ""), image("slurm01")))
    coloured = lines(shown, colour=True)
    assert any(line.startswith("deploy01") and line.endswith("\x1b[1;31msnow02\x1b[0m") for line in coloured)
    assert any(line.startswith("proxy01") and line.endswith("nobody") for line in coloured)
    assert any(line.startswith("slurm01") and line.endswith("  snow01") for line in coloured)


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
