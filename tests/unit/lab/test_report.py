"""The report is what people decide on: it must say what is wrong, leave nothing out of the picture, and be readable."""

from __future__ import annotations

import copy
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.lab import report, report_chart, report_chart_layout
from snowha.lab.demo import Loss, why_away

START = 1_760_000_000.0
DEMO_SVG = Path(__file__).parents[3] / "docs" / "demo.svg"
SVG = "{http://www.w3.org/2000/svg}"


def example(domains: int = 4) -> dict[str, Any]:
    """A run as the lab has them: 24 minutes, copies one after the other, drains, a fence each, a power loss."""
    names = ["deploy01", "proxy01", "slurm01", "slurm02", *(f"service{number:02}" for number in range(5, domains + 1))]
    names = names[:domains]
    copying = 30.0 + 70.0 * domains
    migrating = copying + 400
    lost = migrating + 420
    end = lost + 130
    rows: dict[str, Any] = {}
    lanes: dict[str, Any] = {}
    steps = [
        ("Mount the shared file systems on snow02", "servers", 12, 16),
        ("Install the cluster's packages on snow01", "servers", 12, 96),
        ("Install the cluster's packages on snow02", "servers", 17, 301),
        ("Boot snow02 under Xen, with the domains' bridges", "servers", 303, 405),
        ("Set up ssh between the servers, with pinned host keys", "servers", 405, 411),
        ("Give every server the same Corosync key", "corosync", 301, 303),
        ("Start Corosync, and check links and quorum on every server", "corosync", copying + 100, copying + 108),
        ("Start Pacemaker on every server", "pacemaker", copying + 108, copying + 136),
        ("Hand fencing, floating IP and domains to Pacemaker", "pacemaker", copying + 136, copying + 161),
        ("Spread the domains over the servers, with anti-affinity", "placement", copying + 161, copying + 262),
        ("Move the floating IP to another server and back", "proofs", copying + 262, copying + 280),
        ("Drain snow02, cut its power, and wait until it is back", "proofs", copying + 280, migrating + 60),
        ("Drain snow01, cut its power, and wait until it is back", "proofs", migrating + 60, lost - 90),
        ("Write the servers, the images and the floating IP into snow.conf", "snow.conf", lost - 88, lost - 87),
    ]
    for number, name in enumerate(names):
        begin, stop = 30.0 + 70 * number, 30.0 + 70 * number + 52
        steps.append((f"Move {name} from LVM to /sNow/domains/{name}", "images", begin, stop))
        moved = copying + 165 + 300 / domains * number if number % 2 else migrating + 65 + 5 * number
        first, second = ("snow01", "snow02")
        stays = [
            {"server": first, "from": 0.0, "to": begin + 8},
            {"server": first, "from": stop - 14, "to": moved},
            {"server": second, "from": moved + 1, "to": lost},
        ]
        away = [
            {"from": begin + 3, "to": stop + 2.4, "why": "copy"},
            {"from": moved - 1.2, "to": moved + 2.1, "why": "live migration"},
        ]
        if number % 2:
            back = lost + 40 + 12 * (number % 5)
            stays.append({"server": first, "from": back, "to": end})
            away.append({"from": lost, "to": back + 8, "why": "power loss"})
        else:
            stays[-1]["to"] = end
        for span in (*stays, *away):
            span["from"], span["to"] = START + float(str(span["from"])), START + float(str(span["to"]))
        lanes[name] = {"stays": stays, "away": away}
        rows[name] = {
            "source": f"/dev/snow_vg/{name}-disk",
            "image": f"/sNow/domains/{name}/{name}-disk",
            "bytes": (1536 if name == "deploy01" else 768) << 20,
            "hash": "sha256:" + f"{number:02x}" * 32,
            "verified": True,
            "type": "pvh",
            "away_s": {"copy": 51.4 + number, "live_migration": 3.3, "power_loss": 54.2 if number % 2 else 0.9},
            "acknowledged": 2310 + number,
            "found": 2311 + number,
            "lost": 0,
            "ran_on": [first, second],
        }
    return {
        "release": "trixie",
        "domains": rows,
        "corosync": {"links": 2, "encrypted": True, "quorate": True},
        "fencing": {"snow01": {"proved_s": 14.2}, "snow02": {"proved_s": 4.1}},
        "power_loss": {"server": "snow02", "fenced_s": 14.8, "all_back_s": 84.0, "restarted_before": "proxy01"},
        "two_places_at_once": False,
        "stale_reads": 0,
        "stale_checks": 48211,
        "steps": [{"title": t, "section": s, "seconds": round(b - a, 1)} for t, s, a, b in steps],
        "timeline": {
            "start": START,
            "end": START + end,
            "domains": lanes,
            "servers": {
                "snow01": {"off": [{"from": START + migrating + 160, "to": START + migrating + 184}]},
                "snow02": {
                    "off": [
                        {"from": START + copying + 340, "to": START + copying + 351},
                        {"from": START + lost, "to": START + lost + 14.8},
                    ]
                },
            },
            "marks": [
                {"t": START + lost, "title": "power of snow02 pulled"},
                {"t": START + lost + 14.8, "title": "fenced"},
                {"t": START + lost + 84, "title": "all back"},
            ],
            "steps": [{"title": t, "section": s, "from": START + a, "to": START + b} for t, s, a, b in steps],
        },
    }


