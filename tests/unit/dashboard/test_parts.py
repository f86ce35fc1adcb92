"""What the page is made of, and what a stream sends of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from dashboard_site import BEGIN, did, iso, line, lost, names, of, summary, well

from snowha.dashboard import parts, stream
from snowha.dashboard.parts import Parts
from snowha.health import findings, history
from snowha.xen.leases import Migration


def test_what_is_alike_is_told_once_with_the_places_of_the_rest() -> None:
    """Of 500 domains of one server, all below the first screen would be the same sentence."""
    found = [findings.found("resource-stopped", name, f"{name} runs on no server") for name in names(500)]
    shown: Any = parts.of_site(replace(well(500), findings=tuple(found)), None)["findings"]
    (group,) = shown
    assert [one["where"] for one in group["shown"]] == names(3)
    assert group["more"] == names(500)[3:] and group["severity"] == "red"


@pytest.mark.parametrize(
    ("severities", "level"),
    [((), "good"), (("note",), "good"), (("yellow", "note"), "yellow"), (("yellow", "red"), "red")],
)
def test_the_colour_is_that_of_the_worst(severities: tuple[Any, ...], level: str) -> None:
    found = tuple(replace(findings.found("holes", "/sNow", "few"), severity=one) for one in severities)
    verdict: Any = parts.of_site(replace(well(), findings=found), None)["verdict"]
    assert verdict["level"] == level


def test_of_a_server_that_does_not_answer_nothing_is_claimed() -> None:
    """It would be shown without domains, as if they ran nowhere."""
    shown: Any = of(lost())["servers"]
    assert (shown[1]["domains"], shown[1]["free_mib"], shown[1]["quorate"]) == (None, None, None)
    assert shown[0]["domains"] == 7 and shown[1]["trouble"].startswith("it does not answer")


def test_a_domain_says_who_has_its_images_and_where_it_is_going() -> None:
    moving = Migration("deploy01", "snow02", 3.0, 120 << 20, 9, 256 << 20)
    shown: Any = parts.of_site(replace(lost(), migrations=(moving,)), None)
    assert shown["domain/deploy01"]["move"] == "moving to snow02: 120 of 256 MiB sent, round 1"
    assert shown["domain/deploy01"]["well"] and not shown["domain/proxy01"]["well"]
    assert (shown["domain/proxy01"]["state"], shown["domain/proxy01"]["held"]) == ("off", "snow02")


def test_a_stream_tells_what_is_other_than_before() -> None:
    before: Parts = {"a": 1, "b": [1], "c": {"d": 1}}
    after: Parts = {"a": 1, "b": [2], "e": None}
    assert parts.changed(before, after) == ({"b": [2], "e": None}, ["c"])
    text = stream.difference(before, after, 5.0).decode()
    assert text == 'event: parts\ndata: {"now":5.0,"whole":false,"set":{"b":[2],"e":null},"gone":["c"]}\n\n'
    assert b'"whole":true' in stream.difference(None, after, 5.0)


def test_no_text_ends_an_event() -> None:
    """A line break in a reason would be an event of its own."""
    text = stream.message("parts", {"a": "x\n\nevent: beat\rdata: 1\u2028"})
    assert text.count(b"\n") == 3 and b"\r" not in text


def test_everything_can_be_sent() -> None:
    """A value that JSON does not know would end the stream of everybody."""
    for status in (well(), lost()):
        for told in (None, summary(), summary(goes_on=True)):
            json.dumps(of(status, told), allow_nan=False)


# --- what happened


def told(status: Any, its: Any = None) -> list[str]:
    found: Any = parts.of_site(status, its)["events"]
    return [one["text"] for one in found]


def test_events_are_told_the_newest_first_and_what_is_alike_once() -> None:
    """A power cut starts 1,000 domains: what was lost before that would be 40 screens below."""
    texts = told(lost(40), summary(BEGIN, goes_on=True))
    assert texts[0] == "run 2 begun by ada on admin-pc from 10.0.0.9"
    assert texts[1] == "proxy01: start on snow01 failed: error (its image is held)"
    assert texts[2] == "slurmdb01, login02, ldap01, node0002, node0004, node0006 and 13 more started on snow01"
    assert texts[3] == "snow02 was lost"
    assert texts[-1] == "run 1 begun by ada on admin-pc from 10.0.0.9" and len(texts) == 8


def test_what_a_migration_leaves_is_not_told_as_a_stop() -> None:
    """Somebody would look for who has stopped the domain."""
    log = [
        did(BEGIN, "migrate_to", "deploy01", "snow01"),
        did(BEGIN + 1, "migrate_from", "deploy01", "snow02"),
        did(BEGIN + 2, "stop", "deploy01", "snow01"),
        did(BEGIN + 200, "stop", "deploy01", "snow02"),
        did(BEGIN + 300, "start", "fence-snow01", "snow02"),
        line(BEGIN + 400, "Quorum lost"),
        did(BEGIN + 500, "start", "xsnow-vip", "snow02"),
    ]
    assert told(replace(well(), events=history.events(log))) == [
        "the floating IP came to snow02",
        "quorum lost",
        "deploy01 stopped on snow02",
        "deploy01 migrated to snow02",
    ]


def test_downtimes_are_those_that_were_measured_and_those_of_the_cluster() -> None:
    shown: Any = of(lost(), summary())["downtimes"]
    # proxy01 is off still; what it had before is told as well
    assert [(one["domain"], one["why"]) for one in shown] == [
        ("proxy01", "snow02 was lost"),
        ("slurmdb01", "snow02 was lost"),
        ("login02", "snow02 was lost"),
        ("ldap01", "snow02 was lost"),
        ("proxy01", "run 1, images.proxy01"),
        ("deploy01", "run 1, images.deploy01"),
    ]
    assert shown[0]["until"] is None
    assert round(shown[1]["until"] - shown[1]["since"], 1) == 31.0
    assert round(shown[5]["until"] - shown[5]["since"], 1) == 9.4


def test_one_that_runs_is_not_off_whatever_the_log_says() -> None:
    """Somebody has started it by hand: Pacemaker's log has no start."""
    log = [did(BEGIN, "stop", name, "snow01") for name in ("deploy01", "proxy01")]
    seen = replace(well(), events=history.events(log))
    off = replace(seen.domains[1], servers=(), state="off", on_purpose=True)
    shown: Any = of(replace(seen, domains=(seen.domains[0], off, *seen.domains[2:])))["downtimes"]
    assert [(one["domain"], one["until"], one["why"]) for one in shown] == [("proxy01", None, "stopped, on purpose")]


def test_a_run_that_goes_on_says_how_far_it_is() -> None:
    shown: Any = of(well(), summary(goes_on=True))["run"]
    assert (shown["number"], shown["ended"], shown["done"], shown["steps"], shown["failed"]) == (2, 3, 1, 24, 0)
    assert [one["step"] for one in shown["at_work"]] == ["images.login01", "images.login02"]
    assert shown["at_work"][0]["progress"] == {"done": 6.2e9, "total": 10.7e9, "unit": "B"}
    assert shown["is_live"] and iso(shown["at_work"][0]["since"]) == iso(BEGIN + 4100)
    assert of(well(), summary())["run"] is None and of(well())["run"] is None
