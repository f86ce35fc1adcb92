"""What a test needs of the machine, what of it could not be tried here, and what rooms share."""

from __future__ import annotations

import random
from collections.abc import Generator
from pathlib import Path

import machine
import pytest
from lease_program import LeaseProgram

from snowha.images import travel

machine.widen_path()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*commands): programs without which the test is skipped; in CI it fails")


@pytest.hookimpl(tryfirst=True)  # before fixtures that start such a program
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        machine.need(*mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped but for what the machine cannot do."""
    report = yield
    if (
        machine.IN_CI
        and report.skipped
        and not hasattr(report, "wasxfail")
        and not reason(report).startswith(machine.UNABLE)
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason(report)} (say machine.need or machine.unable)"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not tried, by name and reason, whatever the command line says."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if isinstance(report, pytest.TestReport)]
    if skipped:
        terminalreporter.section(f"not tried here: {len(skipped)} tests")
        for report in sorted(skipped, key=lambda report: report.nodeid):
            terminalreporter.write_line(f"{report.nodeid}: {reason(report).removeprefix(machine.UNABLE)}")


def reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image engine as it travels."""
    path = tmp_path_factory.mktemp("packed") / "images.pyz"
    path.write_bytes(travel.pack())
    return path


@pytest.fixture
def lease_program(tmp_path_factory: pytest.TempPathFactory) -> LeaseProgram:
    """The program that takes leases, as it is on the servers."""
    return LeaseProgram(tmp_path_factory.mktemp("lease"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind that matters for blocks: empty, small, large, sparse, many, linked."""
    machine.need("mkfs.ext4", "e2fsck", "dumpe2fs")
    top = tmp_path_factory.mktemp("tree")
    source = random.Random(1)
    (top / "empty").touch()
    (top / "zeros").write_bytes(bytes(300_000))
    (top / "large").write_bytes(source.randbytes(2_500_000))
    with (top / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    for number in range(200):
        folder = top / f"d{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_bytes(source.randbytes(source.randrange(12_000)))
    (top / "link").symlink_to("large")
    return top
