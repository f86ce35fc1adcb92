"""Whether a domain may be started, in memory: asked of whom, and what a run does that may not, or is no longer the one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from listener import Listener
from simulated import DOMAINS, SimulatedHost, World, config, single_server

from snowha.disks import cold, cutover
from snowha.errors import CommandError, InputError, LostLockError, SiteError, UnreachableError
from snowha.hosts.guarded import Guard
from snowha.hosts.local import LocalHost
from snowha.live import left_down, starting
from snowha.live.context import SiteContext, read_config
from snowha.site.model import Domain
from snowha.xen import server_program

DEPLOY = f"{DOMAINS}/deploy01.cfg"
ON_IMAGES = re.sub(
    r"phy:/dev/snow_vg/(\S+),(xvda\d),w",
    r"format=raw,vdev=\2,access=rw,script=block-snow,target=/sNow/domains/deploy01/\1",
    config("deploy01", 11),
)
LOST = LostLockError("this run lost the lock on snow01 to bob", where="snow01", remedy="snow ha status")
Fail = Callable[[str, Sequence[str]], str | None]


class Clock:
    """Time passes only while one waits."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cutover, "time", clock)
    monkeypatch.setattr(starting, "time", clock)
    return clock


def away(server: str) -> Fail:
    """It cannot be reached."""

    def fail(host: str, argv: Sequence[str]) -> str | None:
        if host == server:
            raise UnreachableError("it does not answer", where=host)
        return None

    return fail


def without_xl(server: str) -> Fail:
    """Its tools are being upgraded."""
    return lambda host, argv: "xl: not found" if host == server and argv[0] == "xl" else None


def on_images(world: World, hosts: Sequence[SimulatedHost] = ()) -> None:
    """Somebody finished the job: the config names the images, and each has a record of its lease."""
    world.shared[DEPLOY] = (ON_IMAGES.encode(), 0o644)
    world.leases.records |= {f"/sNow/domains/deploy01/deploy01-{kind}" for kind in ("disk", "swap")}
    for host in hosts:
        host.install_leases()


def off(*, images: bool) -> tuple[SiteContext, World, list[SimulatedHost], Domain]:
    """A site whose domain is off, and the domain as its config has it."""
    context, world, hosts = single_server(("deploy01",))
    del world.running["deploy01"]
    if images:
        on_images(world, hosts)
    return context, world, hosts, read_config(context.first, "deploy01", DEPLOY)[1]


def reason(context: SiteContext, domain: Domain) -> str:
    found = starting.obstacle(context, "deploy01", domain)
    return f"{'there' if found.is_there else 'unknown'}: {found.reason}" if found else ""


def test_an_image_is_started_from_only_if_no_server_and_not_pacemaker_may_have_it_open() -> None:
    """Two domains on one image destroy its file system."""
    context, world, _, domain = off(images=True)
    assert reason(context, domain) == ""
    for server in ("snow01", "snow02"):
        world.running["deploy01"] = server
        assert reason(context, domain) == f"there: deploy01 runs on {server}"
    del world.running["deploy01"]
    for fail, why in ((away("snow02"), "it does not answer"), (without_xl("snow02"), "exit status 1 from: xl list")):
        world.fail = fail
        assert reason(context, domain) == f"unknown: snow02 cannot tell whether it runs deploy01: {why}"
    world.fail = lambda host, argv: None
    world.active = {("snow02", "pacemaker")}
    world.resources = {"deploy01": None}
    assert reason(context, domain) == "there: Pacemaker has deploy01"
    world.resources = {"slurm01": None}
    assert reason(context, domain) == ""
    world.fail = lambda host, argv: "not connected" if argv[0] == "crm_mon" else None
    assert reason(context, domain) == "unknown: Pacemaker on snow02 does not report whether it has deploy01"


def test_a_server_that_this_run_restarts_is_not_waited_for() -> None:
    """A new server boots while domains are moved on the first one: each of them would stay down until it is back."""
    context, world, _, domain = off(images=True)
    world.fail = away("snow02")
    with context.restarting("snow02"):
        assert reason(context, domain) == ""
    assert reason(context, domain).startswith("unknown")


