"""XENDOMAINS_SAVE left set brings a saved domain back beside the one that Pacemaker started: two on one image."""

from __future__ import annotations

import pytest

from snowha.migration.servers import _with_save_empty


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nXENDOMAINS_SAVE=/var/lib/xen/save\nB=2\n", 'A=1\nXENDOMAINS_SAVE=""\nB=2\n'),
        ("", 'XENDOMAINS_SAVE=""\n'),
        ("#XENDOMAINS_SAVE=/var/lib/xen/save\n", '#XENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_SAVE=""\n'),
    ],
)
def test_it_becomes_empty(before: str, after: str) -> None:
    assert _with_save_empty(before) == after


@pytest.mark.parametrize("text", ["XENDOMAINS_SAVE=\n", 'XENDOMAINS_SAVE=""\n', "XENDOMAINS_SAVE=''\n"])
def test_empty_in_any_form_is_left_alone(text: str) -> None:
    assert _with_save_empty(text) == text
