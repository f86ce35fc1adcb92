"""vCPUs bound to CPUs: a domain whose CPUs another server lacks does not start there, after a loss of all times."""

from __future__ import annotations

import pytest

from snowha.site.cpu_affinity import can_run


@pytest.mark.parametrize(
    ("affinity", "can"),
    [
        ("0", True),
        ("3", True),
        ("4", False),
        ("8-15", False),
        ("2-7", True),
        ("0-3,^1", True),
        ("0-3,^0-3", False),
        ("0-3,^0-3,2", True),
        ("0-999999999", True),
        ("4,5,3", True),
        ("all", True),
        ("node:1", True),
        ("8-15,node:0", True),
    ],
)
def test_a_server_with_four_cpus(affinity: str, can: bool) -> None:
    assert can_run(affinity, 4) == can