def broken() -> dict[str, Any]:
    """The same with everything that must not happen."""
    data = example()
    data["domains"]["proxy01"] |= {"lost": 3, "found": 2308}
    data["two_places_at_once"] = True
    data["stale_reads"] = 2
    data["fencing"]["snow02"]["proved_s"] = None
    stays = data["timeline"]["domains"]["slurm02"]["stays"]
    stays[1]["to"] = stays[2]["from"] + 200
    return data


def _texts(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}text"))


def _boxes(svg: str) -> list[tuple[str, float, float, float]]:
    """Text, left, right, base line of everything written outside bars."""
    found = []
    for element in _texts(svg):
        text, x, y = element.text or "", float(element.get("x", "0")), float(element.get("y", "0"))
        width = report_chart_layout.text_width(text)
        shift = {"start": 0.0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
        found.append((text, x - shift, x - shift + width, y))
    return found


# the verdict


def test_a_clean_run_is_said_to_be_clean() -> None:
    assert report.problems(example()) == []
    assert report.headline(example()) == (
        "Nothing was lost, no domain ran in two places, and all were back 84 s after snow02 lost its power."
    )


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("domains", "proxy01", "lost"), 2, "proxy01: 2 acknowledged records lost"),
        (("domains", "proxy01", "found"), 5, "proxy01: 2311 records acknowledged, 5 found"),
        (("domains", "proxy01", "problems"), ["torn at 4"], "proxy01: torn at 4"),
        (("domains", "proxy01", "verified"), False, "proxy01: its image is not verified"),
        (("domains", "proxy01", "acknowledged"), 0, "proxy01: nothing was acknowledged"),
        (("two_places_at_once",), True, "two places at once"),
        (("stale_reads",), 1, "1 stale read:"),
        (("stale_checks",), 0, "no read was checked"),
        (("corosync", "encrypted"), False, "not encrypted"),
        (("corosync", "quorate"), False, "no quorum"),
        (("fencing", "snow02", "proved_s"), None, "the fencing of snow02 is not proven"),
        (("power_loss", "fenced_s"), None, "snow02 was not seen fenced"),
        (("power_loss", "all_back_s"), None, "not every domain came back"),
    ],
)
def test_each_thing_that_goes_wrong_is_the_headline(path: tuple[str, ...], value: object, word: str) -> None:
    """A page that says "nothing lost" over a table with a loss would be believed."""
    data = example()
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert word in report.headline(data)
    page = report.build_html(data)
    assert "Nothing was lost" not in page and 'class="verdict bad"' in page


