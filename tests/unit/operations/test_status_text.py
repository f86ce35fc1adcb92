"""What somebody at a terminal reads of a site: what is wrong first, with what to type, then the tables."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from snowha.cli.watching import as_lines, on_screen, page
from snowha.health import findings
from snowha.health.findings import Finding
from snowha.health.leases import ImageStatus
from snowha.operations.status import DomainStatus, LinkStatus, ServerStatus, SiteStatus
from snowha.operations.status_text import ago, lines

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
        "NOT well: 1 wrong, 1 to look at, 1 worth knowing; snow02 could not be asked",
        "WRONG  snow02 is out of the cluster",
        "       → find out why it was lost (journalctl on snow02), then: snow ha apply",
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


NOW = 1_700_000_000.0
LONG = findings.found("server-unclean", "snow02", f"snow02 is lost and not fenced yet{' again' * 30}")


def test_since_when_what_happens_and_what_to_type_in_this_order() -> None:
    """At three in the morning nobody looks for the three of them in one sentence."""
    found = replace(RED, since="2023-11-14T22:09:10Z", next="it joins within seconds")
    assert lines(status(found), now=NOW)[1:5] == [
        "WRONG  snow02 is out of the cluster",
        "       since 2023-11-14 22:09:10 UTC (4 min)",
        "       by itself: it joins within seconds",
        "       → find out why it was lost (journalctl on snow02), then: snow ha apply",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 30, "30 d")]
)
def test_how_long_ago(seconds: int, said: str) -> None:
    when = datetime.fromtimestamp(NOW - seconds, UTC).isoformat()
    assert ago(when, NOW) == said
    assert ago("yesterday", NOW) == ""


def test_everything_fits_a_terminal_of_80_columns() -> None:
    """The table of servers would be two lines for each of them."""
    long = status(LONG, name="x")
    servers = tuple(replace(one, name=f"a-rather-long-name-{one.name}") for one in long.servers)
    text = lines(replace(long, servers=servers), width=80, screen=True, now=NOW)
    assert max(map(len, text)) <= 80
    assert any(line.startswith("       again") for line in text)
    assert any("…" in line for line in text)
    assert max(map(len, lines(status(), width=80, now=NOW))) <= 80


def test_a_command_to_paste_is_in_one_line_where_there_is_no_screen_to_fit() -> None:
    """What is copied from a terminal would have a line break in its middle."""
    assert any(line == f"       → {LONG.remedy}" for line in lines(status(LONG), width=80, now=NOW))


def test_two_hundred_domains_of_one_server_do_not_hide_what_else_is_wrong() -> None:
    """Each of them took two lines, and the fence that fails stood below them."""
    many = [
        findings.found("domain-unknown", f"node{n:03}", f"it is unknown whether node{n:03} runs") for n in range(200)
    ]
    text = lines(status(*many, YELLOW))
    assert len([line for line in text if line.startswith("WRONG")]) == 4
    assert any("and 196 more alike (domain-unknown): node004, node005" in line for line in text)
    assert sum("monitor of deploy01" in line for line in text) == 1


def test_a_screen_shows_what_is_wrong_and_says_what_it_leaves_out() -> None:
    """The one domain that is down would be below the screen."""
    well = tuple(DomainStatus(f"node{n:03}", ("snow01",), ("snow01",), True, "running") for n in range(100))
    down = DomainStatus("zz", (), (), True, "off")
    text = page(status(RED, domains=(*well, down)), 80, 24, colour=False, every=5, now=NOW)
    assert len(text) == 24
    assert text[0].startswith("NOT well") and any(line.startswith("zz") for line in text)
    assert text[-2].startswith("… ") and "more lines" in text[-2]
    assert text[-1] == "22:13:20 UTC, every 5 s; Ctrl-C ends it"
    assert len(page(status(RED), 80, 60, colour=False, every=5, now=NOW)) < 60


class Clock:
    """A pause that Ctrl-C ends after some."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, seconds: float) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_in_a_pipe_one_status_follows_the_other_and_the_last_one_counts(capsys: pytest.CaptureFixture[str]) -> None:
    seen = iter([status(RED), status(RED), status()])
    assert as_lines(lambda: next(seen), 5, show=lambda one: print(lines(one)[0]), pause=Clock(3)) == 0
    assert capsys.readouterr().out.splitlines()[2] == "all is well"
    assert as_lines(lambda: status(RED), 5, show=lambda one: print(lines(one)[0]), pause=Clock(1)) == 4


def test_the_screen_is_left_as_it_was_but_for_the_last_word() -> None:
    """Whoever ends it would have to scroll to what he had typed before."""
    stream = io.StringIO()
    assert on_screen(lambda: status(RED), 5, stream=stream, colour=False, pause=Clock(2)) == 4
    text = stream.getvalue()
    assert text.startswith("\x1b[?1049h") and "\x1b[?1049l" in text
    assert text.partition("\x1b[?1049l")[2].replace("\n", " ").strip().endswith("snow02 could not be asked")


def test_a_proof_that_nobody_could_be_asked_for_is_not_said_never_to_have_been() -> None:
    """With every server silent, status said that no fencing was ever proven."""
    servers = (ServerStatus("snow01", False, "unknown", trouble="it does not answer"),)
    shown = "\n".join(lines(status(servers=servers, fencing={"snow01": "unknown"}, fenced_at={})))
    assert "never" not in shown
    asked = "\n".join(lines(status(fenced_at={})))
    assert "ready (never)" in asked
