"""Domains that are off: on purpose, saved, or because a run of ours was killed. Each must be afterwards what it was before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from listener import Listener
from simulated import DOMAINS, SECRET, SimulatedHost, World, ha_toml_of, single_server

from snowha.cli import session
from snowha.cluster import cib, cib_merge
from snowha.errors import CommandError, InputError, SiteError
from snowha.hosts.guarded import Guard
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.live import connect, left_down
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps
from snowha.migration.undo import images as undo_images
from snowha.plan.step import Step
from snowha.provision import pacemaker
from snowha.xen import saved_domains

CONFIG = f"{DOMAINS}/deploy01.cfg"
NOTE = left_down.Note("deploy01", CONFIG)


def step(context: SiteContext, name: str = "images.deploy01") -> Step:
    return next(one for one in all_steps(context, {"snow01": SECRET, "snow02": SECRET}) if one.id == name)


def off_site() -> tuple[SiteContext, World]:
    context, world, _ = single_server(("deploy01",))
    del world.running["deploy01"]
    return context, world


def test_a_domain_that_is_off_on_purpose_is_moved_and_stays_off() -> None:
    """It was started: two machines with one address, or a database that was to be left alone."""
    context, world = off_site()
    step(context).apply(Listener())
    assert world.running == {} and not any("create" in what for _, what in world.log)
    assert world.disks["/sNow/domains/deploy01/deploy01-disk"] == b"deploy01 disk of before"
    assert "block-snow" in (context.first.text(CONFIG) or "")  # type: ignore[attr-defined]
    assert step(context).check() is None, "it would be done again at each run"


def test_and_on_the_way_back() -> None:
    context, world = off_site()
    step(context).apply(Listener())
    world.disks["/sNow/domains/deploy01/deploy01-disk"] = b"written since"
    undo_images.move_back(context, "deploy01", Listener())
    assert world.running == {} and not any("create" in what for _, what in world.log)
    assert world.disks["/dev/snow_vg/deploy01-disk"] == b"written since"
    assert undo_images.missing(context, "deploy01") is None


def test_a_copy_that_fails_does_not_start_it_either() -> None:
    context, world = off_site()
    world.fail = lambda host, argv: "no room" if argv[0] == "python3" else None
    with pytest.raises(CommandError):
        step(context).apply(Listener())
    assert world.running == {}


def test_a_domain_that_a_run_left_down_is_started_by_the_next() -> None:
    """Killed at nine tenths of the copy, with the storage too full for the check that came first."""
    context, world = off_site()
    left_down.note(context.first, NOTE)
    assert step(context).check() == "xvda2 is /dev/snow_vg/deploy01-disk"
    said: list[str] = []
    left_down.bring_back(context, said.append)
    assert world.running == {"deploy01": "snow01"}
    assert said == ["starting deploy01, which an earlier run had left down"]
    assert left_down.noted(context.first) == ()
    world.running.clear()
    left_down.bring_back(context, said.append)
    assert world.running == {}, "it was shut down on purpose since"


def test_one_that_was_left_down_after_its_config_was_changed_is_due() -> None:
    context, world, _ = single_server(("deploy01",))
    step(context).apply(Listener())
    del world.running["deploy01"]
    assert step(context).check() is None, "its administrator shut it down"
    left_down.note(context.first, NOTE)
    assert step(context).check() == "deploy01 was left down by an earlier run"


def test_it_comes_back_though_another_server_does_not_answer() -> None:
    """Only servers that can run it are asked: a new one may be off."""
    context, world = off_site()
    left_down.note(context.first, NOTE)

    class Dead(SimulatedHost):
        def run(self, argv: Sequence[str], **more: object) -> Completed:
            raise CommandError("it does not answer", where="snow02")

    hosts = {**context.hosts, "snow02": Dead("snow02", world)}
    left_down.bring_back(replace(context, hosts=hosts), print)
    assert world.running == {"deploy01": "snow01"}


def test_what_pacemaker_has_by_now_is_left_to_it() -> None:
    context, world = off_site()
    left_down.note(context.first, NOTE)
    world.active.add(("snow01", "pacemaker"))
    world.resources["deploy01"] = None
    left_down.bring_back(context, print)
    assert world.running == {} and left_down.noted(context.first) == ()


def test_a_domain_is_noted_before_it_is_shut_down_and_forgotten_when_it_runs() -> None:
    context, world, hosts = single_server(("deploy01",))
    seen: list[tuple[str, bool]] = []

    def look(host: str, argv: Sequence[str]) -> str | None:
        if list(argv[:2]) in (["xl", "shutdown"], ["xl", "create"]) and "/run/" not in argv[-1]:
            seen.append((argv[1], f"{left_down.FOLDER}/deploy01.json" in hosts[0].own))
        return None

    world.fail = look
    step(context).apply(Listener())
    undo_images.move_back(context, "deploy01", Listener())
    assert seen == [("shutdown", True), ("create", True)] * 2
    assert left_down.noted(context.first) == ()


def test_what_cannot_be_noted_is_not_shut_down() -> None:
    """Else a kill would leave it down for good."""
    context, world, _ = single_server(("deploy01",))
    world.fail = lambda host, argv: "read-only file system" if left_down.FOLDER in " ".join(argv) else None
    with pytest.raises(CommandError, match="read-only"):
        step(context).apply(Listener())
    assert world.running == {"deploy01": "snow01"} and not any("shutdown" in what for _, what in world.log)


# saved


def save_file(path: Path, config: bytes) -> Path:
    """As `xl save` begins one: magic, byte order, flags, length of the configuration, and that (tools/xl/xl_vmcontrol.c)."""
    magic = b"Xen saved domain, xl format\n \0 \r".ljust(32, b"\0")
    path.write_bytes(magic + (0x01020304).to_bytes(4, "little") + bytes(8) + len(config).to_bytes(4, "little") + config)
    with path.open("ab") as file:
        file.write(bytes(range(256)) * 4096)
    return path


@pytest.mark.parametrize(
    "config",
    [
        json.dumps(
            {"c_info": {"type": "pvh", "name": "deploy01", "uuid": "0"}, "b_info": {"name": "x"}}, indent=4
        ).encode(),
        b"# by hand\nname = 'deploy01'\nmemory = 256\n",
        b'kernel = "/boot/vmlinuz"\n  name="deploy01"\n',
    ],
)
def test_a_file_of_xl_save_is_known_by_what_it_holds(config: bytes, tmp_path: Path) -> None:
    """Its name is whatever its administrator gave it."""
    path = save_file(tmp_path / "before the upgrade", config)
    (tmp_path / "notes").write_text("name = 'slurm01'\n")
    script = saved_domains._FIND.replace("/var/lib/xen/save", str(tmp_path))
    done = LocalHost().run(["sh", "-c", script])
    assert saved_domains.parse(done.stdout) == {"deploy01": str(path)}


def test_every_folder_that_xendomains_saves_to_is_looked_at(tmp_path: Path) -> None:
    """Ours empties XENDOMAINS_SAVE; what was saved before is where it said then. The last line counts, as in a shell."""
    folder = tmp_path / "saves here"
    folder.mkdir()
    path = save_file(folder / "a", b"name = 'deploy01'\n")
    conf = tmp_path / "conf"
    conf.write_text(f"BASE=('{tmp_path}')\nXENDOMAINS_SAVE=/nowhere\nXENDOMAINS_SAVE=\"$BASE/saves here\"\n")
    for place in ("/etc/default/xendomains", "/var/lib/snow-ha/kept/etc/default/xendomains/*"):
        script = saved_domains._FIND.replace(place, str(conf))
        assert saved_domains.parse(LocalHost().run(["sh", "-c", script]).stdout) == {"deploy01": str(path)}


@pytest.mark.parametrize("verb", ["apply", "undo"])
def test_a_saved_domain_is_refused_with_what_to_do(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restored later, it would write with what it remembers of its disks: they are damaged for good."""
    context, world, _ = single_server(("deploy01",))
    if verb == "undo":
        step(context).apply(Listener())
    del world.running["deploy01"]
    before = dict(world.disks)
    monkeypatch.setattr(saved_domains, "files", lambda host: {"deploy01": "/var/lib/xen/save/deploy01"})
    with pytest.raises(SiteError, match="is saved in /var/lib/xen/save/deploy01") as raised:
        step(context).apply(Listener()) if verb == "apply" else undo_images.move_back(context, "deploy01", Listener())
    assert "xl restore" in raised.value.remedy
    assert world.disks == before


