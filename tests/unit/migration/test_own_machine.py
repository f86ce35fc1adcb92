"""``snow`` on a server or in a domain of the site: it neither cuts its own power nor shuts itself down in the middle of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from everyday_site import EverydaySite
from simulated import SECRET, single_server
from test_command_line import CommandLine, everything
from view_site import Site

from snowha.errors import SiteError
from snowha.migration import own_machine
from snowha.migration.own_machine import Machine
from snowha.migration.steps import all_steps
from snowha.migration.undo.steps import _all

ON_SNOW01 = Machine("boot of snow01", "")
IN_DEPLOY01 = Machine("its own", "5eed0000-0000-4000-8000-000000000000")
ELSEWHERE = Machine("its own", "5eed0000-0000-4000-8000-0000000000ff")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def refused(cli: CommandLine, *words: str) -> str:
    before = everything(cli.world, cli.hosts), dict(cli.world.running)
    ended = cli.snow(*words)
    assert isinstance(ended.exception, SiteError), ended.output
    assert (everything(cli.world, cli.hosts), cli.world.running) == before
    assert "--until or --only" in ended.exception.remedy
    return ended.exception.message


def test_on_a_server_its_own_power_is_not_cut(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be off, with the only program dead that was to switch it on again. What does not restart it is carried out."""
    monkeypatch.setattr(own_machine, "here", lambda: ON_SNOW01)
    message = refused(cli, "apply", "--yes")
    assert "snow runs on snow01" in message and "proofs.fence.snow01: Drain snow01, cut its power" in message
    assert "snow02" not in message and "images." not in message
    assert cli.snow("apply", "--until", "images", "--yes").exit_code == 0
    assert "snow runs on" not in cli.snow("undo", "--yes").output


