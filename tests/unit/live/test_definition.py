"""ha.toml on every server: written, taken over, found again on a server or through one, and taken away."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from listener import Listener
from simulated import SECRET, SimulatedHost, single_server
from view_site import code_of

from snowha.cli import options
from snowha.cli.options import FILE
from snowha.cli.tree import snow
from snowha.cluster import fencing
from snowha.errors import InputError, SiteError, UnreachableError
from snowha.hosts import own
from snowha.hosts.local import LocalHost
from snowha.hosts.ssh import SshHost
from snowha.live import connect, definition
from snowha.live.context import SiteContext
from snowha.migration import planning
from snowha.migration.steps import all_steps
from snowha.migration.undo import steps as undo_steps
from snowha.plan import saved_plan
from snowha.plan.plan import Planned
from snowha.plan.step import Step
from snowha.site import definition as copies
from snowha.site import ha_toml
from snowha.site.definition import Definition
from snowha.site.ha_file import HaFile

NAMES = ("deploy01", "slurm01")
PASSWORDS = {"snow01": SECRET, "snow02": SECRET}
EDITED = 1_700_000_000


class Site:
    """Two servers, and the folder of somebody who has their ha.toml."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context, self.world, hosts = single_server(NAMES)
        self.hosts = {host.name: host for host in hosts}
        site = self.context.site
        text = ha_toml.render(HaFile(site.name, site.paths, site.servers, NAMES, site.floating_ip, site.mounts))
        self.text = f"# by hand\n{text}"
        self.file = folder / "ha.toml"
        self.edit(self.file, self.text, EDITED)
        monkeypatch.setattr(connect, "_over_ssh", lambda ha: dict(self.hosts))
        monkeypatch.chdir(folder)

    def edit(self, file: Path, text: str, when: int) -> None:
        file.write_text(text)
        os.utime(file, (when, when))

    def keep(self, text: str, *servers: str) -> None:
        for name in servers or self.hosts:
            self.hosts[name].own[copies.PATH] = (text.encode(), 0o644)

    def kept(self) -> list[str | None]:
        return [host.text(copies.PATH) for host in self.hosts.values()]

    def loaded(self) -> SiteContext:
        return connect.load(connect.read(self.file))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def step_of(context: SiteContext) -> Step:
    return next(step for step in all_steps(context, PASSWORDS) if step.id == definition.STEP)


def test_every_server_gets_the_file_as_it_is_and_has_it_then(site: Site) -> None:
    """The comments of whoever wrote it would be gone, and each server would have to be given it by hand."""
    step = step_of(site.loaded())
    assert "does not exist" in (step.check() or "")
    step.apply(Listener())
    assert step.check() is None
    first, second = site.kept()
    assert first == second and first is not None
    copy = copies.read(first)
    assert copy is not None and copy.body == site.text and copy.is_whole


@pytest.mark.parametrize("change", ["# else\n", "[cluster"])
def test_a_copy_that_says_something_else_is_replaced_and_kept(site: Site, change: str) -> None:
    site.keep(copies.copy_of(site.text, EDITED))
    site.keep(copies.copy_of(site.text, EDITED) + change, "snow02")
    step = step_of(site.loaded())
    assert step.check() == f"snow02: {copies.PATH} differs"
    step.apply(Listener())
    assert step.check() is None
    assert site.hosts["snow02"].kept[copies.PATH]


def test_a_file_that_was_put_there_by_hand_is_taken_over(site: Site) -> None:
    """A copy without its first line is an ha.toml of before, or one that somebody has brought there."""
    site.keep(site.text)
    step = step_of(site.loaded())
    assert "was not written by snow-ha" in (step.check() or "")
    step.apply(Listener())
    assert step.check() is None


def test_what_would_change_is_in_the_plan_and_a_saved_plan_stays_good(site: Site) -> None:
    """Somebody with an old ha.toml would bring it back without having seen that; or no saved plan could be carried out."""
    site.keep(copies.copy_of(site.text.replace("6000", "9000"), EDITED - 9))

    def planned() -> tuple[Planned, ...]:
        context = site.loaded()
        return planning.make(context, PASSWORDS, [replace(step_of(context), needs=())], journal=None)

    (made,) = planned()
    assert [file.path for file in made.change.files] == [copies.PATH] * 2
    assert "-token_ms = 9000" in made.change.files[0].diff and "+token_ms = 6000" in made.change.files[0].diff
    assert saved_plan.seen_of((made,), {}) == saved_plan.seen_of(planned(), {})


