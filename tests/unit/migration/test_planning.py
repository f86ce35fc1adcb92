"""A plan of the whole migration, in a dry run on a site in memory, and what becomes of a saved one."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from listener import Listener
from simulated import CONF, DOMAINS, SECRET, SimulatedHost, World, ha_toml_of, single_server

from snowha.errors import InputError, SiteError
from snowha.live.context import SiteContext
from snowha.migration import planning
from snowha.migration.steps import all_steps
from snowha.plan import plan_text, saved_plan
from snowha.plan.journal import Journal
from snowha.plan.plan import Planned
from snowha.plan.step import in_order

PASSWORDS = {"snow01": SECRET, "snow02": SECRET}


def make(context: SiteContext, journal: Journal | None = None) -> tuple[Planned, ...]:
    return planning.make(context, PASSWORDS, all_steps(context, PASSWORDS), journal=journal)


def state(world: World, hosts: list[SimulatedHost]) -> object:
    return copy.deepcopy(
        [world.shared, world.disks, world.running, world.log, [(host.own, host.links, host.kept) for host in hosts]]
    )


def test_a_plan_changes_nothing() -> None:
    """Somebody would lose a server by looking."""
    context, world, hosts = single_server()
    before = state(world, hosts)
    made = make(context)
    assert state(world, hosts) == before
    assert all(planned.is_due for planned in made if planned.section == "images")


def test_a_plan_says_of_each_domain_what_would_happen_to_it() -> None:
    """The config would be rewritten in another way than was shown."""
    context, world, _ = single_server()
    by_id = {planned.id: planned for planned in make(context)}
    moved = by_id["images.deploy01"]
    commands = [command.text for command in moved.change.commands]
    order = ["python3", "xl shutdown -w deploy01", "touch /run/snow-ha-deploy01-is-off", "xl create"]
    places = [next(n for n, text in enumerate(commands) if text.startswith(word)) for word in order]
    assert places == sorted(places)
    (diff,) = [file.diff for file in moved.change.files if file.path == f"{DOMAINS}/deploy01.cfg"]
    assert "-                  'phy:/dev/snow_vg/deploy01-disk,xvda2,w'," in diff
    assert "script=block-snow,target=/sNow/domains/deploy01/deploy01-disk" in diff
    assert [name for name, _ in moved.away] == ["deploy01"]
    assert "xvda2" not in json.dumps(
        [asdict(file) for file in by_id["images.slurm01"].change.files if "deploy01" in file.path]
    )
    # and apply does just that
    next(step for step in all_steps(context, PASSWORDS) if step.id == "images.deploy01").apply(Listener())
    now = world.shared[f"{DOMAINS}/deploy01.cfg"][0].decode()
    added = [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert added and all(line in now.splitlines() for line in added)


def test_a_plan_tells_of_reboots_and_of_what_the_cluster_will_be() -> None:
    context, _, _ = single_server()
    by_id = {planned.id: planned for planned in make(context)}
    assert by_id["proofs.fence.snow02"].change.reboots == ("snow02",)
    assert by_id["proofs.fence.snow02"].asks
    assert any("stonith-enabled" in line for line in by_id["pacemaker.cib"].change.cib)
    assert any(line.startswith("deploy01: missing") for line in by_id["pacemaker.cib"].change.cib)
    (fstab,) = by_id["servers.mounts.snow02"].change.files
    assert "+nfs01:/export/sNow /sNow nfs4 vers=4.2,hard,_netdev 0 0" in fstab.diff
    assert (fstab.host, fstab.path) == ("snow02", "/etc/fstab")


def test_no_password_is_in_a_plan(tmp_path: Path) -> None:
    """A plan is shown to others, and mailed."""
    context, _, hosts = single_server()
    hosts[1].own["/etc/snow-ha/fence/snow01"] = (b"printf '%s\\n' old-password\n", 0o700)
    made = make(context)
    text = "\n".join(plan_text.lines(made)) + json.dumps([asdict(one) for one in made])
    conf = [file for planned in made for file in planned.change.files if file.path == CONF]
    assert conf and "IMG_DST" in conf[0].diff
    assert SECRET not in text and "Adm;n" not in text and "old-password" not in text
    file = tmp_path / "ha.toml"
    file.write_text("x")
    saved_plan.write(
        tmp_path / "plan.json",
        made,
        planning.inputs(context, ha_toml_of(context.site, file)),
        until="",
        only="",
        domains=(),
    )
    assert "Adm;n" not in (tmp_path / "plan.json").read_text()
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ha.toml"
    path.write_text("# ha.toml\n")
    return path


def save(context: SiteContext, file: Path) -> saved_plan.Saved:
    path = file.with_name("plan.json")
    saved_plan.write(
        path,
        make(context),
        planning.inputs(context, ha_toml_of(context.site, file)),
        until="images",
        only="",
        domains=(),
    )
    return saved_plan.read(path)


def differences(plan: saved_plan.Saved, context: SiteContext, file: Path) -> tuple[str, ...]:
    return saved_plan.compare(plan, make(context), planning.inputs(context, ha_toml_of(context.site, file)))


def test_a_saved_plan_holds_as_long_as_the_site_is_as_it_was(file: Path) -> None:
    """It could never be applied."""
    context, _, _ = single_server()
    plan = save(context, file)
    assert plan.until == "images"
    assert differences(plan, context, file) == ()
    saved_plan.refuse(plan, (), "plan.json")


def test_a_saved_plan_is_refused_when_the_site_has_moved_on(file: Path) -> None:
    """What was approved on Friday would not be what happens on Monday."""
    context, world, hosts = single_server()
    plan = save(context, file)
    content, mode = world.shared[f"{DOMAINS}/deploy01.cfg"]
    world.shared[f"{DOMAINS}/deploy01.cfg"] = (content + b"# new\n", mode)
    found = differences(plan, context, file)
    assert f"{DOMAINS}/deploy01.cfg has changed" in found
    assert "images.deploy01: its changes differ from those in the plan" in found
    with pytest.raises(SiteError, match="has changed since") as caught:
        saved_plan.refuse(plan, found, "plan.json")
    assert caught.value.exit_code == 4
    world.shared[f"{DOMAINS}/deploy01.cfg"] = (content, mode)
    hosts[1].own["/etc/fstab"] = (b"nfs01:/export/sNow /sNow nfs4 hard 0 0\n", 0o644)
    assert any(line.startswith("servers.mounts.snow02:") for line in differences(plan, context, file))
    file.write_text("# ha.toml changed\n")
    assert "ha.toml has changed" in differences(plan, context, file)


def test_a_step_that_was_done_meanwhile_is_a_difference_too(file: Path) -> None:
    context, _, _ = single_server()
    plan = save(context, file)
    next(step for step in all_steps(context, PASSWORDS) if step.id == "images.slurm01").apply(Listener())
    assert any(
        line.startswith("images.slurm01: xvda2 is /dev/snow_vg/slurm01-disk; now: nothing")
        for line in differences(plan, context, file)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "not a saved plan") for text in ("", "{}", "[]", "7", "{", "\xff", "[" * 100_000)),
        ('{"format": "snow-ha plan", "version": 9}', "another version"),
        ('{"format": "snow-ha plan", "version": 2}', "is damaged"),
        ('{"format": "snow-ha plan", "version": 2, "made": 1, "selection": [], "seen": 1, "steps": 1}', "is damaged"),
    ],
)
def test_a_file_that_is_no_plan_is_one_message_without_a_word_of_python(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as caught:
        saved_plan.read(path)
    assert said in caught.value.message and caught.value.remedy
    for leaked in ("'selection'", "Expecting", "codec", "object", "KeyError"):
        assert leaked not in str(caught.value)


def test_times_are_those_of_this_site_where_there_are_any(tmp_path: Path) -> None:
    """A figure from elsewhere would be taken for a promise."""
    context, _, _ = single_server()
    with Journal(tmp_path / "journal.sqlite") as journal:
        run = journal.begin()
        for seconds in (10.0, 30.0, 20.0):
            journal.note(run, "images.deploy01", "done", seconds=seconds)
        journal.fact(run, "images.deploy01", "away_s", 42.5)
        by_id = {planned.id: planned for planned in make(context, journal)}
    assert (by_id["images.deploy01"].estimate.seconds, by_id["images.deploy01"].estimate.source) == (
        20.0,
        "this step, 3 times here",
    )
    assert by_id["images.slurm01"].estimate.source == "images.*, 3 times here"
    assert by_id["images.deploy01"].away[0][1].seconds == 42.5
    assert by_id["servers.packages.snow02"].estimate.source.startswith("not measured on this site")
    assert by_id["proofs.migration"].estimate.seconds is None


def test_a_finished_plan_says_so_in_one_line() -> None:
    made = tuple(Planned(name, name, "servers", "") for name in ("a", "b"))
    assert list(plan_text.lines(made)) == ["nothing to do: all 2 steps are up to date"]


def test_nothing_moves_domains_after_they_were_spread() -> None:
    """Both of a pair would end on one server, and the run with it, calling that done."""
    context, _, hosts = single_server()
    ordered = in_order(all_steps(context, {host.name: SECRET for host in hosts}))
    assert [step.id for step in ordered if "placement" in step.uses][-1] == "placement.spread"