def test_in_a_domain_it_is_not_shut_down(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy would end half-way, and the domain stay down."""
    monkeypatch.setattr(own_machine, "here", lambda: IN_DEPLOY01)
    message = refused(cli, "apply", "--until", "images", "--yes")
    assert "in deploy01, a domain of snow01" in message and "images.deploy01: Move deploy01" in message
    assert "slurm01" not in message
    assert cli.snow("apply", "--domain", "slurm01", "--yes").exit_code == 0


def test_a_plan_says_so_and_is_made(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_machine, "here", lambda: ON_SNOW01)
    ended = cli.snow("plan", "--short")
    assert ended.exit_code == 0 and "warning: snow runs on snow01" in ended.output


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def found(site: Site) -> tuple[str, str, str]:
    """The finding of `snow ha check`: severity, where, message. Empty for none."""
    told = json.loads(site.snow("check", "--json").output)["findings"]
    return next(((one["severity"], one["where"], one["message"]) for one in told if one["code"] == "own-machine"), NONE)


NONE = ("", "", "")


def test_a_check_says_where_it_runs_before_an_apply_refuses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check without a finding was followed by an `apply` that refused, when the evening for it had come."""
    assert found(site) == NONE
    monkeypatch.setattr(own_machine, "here", lambda: Machine("boot of snow02", ""))
    severity, where, message = found(site)
    assert (severity, where) == ("stop", "snow02")
    assert "snow runs on snow02, and would be ended by:" in message and "proofs.fence.snow02" in message
    assert site.snow("check").exit_code == 4
    site.lose("snow01")
    assert found(site)[:2] == ("stop", "snow02"), "a server that is lost hides nothing"


def test_where_it_runs_is_a_note_if_nothing_there_is_to_be_restarted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check on a server of a finished cluster would end with 4."""
    monkeypatch.setattr(own_machine, "here", lambda: Machine("boot of snow02", ""))
    monkeypatch.setattr(own_machine, "_is_due", lambda step: False)
    assert found(site)[0] == "note"
    assert own_machine.findings({}, []) == ()


def test_from_another_machine_nothing_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another domain, of servers that are none of this site's, is no reason."""
    monkeypatch.setattr(own_machine, "here", lambda: ELSEWHERE)
    assert cli.snow("apply", "--until", "images", "--yes").exit_code == 0


def test_what_is_done_already_is_no_reason(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished site could never be looked at again by `apply` from one of its servers."""
    assert cli.snow("apply", "--until", "images", "--yes").exit_code == 0
    monkeypatch.setattr(own_machine, "here", lambda: IN_DEPLOY01)
    assert cli.snow("apply", "--until", "images", "--yes").exit_code == 0


def test_every_step_that_restarts_something_says_what() -> None:
    """A step that does not say so would be carried out."""
    context, _, hosts = single_server()
    steps = all_steps(context, {host.name: SECRET for host in hosts})
    domains = ("deploy01", "slurm01")
    assert {step.id: step.interrupts for step in steps if step.interrupts} == {
        "servers.xen.snow02": ("snow02",),
        "images.deploy01": ("deploy01",),
        "images.slurm01": ("slurm01",),
        "proofs.fence.snow02": ("snow02", *domains),
        "proofs.fence.snow01": ("snow01", *domains),
        "proofs.migration": domains,
        "placement.spread": domains,
    }
    assert {one.step.id: one.step.interrupts for one in _all(context, set()) if one.step.interrupts} == {
        "undo.gather": domains,
        "undo.images.deploy01": ("deploy01",),
        "undo.images.slurm01": ("slurm01",),
    }


@pytest.mark.parametrize(
    ("xen", "vendor", "dmi", "domain"),
    [
        ("5EED0000-0000-4000-8000-000000000001\n", "", "", "5eed0000-0000-4000-8000-000000000001"),
        ("00000000-0000-0000-0000-000000000000\n", "", "", ""),
        (None, "Xen\n", "5EED0000-0000-4000-8000-000000000002\n", "5eed0000-0000-4000-8000-000000000002"),
        (None, "QEMU\n", "5EED0000-0000-4000-8000-000000000002\n", ""),
        (None, None, None, ""),
    ],
)
def test_a_domain_knows_its_uuid_and_dom0_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xen: str | None, vendor: str | None, dmi: str | None, domain: str
) -> None:
    for name, text in (("XEN_UUID", xen), ("DMI_VENDOR", vendor), ("DMI_UUID", dmi)):
        monkeypatch.setattr(own_machine, name, tmp_path / name)
        if text is not None:
            (tmp_path / name).write_text(text)
    machine = own_machine.here()
    assert machine.domain == domain
    assert machine.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def everyday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EverydaySite:
    made = EverydaySite(tmp_path, monkeypatch)
    monkeypatch.setattr(own_machine, "here", lambda: Machine("its own", made.uuids["deploy01"]))
    return made


@pytest.mark.parametrize(
    "words",
    [
        ("shutdown", "domains"),
        ("poweroff", "deploy01"),
        ("reboot", "deploy01"),
        ("reset", "deploy01", "--yes"),
        ("destroy", "deploy01", "--yes"),
        ("move", "deploy01", "snow02"),
        ("drain", "snow01", "--yes"),
    ],
)
def test_no_verb_of_every_day_ends_the_domain_that_it_runs_in(everyday: EverydaySite, words: tuple[str, ...]) -> None:
    """`snow shutdown domains` ended with its own domain, and nobody knew which others it had still shut down."""
    ended = everyday.run(*words)
    assert isinstance(ended.exception, SiteError), ended.output
    assert "snow runs in deploy01, a domain of snow01, and would be ended by" in ended.exception.message
    assert everyday.told == []


def test_what_does_not_end_it_is_carried_out_also_while_a_server_is_lost(everyday: EverydaySite) -> None:
    """A server that cannot be asked whether snow runs there must not forbid the others' domains."""
    assert everyday.run("boot", "domains").exit_code == 0
    assert everyday.run("shutdown", "slurm02").exit_code == 0 and everyday.told
    everyday.told.clear()
    everyday.lose("snow02")
    assert everyday.run("reboot", "slurm01").exit_code == 0
    assert everyday.told == ["snow01: xl reboot slurm01"]
