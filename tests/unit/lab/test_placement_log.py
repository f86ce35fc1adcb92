"""The proof that nothing ran twice must be able to fail."""

from __future__ import annotations

import json

from snowha.lab.placement_log import at_once, placements


def seen(t: float, server: str, domid: int, domain: str = "slurm01") -> str:
    return json.dumps({"t": t, "server": server, "domain": domain, "domid": domid, "state": "-b----"})


def test_a_domain_on_two_servers_at_once_is_found() -> None:
    lines = [seen(t, "snow01", 1) for t in range(60)] + [seen(t, "snow02", 4) for t in range(30, 90)]
    (pair,) = at_once(placements(lines))
    assert {pair[0].server, pair[1].server} == {"snow01", "snow02"}


def test_moving_there_and_back_is_not_two_places() -> None:
    lines = [seen(t, "snow01", 1) for t in range(30)]
    lines += [seen(t, "snow02", 4) for t in range(31, 60)]
    lines += [seen(t, "snow01", 2) for t in range(61, 90)]
    assert at_once(placements(lines)) == []


def test_a_late_line_is_not_two_places() -> None:
    lines = [seen(t, "snow01", 1) for t in range(31)] + [seen(t, "snow02", 4) for t in range(28, 60)]
    assert at_once(placements(lines)) == []


def test_a_half_written_last_line_is_passed_over() -> None:
    assert len(placements([seen(1, "snow01", 1), '{"t": 2, "ser'])) == 1


def test_a_domain_id_that_comes_again_after_a_boot_is_another_stay() -> None:
    lines = [seen(t, "snow01", 1) for t in range(30)]
    lines += [seen(t, "snow02", 4) for t in range(31, 200)]
    lines += [seen(t, "snow01", 1) for t in range(201, 230)]
    assert at_once(placements(lines)) == []
