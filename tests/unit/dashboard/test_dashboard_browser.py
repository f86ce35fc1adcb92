"""The dashboard in a real browser: Debian's Chromium, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from browser import Browser, browser
from dashboard_site import Shown, lost, of, served, summary, well

from snowha.errors import InputError

pytestmark = pytest.mark.timeout(300)  # a browser on a machine that does much else
ROWS = "document.querySelectorAll('#rows tr')"
FOCUSED = "document.activeElement.id || document.activeElement.textContent"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def page(chromium: Browser) -> Iterator[Browser]:
    chromium.errors.clear()
    chromium.show(1280, 900)
    yield chromium
    chromium.open("about:blank")
    # what scripts complain of, and what the page's policy refuses; that a server has ended is no such thing
    assert [one for one in chromium.errors if "net::ERR_" not in one] == []


def test_what_is_wrong_comes_first_with_what_to_type(page: Browser) -> None:
    """At three in the morning somebody reads the first lines of the page, and types what they say."""
    with served(Shown(of(lost(), summary(goes_on=True)))) as (address, _):
        page.open(f"{address}/")
        page.until("document.querySelector('#rows tr')")
        assert page.text("#headline") == "✗ NOT well: 3 wrong, 1 to look at; snow02 could not be asked"
        assert page.value("document.title") == "✗ hpc"
        first = page.text("#findings-list li").splitlines()
        assert first[0] == "✗ WRONG" and first[-1] == "→ log in to it by hand: ssh root@snow02"
        assert page.text("#rows tr th") == "proxy01" and "✗ off" in page.text("#rows tr")
        assert page.text("#servers tr:nth-child(2)").startswith("✗ snow02")
        assert page.text("#floating-ip") == "192.168.8.254 on snow01"
        assert page.text("#run-title") == "Run 2 goes on" and page.text("#run-text").startswith("3 of 24 steps ended.")
        assert "5913 MiB of 10204 MiB" in page.text("#run-steps")
        assert "✗ snow02 was lost" in page.text("#events")
        assert "31 s" in page.text("#downtimes") and "snow02 was lost" in page.text("#downtimes")
        assert "run 1, images.deploy01" in page.text("#downtimes")


def test_a_name_is_a_text_whatever_is_in_it(page: Browser) -> None:
    """Who may name a domain could run a script in the browser of whoever looks."""
    name = "<img src=x onerror=alert(1)>"
    seen = well()
    evil = replace(seen, domains=(replace(seen.domains[0], name=name), *seen.domains[1:]), name=f"{name}&amp;")
    with served(Shown(of(evil))) as (address, _):
        page.open(f"{address}/")
        page.until("document.querySelector('#rows tr')")
        assert name in page.value(f"[...{ROWS}].map((row) => row.cells[0].textContent)")
        assert page.text("#site") == f"{name}&amp;"
        assert page.value("document.querySelectorAll('img').length") == 0
        loaded = page.value("performance.getEntriesByType('resource').map((one) => one.name)")
        assert loaded and all(one.startswith(address) for one in loaded)


def test_of_a_thousand_domains_only_the_rows_that_changed_are_touched(page: Browser) -> None:
    """The page would take the browser's whole processor, and lose what somebody has selected, every five seconds."""
    before = well(1000)
    off = before.domains[700]
    after = replace(
        before, domains=(*before.domains[:700], replace(off, servers=(), state="off"), *before.domains[701:])
    )
    with served(Shown(of(before), of(after))) as (address, watcher):
        page.open(f"{address}/")
        page.until(f"{ROWS}.length === 1000")
        page.value("""
          window.touched = new Set();
          new MutationObserver((records) => {
            for (const one of records)
              for (const node of one.type === "childList" && one.target.id === "rows"
                  ? [...one.addedNodes, ...one.removedNodes] : [one.target]) {
                const row = (node.closest ? node : node.parentElement).closest("tr");
                if (row) touched.add(row.cells[0].textContent);
              }
          }).observe(document.getElementById("rows"), { subtree: true, childList: true, characterData: true, attributes: true });
          0""")
        watcher.refresh()
        page.until("document.getElementById('shown').textContent.includes('1 wrong')")
        assert page.value("[...touched]") == [off.name]
        assert page.text("#rows tr th") == off.name
        assert page.text("#shown") == "1000 shown, ✗ 1 wrong"