# in the cluster

EMPTY = b"<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>"


def wanted(context: SiteContext, *off: str) -> bytes:
    scripts = {server.name: f"/etc/snow-ha/fence/{server.name}" for server in context.site.servers}
    return cib.compose(context.site, {}, options=cib.Options(off=frozenset(off), password_scripts=scripts))


def test_pacemaker_gets_a_domain_that_is_off_and_leaves_it_off() -> None:
    """It starts whatever it is given. That it was off is no difference later, when somebody has started it."""
    context, _, _ = single_server()
    merged = cib_merge.merge(EMPTY, wanted(context, "deploy01"))
    assert merged.count(b'name="target-role" value="Stopped"') == 1 and b"deploy01.meta.target-role" in merged
    assert cib_merge.differs(merged, wanted(context)) == ()
    started = merged.replace(b'value="Stopped"', b'value="Started"')
    assert cib_merge.merge(started, wanted(context, "deploy01")).count(b"target-role") == started.count(b"target-role")
    assert b"Stopped" not in cib_merge.merge(started, wanted(context, "deploy01")), "what its administrator said counts"
    plain = cib_merge.merge(EMPTY, wanted(context))
    assert b"Stopped" not in cib_merge.merge(plain, wanted(context, "deploy01")), "it is being recovered just now"