def test_a_server_without_a_hypervisor_runs_no_domain() -> None:
    """A new server is not under Xen yet when the first domains are moved."""
    context, world, _, domain = off(images=True)
    world.fail = lambda host, argv: "no" if host == "snow02" and argv[0] in ("test", "xl") else None
    assert reason(context, domain) == ""


def test_for_a_volume_its_own_server_is_asked_and_nobody_else() -> None:
    """A domain would stay down because a server is dead that could never have run it."""
    context, world, _, domain = off(images=False)
    world.fail = away("snow02")
    assert reason(context, domain) == ""
    world.fail = without_xl("snow01")
    assert reason(context, domain).startswith("unknown: snow01 cannot tell")
    world.fail = lambda host, argv: None
    world.running["deploy01"] = "snow01"
    assert reason(context, domain) == "there: deploy01 runs on snow01"


def given_up(context: SiteContext, *, begun: bool = True, error: Exception | None = None) -> tuple[Exception, Listener]:
    """What comes of a move that fails in its middle."""
    listener = Listener()
    with (
        pytest.raises((SiteError, CommandError)) as caught,
        cutover.restart_on_failure(context, "deploy01", DEPLOY, listener) as time,
    ):
        if begun:
            time.begin()
        raise error or CommandError("the engine ended with 143")
    return caught.value, listener


def test_a_move_that_fails_starts_the_domain_again_from_its_volumes() -> None:
    context, world, _, _ = off(images=False)
    world.fail = away("snow02")
    error, _ = given_up(context)
    assert world.log == [("snow01", "create deploy01")] and "may be off" not in str(error)


def test_a_run_that_wakes_up_after_another_one_finished_does_not_start_the_domain_again() -> None:
    """It ran on the second server by then, from the images that the config names: the first one started it a second time."""
    context, world, _, _ = off(images=True)
    world.running["deploy01"] = "snow02"
    error, _ = given_up(context)
    assert world.log == [] and world.running == {"deploy01": "snow02"}
    assert "may be off" not in str(error)


def test_where_nobody_knows_the_domain_stays_off_and_that_is_said(clock: Clock) -> None:
    """A server that cannot answer counted as one that does not run it. And nobody may be told to start it just like that."""
    context, world, _, _ = off(images=True)
    world.fail = away("snow02")
    error, listener = given_up(context)
    assert world.log == [] and clock.now >= starting.PATIENCE_S
    assert "deploy01 may be off" in str(error) and "snow02 cannot tell whether it runs deploy01" in str(error)
    assert f"once it is certain that it runs nowhere: xl create {DEPLOY}" in str(error)
    assert "waiting for deploy01, since snow02 cannot tell" in listener.said[0]


def test_a_run_that_lost_its_lock_asks_and_starts_nothing() -> None:
    """It would be refused, and the one message that counts be followed by others."""
    context, world, _, _ = off(images=False)
    asked: list[Sequence[str]] = []
    world.fail = lambda host, argv: asked.append(argv)
    error, listener = given_up(context, error=LOST)
    assert error is LOST and str(error) == str(LOST)
    assert all(left_down.FOLDER in " ".join(argv) for argv in asked) and world.log == [] and listener.said == []
    assert left_down.is_noted(context.first, "deploy01"), "whoever has the lock could not know that it was left down"


def test_what_the_run_that_took_over_ended_is_not_taken_for_a_failure(tmp_path: Path) -> None:
    """The domain is down for the copy of the other run, and nothing on the servers says so: it would be started in its middle."""
    context, world, _, _ = off(images=False)
    lock = tmp_path / "lock"
    guard = Guard({"snow01": LocalHost("snow01")}, path=str(lock))
    guard.taken("a" * 24)
    guard.held("snow01")
    lock.write_text(f"bob on desk\n{'b' * 24}\n")
    error, listener = given_up(replace(context, guard=guard))
    assert isinstance(error, LostLockError) and "lost the lock on snow01 to bob on desk" in str(error)
    assert world.log == [] and listener.said == []


