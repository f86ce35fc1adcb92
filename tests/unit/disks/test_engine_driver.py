"""What a plan is told that the image engine would say."""

from __future__ import annotations

import json

from snowha.disks import engine_driver


def test_a_plan_takes_no_snapshot_of_what_blkid_calls_swap() -> None:
    """It showed a snapshot of the swap volume, which the run then did not take."""
    said = engine_driver.simulated_output(engine_driver.argv([["map", "/dev/snow_vg/web-swap"], ["wait"]]))
    assert said is not None
    first, *_ = (json.loads(line) for line in said.splitlines())
    assert first["kind"] == "swap" and first["event"] == "plan"