def test_several_troubles_are_all_named_on_the_page_and_in_the_terminal() -> None:
    wrong = report.problems(broken())
    assert len(wrong) == 4
    page, shown = report.build_html(broken()), _terminal(broken())
    assert all(line in page and line in shown for line in wrong)


# the page


class _Checker(HTMLParser):
    void = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        self.outside += [f"{tag} {key}" for key, _ in attrs if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    checker = _Checker()
    checker.feed(report.build_html(example()))
    assert checker.open == [] and checker.outside == []
    assert "<script" not in report.build_html(example())


def test_names_from_the_site_cannot_become_markup() -> None:
    data = json.loads(json.dumps(example()).replace("proxy01", "<b>&x"))
    page = report.build_html(data)
    assert "<b>&x" not in page and "&lt;b&gt;&amp;x" in page
    ElementTree.fromstring(report.chart_svg(data))


def test_a_report_without_a_timeline_still_makes_a_page() -> None:
    data = example()
    del data["timeline"]
    assert "<svg" not in report.build_html(data)
    with pytest.raises(InputError):
        report.chart_svg(data)


def test_what_was_never_seen_is_not_shown_as_zero() -> None:
    data = example()
    data["domains"]["proxy01"]["away_s"]["power_loss"] = None
    assert "not seen" in report.build_html(data)


# the terminal


def _terminal(data: dict[str, Any]) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    console.print(report.table(data))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_every_domain_with_its_counts() -> None:
    shown = _terminal(example())
    for name, row in example()["domains"].items():
        image, counts = (line for line in shown.splitlines() if line.startswith(f"│ {name}"))
        assert row["source"] in image and "sha256:" in image
        assert str(row["acknowledged"]) in counts and str(row["found"]) in counts
    assert "0 of 48" in shown and "✓ Nothing was lost" in shown


# the files


def test_both_files_are_written_and_nothing_else_stays_behind(tmp_path: Path) -> None:
    report.write(example(), tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "demo/report.json").read_text()) == example()


def test_the_picture_is_made_from_the_written_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.write(example(), tmp_path)
    assert report.main([str(tmp_path / "report.json"), str(tmp_path / "demo.svg")]) == 0
    assert report.headline(example()) in (tmp_path / "demo.svg").read_text()
    assert report.main([str(tmp_path / "none.json"), str(tmp_path / "demo.svg")]) == 2
    assert "none.json" in capsys.readouterr().err


# the picture


@pytest.mark.parametrize("domains", [1, 4, 20])
def test_nothing_that_is_written_in_the_picture_lies_over_something_else(domains: int) -> None:
    boxes = _boxes(report.chart_svg(example(domains)))[1:]  # the headline is scaled to fit
    for one, other in itertools.combinations(boxes, 2):
        if abs(one[3] - other[3]) < 8:
            assert one[2] <= other[1] + 0.5 or other[2] <= one[1] + 0.5, (one, other)
    assert all(left >= 0 and right <= report_chart.WIDTH for _, left, right, _ in boxes)


def test_every_time_without_an_answer_has_its_seconds_in_the_picture() -> None:
    data = example(20)
    written = [element.text for element in _texts(report.chart_svg(data))]
    for row in data["timeline"]["domains"].values():
        for away in row["away"]:
            text = report_chart_layout.seconds_text(away["to"] - away["from"])
            assert text in written
            written.remove(text)


def test_a_restart_on_purpose_is_not_shown_as_something_without_an_explanation() -> None:
    """What would be lost: half an hour of somebody who looks for what was wrong."""
    data = example()
    data["timeline"]["domains"]["deploy01"]["away"] = [{"from": START + 300, "to": START + 348, "why": "restart"}]
    svg = report.chart_svg(data)
    assert "did not answer: restarted on purpose" in svg
    assert "did not answer: other" not in svg


def test_a_gap_shorter_than_a_pixel_can_still_be_seen() -> None:
    data = example()
    data["timeline"]["domains"]["deploy01"]["away"] = [{"from": START + 300, "to": START + 300.4, "why": ""}]
    svg = report.chart_svg(data)
    rect = re.search(r'<rect [^>]*width="([0-9.]+)"[^>]*class="away" [^>]*><title>deploy01 did not answer', svg)
    assert rect and float(rect[1]) >= 2


