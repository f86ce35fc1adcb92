"""XENDOMAINS_SAVE left set brings a saved domain back beside the one that Pacemaker started: two on one image."""

from __future__ import annotations

import pytest

from snowha.hosts.local import LocalHost
from snowha.migration.servers.boot import wait_for_xen
from snowha.migration.servers.settings import with_save_empty
from snowha.xen import xl


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nXENDOMAINS_SAVE=/var/lib/xen/save\nB=2\n", 'A=1\nXENDOMAINS_SAVE=""\nB=2\n'),
        ("", 'XENDOMAINS_SAVE=""\n'),
        ("#XENDOMAINS_SAVE=/var/lib/xen/save\n", '#XENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_SAVE=""\n'),
    ],
)
def test_it_becomes_empty(before: str, after: str) -> None:
    assert with_save_empty(before) == after


@pytest.mark.parametrize("text", ["XENDOMAINS_SAVE=\n", 'XENDOMAINS_SAVE=""\n', "XENDOMAINS_SAVE=''\n"])
def test_empty_in_any_form_is_left_alone(text: str) -> None:
    assert with_save_empty(text) == text


class Said:
    def __init__(self) -> None:
        self.words: list[str] = []

    def say(self, text: str) -> None:
        self.words.append(text)

    def progress(self, done: float, total: float, unit: str = "") -> None: ...

    def fact(self, key: str, value: object) -> None: ...


def test_a_server_is_under_xen_when_its_tools_answer_not_when_ssh_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick boot would be taken for one without Xen, and the migration end in the middle."""
    answers = iter([None, None, xl.parse_info("xen_version : 4.20.5\nvirt_caps : pv hvm hap\n")])
    monkeypatch.setattr(xl, "hypervisor", lambda host: next(answers))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    said = Said()
    wait_for_xen(LocalHost("snow02"), said)
    assert said.words == ["waiting for Xen on snow02"] * 3
