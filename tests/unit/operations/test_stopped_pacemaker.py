"""What ``snow shutdown`` and ``boot`` say while Pacemaker is stopped on every server: what it will do, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from everyday_site import EverydaySite

from snowha.cluster import cib_overrides
from snowha.operations import stopped_pacemaker


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EverydaySite:
    return EverydaySite(tmp_path, monkeypatch)


def stopped_cib(epoch: int, **roles: str) -> tuple[bytes, int]:
    """As it is on the disk of a server."""
    resources = "".join(
        f'<primitive id="{name}"><meta_attributes><nvpair name="target-role" value="{role}"/></meta_attributes></primitive>'
        for name, role in roles.items()
    )
    text = f'<cib admin_epoch="0" epoch="{epoch}" num_updates="0"><configuration>{resources}</configuration></cib>'
    return text.encode(), 0o600


@pytest.mark.parametrize(
    ("role", "verb", "said"),
    [
        ("Started", "shutdown", "so it cannot be told to keep deploy01 off: it starts it as soon as it runs again"),
        ("Stopped", "shutdown", ""),
        ("Started", "boot", ""),
        ("Stopped", "boot", "and was told earlier to keep deploy01 off: it shuts it down as soon as it runs again"),
    ],
)
def test_what_a_stopped_pacemaker_will_do_with_the_domain_is_said(
    site: EverydaySite, role: str, verb: str, said: str
) -> None:
    """A domain that was shut down on purpose came back with Pacemaker, one that was booted went off: nobody had been told."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    site.hosts["snow01"].own[stopped_pacemaker.CIB_FILE] = stopped_cib(8, deploy01="", proxy01="Started")
    site.hosts["snow02"].own[stopped_pacemaker.CIB_FILE] = stopped_cib(9, deploy01=role, slurm01=role)
    for _ in range(2):  # the second time there is nothing to do
        ended = site.run(verb, "deploy01", "proxy01")
        assert ended.exit_code == 0, ended.output
        expected = f"Pacemaker runs on no server that answers, {said}. Type then: snow {verb} deploy01"
        assert (expected in ended.output) if said else ("Pacemaker" not in ended.output)
    assert all("Pacemaker" not in site.run(verb, "slurm02").output for verb in ("reboot", "shutdown"))


@pytest.mark.parametrize("alone", [b'name="is-managed" value="false"', b'name="maintenance" value="True"'])
@pytest.mark.parametrize(("verb", "role"), [("shutdown", b"Started"), ("boot", b"Stopped")])
def test_of_a_domain_that_it_leaves_alone_nothing_is_said(
    site: EverydaySite, alone: bytes, verb: str, role: bytes
) -> None:
    """It was said to start again, or to be shut down: somebody would have changed a domain that stays as it is."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    text, mode = stopped_cib(9, deploy01=role.decode())
    pair = b'<nvpair name="target-role" value="' + role + b'"/>'
    site.hosts["snow01"].own[stopped_pacemaker.CIB_FILE] = (
        text.replace(pair, pair + b"<nvpair " + alone + b"/>"),
        mode,
    )
    ended = site.run(verb, "deploy01")
    assert ended.exit_code == 0 and "Pacemaker" not in ended.output, ended.output


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (
            "boot",
            "and was told to stop everything: it shuts deploy01 and proxy01 down as soon as it runs again. "
            "Type then: snow start site, then snow boot proxy01",
        ),
        (
            "shutdown",
            "so it cannot be told to keep deploy01 off: it starts it with `snow start site`. "
            "Type then: snow shutdown deploy01",
        ),
    ],
)
def test_after_stop_site_it_is_said_what_pacemaker_was_told(site: EverydaySite, verb: str, said: str) -> None:
    """A domain that was booted for the work on the storage was shut down by the first Pacemaker that ran; and none is started by
    it before `snow start site`."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    text, mode = stopped_cib(9, deploy01="", proxy01="Stopped")
    stopping = cib_overrides.stopping(datetime.now(UTC)).encode()
    site.hosts["snow02"].own[stopped_pacemaker.CIB_FILE] = (text.replace(b"<conf", stopping + b"<conf"), mode)
    ended = site.run(verb, "deploy01", "proxy01", "slurm01")
    assert ended.exit_code == 0, ended.output
    assert f"Pacemaker runs on no server that answers, {said}\n" in ended.output


MAINTENANCE = (
    '<cluster_property_set id="x"><nvpair id="y" name="maintenance-mode" value="true"/></cluster_property_set>'
)


@pytest.mark.parametrize(
    ("properties", "ends"),
    [
        (cib_overrides.disarming(datetime.now(UTC)), "with `snow arm`"),
        (MAINTENANCE, "when maintenance-mode is switched off"),
    ],
)
def test_a_stopped_pacemaker_in_maintenance_mode_is_not_said_to_act_when_it_runs_again(
    site: EverydaySite, properties: str, ends: str
) -> None:
    """Pacemaker was started, the domain stayed off, and whoever had read the message thought that all was done: hours later
    `snow arm` started it."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    text, mode = stopped_cib(9, deploy01="", proxy01="Stopped")

    def keep(properties: str) -> None:
        site.hosts["snow02"].own[stopped_pacemaker.CIB_FILE] = (
            text.replace(b"<conf", properties.encode() + b"<conf"),
            mode,
        )

    keep(properties)
    until = f"{ends}, and leaves everything alone until then"
    for verb, name, said in (
        ("shutdown", "deploy01", f"to keep deploy01 off: it starts it {until}. Type then: snow shutdown deploy01"),
        ("boot", "proxy01", f"to keep proxy01 off: it shuts it down {until}. Type then: snow boot proxy01"),
    ):
        ended = site.run(verb, name)
        assert ended.exit_code == 0 and said in ended.output, ended.output
        assert "as soon as it runs again" not in ended.output
    keep(properties + cib_overrides.stopping(datetime.now(UTC)))
    ended = site.run("boot", "deploy01")
    assert f"to stop everything: it shuts deploy01 down {until}. Type then: snow start site" in ended.output
    ended = site.run("shutdown", "deploy01")
    assert f"it starts it with `snow start site` and {ends}. Type then" in ended.output


def test_a_configuration_that_cannot_be_read_is_no_reason_to_keep_a_domain_running(site: EverydaySite) -> None:
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    for host in site.hosts.values():
        host.own[stopped_pacemaker.CIB_FILE] = (b"<cib", 0o600)
    assert site.run("shutdown", "deploy01").exit_code == 0