def test_an_undo_takes_it_away_at_the_very_end(site: Site) -> None:
    """The second half of an undo on a server would have nothing to begin with."""
    context = site.loaded()
    step_of(context).apply(Listener())
    steps = undo_steps.steps(context, PASSWORDS)
    last = steps[-1]
    assert last.id == f"undo.{definition.STEP}" and last.needs == (steps[-2].id,)
    assert last.check() is not None
    last.apply(Listener())
    assert last.check() is None and site.kept() == [None, None]


def test_an_old_copy_does_not_come_back(site: Site) -> None:
    """A server that was away while the site was changed would take it back with the next apply there."""
    site.edit(site.file, copies.copy_of(site.text, EDITED), EDITED)
    site.keep(copies.copy_of(f"{site.text}# newer\n", EDITED + 5), "snow02")
    with pytest.raises(SiteError, match="snow02 keeps a newer one") as raised:
        site.loaded()
    assert "--site snow02" in raised.value.remedy
    site.keep(copies.copy_of(f"{site.text}# older\n", EDITED - 5), "snow02")
    site.loaded()


def test_an_edit_on_a_server_is_newer_than_what_it_was_before(site: Site) -> None:
    site.keep(copies.copy_of(site.text, EDITED))
    site.edit(site.file, copies.copy_of(site.text, EDITED) + "# here\n", EDITED + 60)
    step = step_of(site.loaded())
    step.apply(Listener())
    copy = copies.read(site.kept()[1] or "")
    assert copy is not None and copy.body == f"{site.text}# here\n" and copy.edited == "2023-11-14T22:14:20Z"


# passwords


def test_passwords_are_the_servers_own_where_none_is_beside_the_sites_file(site: Site) -> None:
    """Every verb on a server would ask for a file that only the workstation of before had."""
    site.edit(site.file, copies.copy_of(site.text, EDITED), EDITED)
    for name in PASSWORDS:
        script = fencing.render_password_script(SECRET).encode()
        site.hosts["snow02"].own[f"/etc/snow-ha/fence/{name}"] = (script, 0o700)
    assert connect.passwords(site.loaded(), site.file) == PASSWORDS

    def lost(host: str, words: object) -> str | None:
        if host == "snow01":
            raise UnreachableError("it does not answer", where=host)
        return None

    context = site.loaded()
    site.world.fail = lost
    assert connect.passwords(context, site.file) == PASSWORDS


def test_a_password_that_nobody_has_is_told_and_a_users_own_file_needs_its_own(site: Site) -> None:
    context = site.loaded()
    with pytest.raises(InputError, match="no such file"):
        connect.passwords(context, site.file)
    with pytest.raises(InputError, match="no server has the password of the BMC of snow01"):
        connect.passwords(replace(context, definition=Definition("x", is_sites=True)), site.file)


def test_no_server_is_asked_for_passwords_that_are_files_here(site: Site) -> None:
    """A missing file would be told only after the servers were asked; and those of a lost server be waited for."""
    with pytest.raises(InputError, match="no such file"):
        connect.known_passwords(connect.read(site.file))
    site.edit(site.file, copies.copy_of(site.text, EDITED), EDITED)
    assert connect.known_passwords(connect.read(site.file)) is None


@pytest.mark.parametrize("text", ["", "#!/bin/sh\necho x\n", "#!/bin/sh\nprintf '%s\\n' 'x\n", "x"])
def test_nothing_but_our_own_script_is_taken_for_a_password(text: str) -> None:
    """A word of somebody's own script would be sent to the BMC."""
    assert fencing.password_in(text) == ""
    assert fencing.password_in(fencing.render_password_script(SECRET)) == SECRET


# where it is found


@click.command()
@FILE
def shown(file: Path) -> None:
    click.echo(f"{file} {connect.chosen.ssh_config}")


def asked(*words: str) -> str:
    ended = CliRunner().invoke(shown, list(words), catch_exceptions=False)
    return ended.output.strip()


