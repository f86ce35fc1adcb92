"""What surrounds the code: a contributor's hooks and targets do what CI does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from snowha import __version__

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_hooks_run_what_make_check_runs() -> None:
    """A commit that passes the hooks would fail in CI."""
    hooks = re.findall(r"^ +entry: \.venv/bin/(.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    assert hooks == re.findall(r"^\t\$\(BIN\)/(.+)$", recipe[1], re.MULTILINE)


def test_make_help_shows_every_target() -> None:
    """A target that nobody is told of is one that nobody runs."""
    said = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    targets = re.search(r"^\.PHONY: (help .*)$", MAKEFILE, re.MULTILINE)
    assert targets is not None
    assert sorted(re.findall(r"^  ([a-z-]+)  +[A-Z]", said, re.MULTILINE)) == sorted(targets[1].split())


def test_the_tests_that_take_hours_can_be_imported() -> None:
    """They are run rarely: one that names a module which was renamed would be found when it is needed."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/lab/long"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_the_version_is_the_same_everywhere() -> None:
    """A report of a bug would name a version that was never installed."""
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None and declared[1] == __version__