def test_a_domain_on_two_servers_is_drawn_on_both_and_named() -> None:
    svg = report.chart_svg(broken())
    assert "TWO PLACES" in svg and "slurm02 on two servers at once" in svg
    assert "TWO PLACES" not in report.chart_svg(example())


def test_servers_differ_without_colour() -> None:
    """Printed in grey, or seen by a colour-blind reader: stripes on the second server's bars, its name in them."""
    svg = report.chart_svg(example())
    assert "url(#tl-p1)" in svg and 'id="tl-p1"' in svg
    assert [element.text for element in _texts(svg)].count("snow02") > 4


def test_what_lies_outside_the_run_is_not_drawn_into_it() -> None:
    data = example()
    before = {"server": "snow02", "from": START - 900, "to": START - 800}
    data["timeline"]["domains"]["deploy01"]["stays"].insert(0, before)
    assert "deploy01 on snow02: 0:00" not in report.chart_svg(data)


def test_a_run_with_nothing_in_it_is_drawn_all_the_same() -> None:
    data = copy.deepcopy(example())
    data["timeline"] |= {"domains": {"deploy01": {"stays": [], "away": []}}, "servers": {}, "marks": [], "steps": []}
    ElementTree.fromstring(report.chart_svg(data))


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(10, 60)), max_size=12))
def test_labels_never_touch_and_keep_their_order(wanted: list[tuple[float, float]]) -> None:
    wanted.sort()
    edges = report_chart_layout.spread(wanted, 0, 1000)
    for (left, (_, width)), right in zip(zip(edges, wanted, strict=True), edges[1:], strict=False):
        assert left + width <= right
    assert all(left >= 0 and left + width <= 1000 for left, (_, width) in zip(edges, wanted, strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.94, "0.9 s"), (9.96, "10 s"), (54.2, "54 s"), (599, "599 s"), (725, "12 min 5 s")]
)
def test_seconds_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert report_chart_layout.seconds_text(seconds) == text


@pytest.mark.parametrize("source", ["report", "docs/demo.svg"])
def test_the_picture_has_its_colours_where_no_css_is_understood(source: str) -> None:
    """It was black in viewers without CSS variables: a page of somebody who looks at the project for the first time."""
    drawn = report.chart_svg(example()) if source == "report" else DEMO_SVG.read_text()
    assert "var(" not in drawn and "style=" not in drawn
    root = ElementTree.fromstring(drawn)
    painted = [one for one in root.iter() if one.tag.rpartition("}")[2] in ("rect", "text", "path", "circle")]
    assert len(painted) > 100
    for one in painted:
        colours = [one.get("fill"), one.get("stroke")]
        assert any(colour and re.fullmatch(r"#[0-9a-f]{6}|url\(#tl-p[0-9]\)", colour) for colour in colours), one.attrib
    assert "prefers-color-scheme:dark" in drawn


LOSS = Loss("snow01", restarted="proxy01", restarted_at=875, at=910, fenced=31, back=80)
WINDOWS = {"images.proxy01": (200.0, 260.0), "proofs.fence.snow01": (550.0, 780.0)}


@pytest.mark.parametrize(
    ("domain", "start", "end", "why"),
    [
        ("proxy01", 204, 256, "copy"),
        ("proxy01", 596, 603, "live migration"),
        ("proxy01", 877, 909, "restart"),
        ("proxy01", 909, 989, "power loss"),  # the last answer came a second before the power went
        ("slurm01", 908, 990, "power loss"),
        ("slurm01", 877, 880, ""),
        ("slurm02", 915, 920, "power loss"),
    ],
)
def test_the_loss_of_a_server_is_not_called_a_restart_on_purpose(
    domain: str, start: float, end: float, why: str
) -> None:
    """The longest time that the demonstration is about was explained by what had come before it."""
    assert why_away(domain, start, end, WINDOWS, LOSS) == why