def test_the_order_in_which_it_is_looked_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb in /root on a server would say that there is no ha.toml."""
    there = tmp_path / "kept.toml"
    monkeypatch.setattr(copies, "PATH", str(there))
    assert asked("-f", "x.toml") == "x.toml"
    assert asked() == "ha.toml"
    site.file.unlink()
    assert asked() == "ha.toml"  # and is then told to be missing
    there.write_text("x")
    assert asked() == str(there)


def test_a_workstation_names_a_server(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[tuple[str, str]] = []

    def host(name: str, address: str, ssh: object) -> SimulatedHost:
        ways.append((address, ssh.config))  # type: ignore[attr-defined]
        return site.hosts["snow01"]

    monkeypatch.setattr(definition, "SshHost", host)
    monkeypatch.setattr(definition, "runtime_folder", lambda: site.file.parent)
    with pytest.raises(InputError, match="does not keep an"):
        asked("--site", "snow01.example")
    site.keep(copies.copy_of(site.text, EDITED))
    file, config = asked("--site", "snow01.example", "--ssh-config", "/etc/my-ssh").split()
    assert ways[-1] == ("snow01.example", "/etc/my-ssh") and config == "/etc/my-ssh"
    ha = connect.read(Path(file)).content
    assert ha.definition.is_sites and ha.ssh.config == "/etc/my-ssh" and ha.definition.text == site.kept()[0]
    assert asked("-f", "x") == "x"  # nothing of the last command line is left
    ended = CliRunner().invoke(shown, ["--site", "snow01", "-f", "x"])
    assert ended.exit_code == 2 and "cannot be combined" in ended.output


def test_site_can_stand_before_the_verb() -> None:
    """`snow --site snow01 …` is how an alias in a shell names it."""

    @click.group()
    @options.SITE
    @options.SSH_CONFIG
    def group() -> None: ...

    group.add_command(shown)
    ended = CliRunner().invoke(group, ["--site", "a b", "shown"])
    assert isinstance(ended.exception, InputError) and ended.exception.where == "--site"


@pytest.mark.parametrize("words", [["word"], ["--every", "x"], ["--nonsense"]])
def test_no_server_is_asked_before_all_words_are_right(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a typing mistake nobody was told before a server that does not answer had been waited for."""

    def fetch(server: str, config: str) -> Path:
        raise AssertionError(f"{server} is asked")

    monkeypatch.setattr(definition, "fetch", fetch)
    ended = CliRunner().invoke(snow, ["status", "--site", "snow01", *words])
    assert code_of(ended) == 2, ended.output


def test_the_path_of_somebody_elses_ssh_configuration_is_not_used(site: Site) -> None:
    """ssh on a server would end with: Can't open user config file."""
    text = site.text.replace('config = ""', 'config = "/home/me/ssh_config"')
    site.edit(site.file, text, EDITED)
    assert connect.read(site.file).content.ssh.config == "/home/me/ssh_config"
    site.edit(site.file, copies.copy_of(text, EDITED), EDITED)
    assert connect.read(site.file).content.ssh.config == ""


# on a server


def ways(file: Path) -> dict[str, object]:
    return {name: getattr(host, "_host") for name, host in connect.connect(connect.read(file).content).hosts.items()}  # noqa: B009


def test_root_on_a_server_reaches_that_one_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot log in to itself would be unreachable to its own administrator."""
    context, _, _ = single_server(NAMES)
    servers = tuple(replace(server, address=f"{server.name}.example") for server in context.site.servers)
    text = ha_toml.render(HaFile("snow", context.site.paths, servers, NAMES))
    file = tmp_path / "ha.toml"
    file.write_text(text)
    monkeypatch.setattr(own, "is_here", lambda name, addresses: name == "snow02")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = ways(file)
    assert isinstance(found["snow02"], LocalHost) and isinstance(found["snow01"], SshHost)
    assert found["snow01"].address == "snow01.example"
    console = ["xl", "console", "deploy01"]
    assert connect.terminal(connect.read(file).content, "snow02", console) == console
    file.write_text(copies.copy_of(text, 0))
    assert ways(file)["snow01"].address == "snow01"  # type: ignore[attr-defined]  # what servers call each other
    monkeypatch.setattr(own, "is_here", lambda name, addresses: False)
    assert [host.address for host in ways(file).values()] == [server.address for server in servers]  # type: ignore[attr-defined]


def test_who_is_not_root_reaches_it_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command would fail for want of rights."""
    context, _, _ = single_server(NAMES)
    file = tmp_path / "ha.toml"
    file.write_text(ha_toml.render(HaFile("snow", context.site.paths, context.site.servers, NAMES)))
    monkeypatch.setattr(own, "is_here", lambda name, addresses: name == "snow02")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("snowha.hosts.ssh.runtime_folder", lambda: tmp_path)
    assert isinstance(ways(file)["snow02"], SshHost)


def test_a_machine_is_a_server_by_its_name_and_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workstation called snow01 would be changed in place of the server."""
    monkeypatch.setattr(socket, "gethostname", lambda: "snow01.example")
    assert own.is_here("snow01", ["192.0.2.1", "127.0.0.1"])
    assert not own.is_here("snow01", ["192.0.2.1", "2001:db8::1"])
    assert not own.is_here("snow02", ["127.0.0.1"])


def test_a_site_in_memory_keeps_nothing() -> None:
    context, _, _ = single_server()
    assert definition.steps(context) == []
