"""The proof that nothing ran twice must be able to fail."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import machine

from snowha.lab import placement_log
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


@machine.only_if(os.geteuid() == 0, "only root has processes that no other program sees")
def test_a_server_that_was_restored_has_one_watcher(tmp_path: Path) -> None:
    """Each one asks the hypervisor whenever a device comes or goes: with one more for each restore, migrations in the lab take
    longer, and two states of it cannot be compared."""
    machine.need("pgrep")
    (tmp_path / "xl").write_text(f"#!/bin/sh\n: > {tmp_path}/looked\n")
    (tmp_path / "xl").chmod(0o755)
    loop = shlex.join(["bash", "-c", placement_log._LOOP])
    script = f"""
        {loop} & before=$!
        until [ -e {tmp_path}/looked ]; do read -r -t 0.1 <> <(:); done
        {loop} & now=$!
        wait $before
        kill -0 $now && echo one is left
        kill $now"""
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script]
    done = subprocess.run(
        words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "one is left\n", done.stderr
