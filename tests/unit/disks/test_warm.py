"""A warm copy: a domain is never left down nor a snapshot left behind, and never runs from an image that is not whole.

What must come before what is held by LvmServer, at each command.
"""

from __future__ import annotations

import pytest
from listener import Listener
from lvm_server import ORIGIN, REBOOTED, TOO_SLOW, LvmServer
from recorded import AFTER, BEFORE, CONFIG, IMAGES, MIB, ground_on, snapshot

from snowha.disks import warm
from snowha.errors import CommandError, SiteError, SnowError
from snowha.live import starting


class Clock:
    """Time passes only while one waits: how often somebody looks does not depend on how busy this machine is."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A domain that was given up is looked at three times."""
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr(starting, "time", clock)
    monkeypatch.setattr(starting, "PATIENCE_S", 4.0)


def move(server: LvmServer, wish: warm.CopyOptions | None = None) -> Listener:
    listener = Listener()
    warm.move(ground_on(server), "deploy01", wish or warm.CopyOptions(), listener)
    return listener


def refused(server: LvmServer, wish: warm.CopyOptions | None = None) -> tuple[SnowError, Listener]:
    """Why the domain was not moved. It is as it was: it runs from its volumes, and no snapshot is left."""
    listener = Listener()
    with pytest.raises(SnowError) as raised:
        warm.move(ground_on(server), "deploy01", wish or warm.CopyOptions(), listener)
    assert server.config == BEFORE and server.started_with == ORIGIN
    assert server.snapshots == []
    return raised.value, listener


def is_moved(server: LvmServer) -> None:
    assert server.config == AFTER
    assert server.is_running and server.started_with == IMAGES["xvda2"]
    assert not server.is_noted
    assert server.snapshots == []
    assert [row["lv_name"] for row in server.volumes] == ["deploy01-disk", "deploy01-swap"]


def test_the_domain_is_down_only_for_what_is_left() -> None:
    server = LvmServer()
    heard = move(server)
    is_moved(server)
    assert server.done == [
        "snapshot 1",
        "copy snow-ha-1-deploy01-disk",
        "copy ahead",
        "shutdown",
        "copy what is left",
        f"create from {IMAGES['xvda2']}",
        "remove snow-ha-1-deploy01-disk",
    ]
    assert heard.facts["type"] == "pvh" and "away_s" in heard.facts and "estimate_s" in heard.facts
    said = "\n".join(heard.said)
    assert said.index("estimated downtime: about") < said.index("shutting down deploy01")


def test_of_a_file_system_with_errors_every_block_is_copied() -> None:
    """A file whose blocks are called free would not be in the image, and the kernel would have gone on reading it."""
    server = LvmServer()
    server.e2fsck = 4
    heard = move(server)
    is_moved(server)
    assert "copy snow-ha-1-deploy01-disk --every-block" in server.done
    assert any("has errors" in line for line in heard.said)


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_config_that_xl_does_not_read_ends_it_before_anything_else(which: str) -> None:
    """Ours was accepted, and xl refused the old config and the new one: the domain was down, with nothing to start it from."""
    server = LvmServer()
    server.xl_refuses = BEFORE if which == "old" else AFTER
    error, _ = refused(server)
    assert "xl cannot read" in error.message and "config:7: config parsing error" in error.message
    assert ("the new /" in error.message) is (which == "new") and CONFIG in error.message
    assert server.done == []


def test_if_much_is_left_another_round_goes_before() -> None:
    server = LvmServer(left_to_copy={1: 900 * MIB, 2: 8 * MIB})
    move(server)
    is_moved(server)
    rounds = ["snapshot 2", "copy what snow-ha-2-deploy01-disk has more", "remove snow-ha-1-deploy01-disk"]
    assert server.done[2:5] == rounds
    assert server.done.index("shutdown") > 5


def test_a_domain_that_would_be_away_too_long_is_not_shut_down() -> None:
    """Somebody said how long at most; the copy is given up and the domain never noticed."""
    server = LvmServer(left_to_copy={1: 900 * MIB, 2: 900 * MIB})
    error, _ = refused(server, warm.CopyOptions(max_away=35))
    assert "35 s are allowed" in error.message
    assert server.is_running and "shutdown" not in server.done
    assert "snapshot 2" in server.done


def test_without_room_for_another_round_the_switch_is_made_with_what_is_left() -> None:
    server = LvmServer(room=(256 + 100) * MIB, left_to_copy={1: 900 * MIB})
    heard = move(server)
    is_moved(server)
    assert "snapshot 2" not in server.done
    assert "there is no room for another round" in heard.said


def test_an_overflowed_snapshot_ends_it_with_the_domain_running() -> None:
    """What was read from it after it overflowed is worth nothing."""
    server = LvmServer()
    server.fill, server.attributes = "100.00", "swi-I-s---"
    error, _ = refused(server)
    assert "overflowed" in error.message
    assert server.is_running
    assert server.done == ["snapshot 1", "copy snow-ha-1-deploy01-disk", "remove snow-ha-1-deploy01-disk"]


def test_if_the_last_round_fails_the_domain_starts_from_its_volumes() -> None:
    server = LvmServer()
    server.last_copy_fails = "2 ranges differ"
    error, _ = refused(server)
    assert isinstance(error, CommandError) and "2 ranges differ" in error.message
    assert server.is_running and not server.is_noted
    assert server.done[-3:-1] == ["shutdown", f"create from {ORIGIN}"]


def test_a_domain_that_reboots_instead_of_shutting_down_is_not_taken_for_off() -> None:
    """It would come up from its volumes again, with a config that names its images: what it writes then would be lost."""
    server = LvmServer()
    server.shutdown = REBOOTED
    error, _ = refused(server)
    assert "rebooted" in error.message
    assert server.is_running and not server.is_noted
    assert not [done for done in server.done if done.startswith("create") or done == "copy what is left"]


def test_a_domain_that_ends_after_it_was_given_up_is_started_again() -> None:
    """Asked to shut down, it does so in the end, and would stay off."""
    server = LvmServer()
    server.shutdown, server.ends_after = TOO_SLOW, 2
    error, heard = refused(server)
    assert "did not shut down" in error.message
    assert "starting deploy01 again from the disks in its config" in heard.said
    assert server.is_running and not server.is_noted
    assert "copy what is left" not in server.done


def test_a_domain_that_cannot_be_started_again_is_named() -> None:
    """It is noted still: the next run starts it."""
    server = LvmServer()
    server.shutdown, server.ends_after = TOO_SLOW, 1
    server.world.fail = lambda host, words: "no memory" if words[:2] == ["xl", "create"] else None
    error, _ = refused(server)
    assert "did not shut down" in error.message and "deploy01 may be off" in error.message
    assert not server.is_running and server.is_noted


def test_what_a_killed_run_left_is_removed_first() -> None:
    server = LvmServer(snapshot(1, "40.00"), snapshot(2, "2.00"))
    heard = move(server)
    is_moved(server)
    assert server.done[:3] == ["remove snow-ha-1-deploy01-disk", "remove snow-ha-2-deploy01-disk", "snapshot 1"]
    assert sum("an earlier run had left" in line for line in heard.said) == 2


def test_no_room_for_a_snapshot_is_said_before_one_is_made() -> None:
    server = LvmServer(room=100 * MIB)
    error, _ = refused(server)
    assert isinstance(error, SiteError) and "has 100 MiB free, but the snapshots need 256 MiB" in error.message
    assert server.done == []
