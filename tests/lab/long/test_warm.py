"""Images copied while their domain runs and writes: nothing acknowledged is lost, and the domain is hardly away."""

from __future__ import annotations

import json
import re
import signal

from conftest import Administrator, on

from snowha.lab import demo, domain_probe, layout, records

IMAGE = "/sNow/domains/slurm01/slurm01-disk"


def snapshots_left() -> str:
    return on("snow01", "sh", "-c", "'lvs --noheadings -o lv_name snow_vg | grep snow-ha- || true'").strip()


def nothing_lost(domain: str) -> None:
    """Every record that the client was told to be on the disk is in the image."""
    log = domain_probe.read_log(layout.paths().client_log)
    acknowledged = domain_probe.acknowledged(log)[domain]
    found = demo.found_on_disk(f"/sNow/domains/{domain}/{domain}-disk")
    assert len(acknowledged) >= 10
    assert records.compare(acknowledged, found.records) == []
    assert [problem for problem in found.problems if problem.kind != "torn"] == []


def facts_of(output: str) -> dict[str, object]:
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {event["key"]: event["value"] for event in events if "key" in event}


def test_a_domain_is_copied_while_it_writes_and_loses_nothing(fresh: Administrator) -> None:
    """What would be lost: what it wrote before the snapshot and called used after it, and what it wrote meanwhile."""
    ended = fresh.snow("images", "copy", "slurm01", "--json")
    assert ended.code == 0, ended.output
    facts = facts_of(ended.output)
    assert isinstance(facts["away_s"], float) and isinstance(facts["estimate_s"], float)
    assert snapshots_left() == ""
    nothing_lost("slurm01")
    listed = {row["path"]: row for row in json.loads(fresh.snow("images", "list", "--json").output)}
    assert listed[IMAGE]["state"] == "in use" and listed[IMAGE]["volume_there"]
    again = fresh.snow("images", "copy", "slurm01")
    assert again.code == 0 and "up to date" in again.output
    refused = fresh.snow("images", "discard", "slurm01", "--yes")
    assert refused.code != 0 and "not a day yet" in refused.output


def test_apply_moves_a_domain_with_large_volumes_while_it_runs(fresh: Administrator) -> None:
    """What would be lost: an hour of a domain with a large disk, in the one command that moves them all."""
    text = fresh.ha_toml.read_text()
    fresh.ha_toml.write_text(re.sub("warm_from_mib = .*", "warm_from_mib = 0", text))
    planned = fresh.snow("ha", "plan", "--domain", "slurm01")
    assert planned.code == 0 and "lvcreate" in planned.output and "xl shutdown -w slurm01" in planned.output, (
        planned.output
    )
    assert "snow-ha-1-slurm01-swap" not in planned.output
    ended = fresh.snow("ha", "apply", "--yes", "--domain", "slurm01")
    assert ended.code == 0, ended.output
    assert snapshots_left() == ""
    nothing_lost("slurm01")
    log = json.loads(fresh.snow("ha", "log", "--json").output)
    commands = [command["text"] for command in log[-1]["commands"]]
    assert any("incremental" in command for command in commands)


def test_a_domain_with_the_time_limit_it_cannot_keep_is_left_alone(fresh: Administrator) -> None:
    before = on("snow01", "xl", "list", "slurm01").splitlines()[1].split()[1]
    ended = fresh.snow("images", "copy", "slurm01", "--max-away", "5")
    assert ended.code != 0 and "5 s are allowed" in ended.output
    assert on("snow01", "xl", "list", "slurm01").splitlines()[1].split()[1] == before, "it was restarted"
    assert snapshots_left() == ""


def test_killed_while_it_copies_the_next_run_begins_with_a_clean_slate(fresh: Administrator) -> None:
    killed = fresh.interrupted(
        lambda line: "while the domain runs" in line, "images", "copy", "slurm01", signal_number=signal.SIGKILL
    )
    assert killed.code == -signal.SIGKILL
    assert re.search("snow-ha-1-slurm01-disk", snapshots_left())
    ended = fresh.snow("images", "copy", "slurm01")
    assert ended.code == 0 and "an earlier run had left" in ended.output, ended.output
    assert snapshots_left() == ""
    nothing_lost("slurm01")


def test_killed_while_the_domain_is_down_the_next_run_brings_it_back(fresh: Administrator) -> None:
    """Half of the last copy is done, its config names the volumes, and the engine on the server lost whoever had started it."""
    killed = fresh.interrupted(
        lambda line: "copying the final changes" in line, "images", "copy", "slurm01", signal_number=signal.SIGKILL
    )
    assert killed.code == -signal.SIGKILL
    assert "slurm01" not in on("snow01", "xl", "list")
    ended = fresh.snow("images", "copy", "slurm01")
    assert ended.code == 0, ended.output
    assert "slurm01" in on("snow01", "xl", "list")
    assert snapshots_left() == "" and on("snow01", "sh", "-c", "'ls /run | grep -- -is-off || true'").strip() == ""
    nothing_lost("slurm01")


def test_a_snapshot_too_small_ends_it_with_the_domain_running(fresh: Administrator) -> None:
    """The domain writes more than a snapshot of 4 MiB can keep; nothing of the copy may be taken for good."""
    free = on("snow01", "sh", "-c", "'vgs --noheadings --units m --nosuffix -o vg_free snow_vg'").strip()
    on("snow01", "lvcreate", "--yes", "-Wn", "-Zn", "-L", f"{int(float(free)) - 4}m", "-n", "ballast", "snow_vg")
    ended = fresh.snow("images", "copy", "slurm01", "--snapshot-size", "4", "--rate", "1", timeout=1800)
    assert ended.code != 0 and re.search("overflowed|% full", ended.output), ended.output
    assert "slurm01" in on("snow01", "xl", "list")
    assert snapshots_left() == ""


def test_the_way_back_brings_what_was_written_since(fresh: Administrator) -> None:
    assert fresh.snow("images", "copy", "slurm01").code == 0
    on("snow01", "xl", "shutdown", "-w", "slurm01", timeout=600)
    nothing_lost("slurm01")
    ended = fresh.snow("images", "restore", "slurm01", "--yes")
    assert ended.code == 0, ended.output
    assert on("snow01", "cmp", IMAGE, "/dev/snow_vg/slurm01-disk", check=False) == ""
    where = "'cat /sNow/etc/domains/slurm01.cfg /sNow/*/etc/domains/slurm01.cfg 2>/dev/null'"
    config = on("snow01", "sh", "-c", where, check=False)
    assert "phy:/dev/snow_vg/slurm01-disk" in config