def test_a_run_that_learns_only_then_that_its_lock_is_lost_says_that_and_nothing_else() -> None:
    """`the engine ended with 143` is what the other run did to it."""
    context, world, _, _ = off(images=False)

    def fail(host: str, argv: Sequence[str]) -> str | None:
        if argv[:2] == ["xl", "create"]:
            raise LOST
        return None

    world.fail = fail
    error, _ = given_up(context)
    assert error is LOST and isinstance(error.__cause__, CommandError)
    assert world.log == []


def test_a_domain_is_not_shut_down_if_it_could_not_be_started_from_its_image() -> None:
    """It would be copied, and then be down with a verified image."""
    context, world, _ = single_server(("deploy01",))
    world.fail = away("snow02")
    with pytest.raises(SiteError, match="snow02 cannot tell whether it runs deploy01: it does not answer"):
        cold.move(context, "deploy01", {}, Listener())
    assert world.log == [] and world.running == {"deploy01": "snow01"}
    with context.restarting("snow02"):
        cold.move(context, "deploy01", {}, Listener())
    assert world.running == {"deploy01": "snow01"}
    assert cutover.missing(context, "deploy01") is None


def from_image(context: SiteContext) -> None:
    texts = (config("deploy01", 11), ON_IMAGES)
    cutover.start_from_image(context, "deploy01", DEPLOY, texts, "/sNow/domains/deploy01/deploy01-disk")


def test_a_server_that_is_lost_while_a_domain_is_copied_sends_it_back_to_its_volumes() -> None:
    """It would stay down for as long as the other server is, though its own disks are there."""
    context, world, hosts, _ = off(images=True)
    world.fail = away("snow02")
    with pytest.raises(CommandError, match="does not start from its image: snow02 cannot tell") as caught:
        from_image(context)
    assert "runs from its volumes" in caught.value.remedy
    assert hosts[0].text(DEPLOY) == config("deploy01", 11) and world.running == {"deploy01": "snow01"}


def test_a_domain_that_another_one_started_keeps_its_config_and_is_not_started() -> None:
    """From its volumes beside its images: what it writes would be in two places, and half of it be lost."""
    context, world, hosts, _ = off(images=True)
    world.running["deploy01"] = "snow02"
    with pytest.raises(SiteError, match="not started from its image: deploy01 runs on snow02"):
        from_image(context)
    world.running.clear()
    world.active, world.resources = {("snow01", "pacemaker")}, {"deploy01": None}
    with pytest.raises(SiteError, match="not started from its image: Pacemaker has deploy01"):
        from_image(context)
    assert hosts[0].text(DEPLOY) == ON_IMAGES and world.log == [] and world.running == {}


def test_what_an_earlier_run_left_down_on_its_image_is_not_started_where_nobody_knows(clock: Clock) -> None:
    """The config names the image already: the server that does not answer may have started the domain from it."""
    context, world, _, domain = off(images=True)
    server_program.install(context.first)
    world.leases.records |= {disk.target for disk in domain.disks}
    left_down.note(context.first, left_down.Note("deploy01", DEPLOY))
    world.fail = away("snow02")
    said: list[str] = []
    left_down.bring_back(context, said.append)
    assert world.log == [] and clock.now >= starting.PATIENCE_S
    assert "deploy01, which an earlier run had left down, is not started yet" in said[-1]
    assert "snow02 cannot tell whether it runs deploy01" in said[-1]
    assert left_down.is_noted(context.first, "deploy01"), "the next run would take it for off on purpose"
    world.fail = lambda host, argv: None
    left_down.bring_back(context, said.append)
    assert world.log == [("snow01", "create deploy01")] and left_down.noted(context.first) == ()


def test_a_config_that_only_xl_can_read_counts_as_one_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back all the same, but not while it may run elsewhere."""
    context, world, _, _ = off(images=False)

    def refuse(*words: object) -> None:
        raise InputError("a device_model_args of a kind that we do not know")

    monkeypatch.setattr(starting, "read_config", refuse)
    left_down.note(context.first, left_down.Note("deploy01", DEPLOY))
    world.fail = away("snow02")
    left_down.bring_back(context, print)
    assert world.log == []
    world.fail = lambda host, argv: None
    left_down.bring_back(context, print)
    assert world.log == [("snow01", "create deploy01")]