def test_what_a_run_left_down_is_not_off_on_purpose() -> None:
    context, _ = off_site()
    assert pacemaker.off_on_purpose(context, {"snow01": {}}) == {"deploy01"}
    left_down.note(context.first, NOTE)
    assert pacemaker.off_on_purpose(context, {"snow01": {}}) == set()


def given(context: SiteContext, folder: Path) -> connect.HaToml:
    (folder / "ha.toml").write_text("# ha.toml")
    return ha_toml_of(context.site, folder / "ha.toml")


def test_it_comes_back_before_anything_can_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room, a half-written config, a file of a password: none of them is worth a domain that stays down."""
    context, world = off_site()
    left_down.note(context.first, NOTE)
    there = connect.Connections("snow", context.site.servers, context.hosts, Guard(context.hosts))  # type: ignore[arg-type]

    def refuse(*words: object, **more: object) -> None:
        raise InputError("half of a config")

    monkeypatch.setattr(session, "journal_path", lambda: tmp_path / "journal")
    monkeypatch.setattr(connect, "connect", lambda ha: there)
    monkeypatch.setattr(connect, "lock_site", lambda site, say: nullcontext())
    monkeypatch.setattr(connect, "load", refuse)
    with pytest.raises(InputError), session.session(given(context, tmp_path)):
        pass
    assert world.running == {"deploy01": "snow01"}


def test_another_run_that_is_under_way_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the domain down for its copy."""
    context, world = off_site()
    left_down.note(context.first, NOTE)
    there = connect.Connections("snow", context.site.servers, context.hosts, Guard(context.hosts))  # type: ignore[arg-type]

    def taken(site: object, say: object) -> None:
        raise SiteError("another run is under way")

    monkeypatch.setattr(session, "journal_path", lambda: tmp_path / "journal")
    monkeypatch.setattr(connect, "connect", lambda ha: there)
    monkeypatch.setattr(connect, "lock_site", taken)
    with pytest.raises(SiteError, match="another run"), session.session(given(context, tmp_path), whole=False):
        pass
    assert world.running == {}
