"""The documents: an administrator follows their links, and plans an evening by their figures."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "bench" / "README.md"]
INDEX = ROOT / "docs" / "README.md"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TIME = re.compile(r"(?:\d+ min )?\d+(?:\.\d+)?(?: to \d+(?:\.\d+)?)? (?:s|min)\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Who is in trouble at night finds the page that explains it."""
    for link in _LINK.findall(document.read_text()):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.read_text()), link


def test_the_index_names_every_page() -> None:
    """A page that no other page leads to is read by nobody."""
    linked = {(INDEX.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(INDEX.read_text())}
    assert [str(page) for page in DOCUMENTS if page.parent != ROOT and page != INDEX and page not in linked] == []


def test_the_readme_can_be_read_at_once() -> None:
    """Who meets the project first would not find what it refuses among what it does."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_architecture_names_files_that_are_there() -> None:
    """A contributor would look for what was renamed, and change the wrong file."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    found = re.findall(r"`((?:\w+/)+[\w.-]+\.(?:py|pl|sh|j2|in|toml))`", text)
    places = (ROOT / "src" / "snowha", ROOT / "tests", ROOT)
    assert len(found) > 50
    assert [name for name in found if not any((place / name).exists() for place in places)] == []


def test_every_file_of_the_sources_that_a_document_names_is_there() -> None:
    """Who reports a bug, or sets up an alert rule, would look for a file that was renamed."""
    said = [
        (document.name, name)
        for document in DOCUMENTS
        for name in re.findall(r"`((?:\.ci|bench|debian|docs|share|src|tests)/[\w./-]+)`", document.read_text())
    ]
    assert len(said) > 40
    assert [(page, name) for page, name in said if not (ROOT / name).exists()] == []


def test_every_unit_that_a_document_names_is_one() -> None:
    """`systemctl` would answer an administrator that there is no such unit."""
    sources = [path for folder in ("src", "debian") for path in (ROOT / folder).rglob("*") if path.is_file()]
    known = " ".join([path.name for path in sources] + [path.read_text() for path in sources if path.suffix == ".py"])
    said = {
        unit for page in DOCUMENTS for unit in re.findall(r"\b(snow-[\w-]+\.(?:service|timer))\b", page.read_text())
    }
    assert len(said) > 2
    assert sorted(unit for unit in said if unit not in known) == []


def test_times_to_plan_by_are_times_that_were_measured() -> None:
    """Users would be told of a downtime that nobody has seen. performance.md names the machine of each figure."""
    measured = (ROOT / "docs" / "performance.md").read_text()
    said = _TIME.findall((ROOT / "docs" / "before-you-start.md").read_text())
    assert len(said) > 20
    assert [time for time in said if time not in measured] == []


def test_for_how_long_each_thing_is_kept_is_said() -> None:
    """An administrator who makes room would remove what leads back to how the site was, or fill a disk and not know with what."""
    written = {
        name
        for path in (ROOT / "src" / "snowha").rglob("*.p[yl]")
        for name in re.findall(r"/var/lib/snow-ha/([a-z.-]*[a-z])", path.read_text())
    }
    assert {"kept", "journal.sqlite", "proofs"} <= written
    said = (ROOT / "docs" / "internals" / "packages.md").read_text().partition("## What is kept")[2]
    assert sorted(name for name in written if f"{name}`" not in said and f"/{name}/" not in said) == []


def test_what_init_writes_beside_the_sources_is_no_part_of_them(tmp_path: Path) -> None:
    """The README's way writes ha.toml and the BMCs' password into the checkout: `git add -A` would publish the password."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=30)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    written = ["ha.toml", "ha.toml.old", "ha.secrets/ipmi", "other.secrets/ipmi"]
    done = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", *written], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.split() == written


def _anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
