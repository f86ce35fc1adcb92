"""A suite that is green because it did not try something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = 'import machine\nimport pytest\nmachine.INSTALLED["no-such-program"] = "no-such-package"\n'
MISSING = '@pytest.mark.needs("no-such-program")\ndef test_it(): raise AssertionError("it was tried")\n'
PLAIN = 'def test_it(): pytest.skip("no time")\n'
UNABLE = 'def test_it(): machine.unable("its kernel has no XFS")\n'


def suite(folder: Path, test: str, *, ci: str) -> tuple[int, str]:
    """What pytest says of one test in a suite like this one: its exit code and its text."""
    for name in ("machine.py", "machine_hooks.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    (folder / "conftest.py").write_text("from machine_hooks import *\n")
    (folder / "test_one.py").write_text(PREPARE + test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-q"],
        cwd=folder,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_a_package_is_missing_for_is_named_with_the_package(tmp_path: Path) -> None:
    code, text = suite(tmp_path, MISSING, ci="")
    assert code == 0
    assert (
        "test_one.py::test_it: no no-such-program on this machine: `make unit` gets it (Debian: no-such-package)"
        in text
    )


@pytest.mark.parametrize("test", [MISSING, PLAIN], ids=["package", "anything"])
def test_in_ci_nothing_is_skipped_for_want_of_a_package(tmp_path: Path, test: str) -> None:
    code, text = suite(tmp_path, test, ci="true")
    assert code == 1
    assert "no no-such-program" in text or "no time" in text


@pytest.mark.parametrize("ci", ["", "true"])
def test_what_the_machine_cannot_do_is_named_with_its_reason(tmp_path: Path, ci: str) -> None:
    code, text = suite(tmp_path, UNABLE, ci=ci)
    assert code == 0
    assert "test_one.py::test_it: its kernel has no XFS" in text