def test_it_can_be_used_by_keyboard_alone(page: Browser) -> None:
    """Who has no mouse, or cannot use one, would not find one domain of a thousand."""
    with served(Shown(of(lost(1000)))) as (address, _):
        page.open(f"{address}/")
        page.until(f"{ROWS}.length === 1000")
        page.press("Tab")
        assert page.value(FOCUSED) == "Skip to what is wrong"
        seen = page.value(
            "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).left"
        )
        assert seen == "solid16px"
        page.press("Tab", "Enter", "Tab")
        assert page.value(FOCUSED) == "filter"
        page.press(*"0500")
        visible = f"[...{ROWS}].filter((row) => !row.hidden).map((row) => row.cells[0].textContent)"
        assert page.value(visible) == ["node0500"]
        assert page.text("#shown") == "1 of 1000 shown, ✗ 1 wrong"
        page.value("document.getElementById('filter').select()")
        page.press("Tab")
        assert page.value(FOCUSED) == "only"
        page.press("Space")
        assert page.value(visible) == []
        page.value("document.getElementById('filter').value = ''; 0")
        page.press("Space", "Space")
        assert page.value(visible) == ["proxy01"]


_CONTRAST = """[...document.querySelectorAll('h1, h2, p, td, th, dt, dd, li, label, output, span')].filter(
  (node) => node.checkVisibility() && [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim())
).map((node) => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map(
    (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  ).reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  let behind = node;
  while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const [low, high] = [
    light(rgb(getComputedStyle(node).color)), light(rgb(getComputedStyle(behind).backgroundColor)),
  ].sort((a, b) => a - b);
  return [(high + 0.05) / (low + 0.05), node.textContent];
}).filter(([ratio]) => ratio < 4.5)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_nothing_is_cut_off(page: Browser, scheme: str) -> None:
    """WCAG 2, 1.4.3: 4.5 to 1. At 800 pixels the columns on the right would be out of sight."""
    for state in (of(lost(40), summary(goes_on=True)), of(well(40), summary())):
        with served(Shown(state)) as (address, _):
            page.show(1280, 900, scheme)
            page.open(f"{address}/")
            page.until("document.querySelector('#rows tr')")
            assert page.value("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
            assert page.value(_CONTRAST) == []
            for width in (1280, 800):
                page.show(width, 900, scheme)
                wide = "[document.documentElement, ...document.querySelectorAll('.scroll')]"
                assert (
                    page.value(f"{wide}.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)")
                    == []
                )


def test_what_cannot_be_read_any_more_is_never_shown_as_new(page: Browser) -> None:
    """A page that still says that all is well, an hour after the servers' network has gone."""
    broken = InputError("there is no such file", where="ha.toml", remedy="put it back")
    with served(Shown(of(well()), broken, of(well()))) as (address, watcher):
        page.open(f"{address}/")
        page.until("document.querySelector('#rows tr')")
        assert page.text("#headline") == "✓ all is well"
        watcher.refresh()
        page.until("document.body.className === 'stale'")
        assert page.text("#headline").startswith("? NOT known since 2")
        assert page.text("#before").endswith("it was: ✓ all is well")
        assert "ha.toml: there is no such file\n  → put it back" in page.text("#trouble")
        assert page.value("document.title") == "? hpc"
        watcher.refresh()
        page.until("document.body.className === ''")
        assert page.text("#headline") == "✓ all is well"
    page.until("document.body.className === 'stale'")
    assert page.text("#trouble").startswith("The dashboard does not answer.")
