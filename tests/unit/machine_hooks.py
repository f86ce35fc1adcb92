"""What a test needs of the machine, and what of it could not be tried here: pytest's hooks, for conftest.py."""

from __future__ import annotations

from collections.abc import Generator

import machine
import pytest

machine.widen_path()


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
