"""Images that are attached already get their leases, and nothing is restarted for it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from lease_program import LeaseProgram
from listener import Listener
from simulated import DOMAINS, SimulatedHost, World, config, single_server
from simulated_leases import Leases

from snowha.disks import cold
from snowha.errors import CommandError, SiteError
from snowha.hosts.dry_run import DryRunHost
from snowha.live import lease_adoption
from snowha.live.context import SiteContext
from snowha.xen import leases as leases_of
from snowha.xen import server_program

DISK, SWAP = "/sNow/domains/deploy01/deploy01-disk", "/sNow/domains/deploy01/deploy01-swap"
FORMAT = "format=raw,vdev={},access={},script=block-snow,target={}"


def migrated(*servers: str) -> tuple[SiteContext, World, list[SimulatedHost]]:
    """deploy01 runs on snow01 from images, attached by the block script of before; the program is on ``servers`` (all)."""
    context, world, hosts = single_server(("deploy01",))
    text = config("deploy01", 11)
    for disk, vdev in ((DISK, "xvda2"), (SWAP, "xvda1")):
        name = disk.rpartition("/")[2]
        text = text.replace(f"phy:/dev/snow_vg/{name},{vdev},w", FORMAT.format(vdev, "rw", disk))
        world.disks[disk] = b"what it wrote"
    world.shared[f"{DOMAINS}/deploy01.cfg"] = (text.encode(), 0o644)
    world.leases.bare = {(DISK, "snow01"), (SWAP, "snow01")}
    for host in hosts:
        if host.name in (servers or ("snow01", "snow02")):
            server_program.install(host)
    return context, world, hosts


def test_an_image_is_leased_to_the_server_on_which_it_is_attached() -> None:
    """Nothing else refuses it on the other one; and the domain is not restarted for it."""
    context, world, _ = migrated()
    assert lease_adoption.missing(context) == f"{DISK} is attached on snow01 without a lease"
    listener = Listener()
    lease_adoption.adopt(context, listener)
    assert lease_adoption.missing(context) is None
    assert world.leases.adopted == {DISK, SWAP}
    assert world.log == [] and world.running == {"deploy01": "snow01"}
    assert listener.said == [f"leasing {image} to snow01, where it is attached" for image in (DISK, SWAP)]


def test_it_is_the_server_that_has_it_and_not_the_first_one() -> None:
    context, world, _ = migrated()
    world.leases.bare = {(DISK, "snow02"), (SWAP, "snow02")}
    lease_adoption.adopt(context, Listener())
    answer = leases_of.ask(context.first, [DISK])
    assert answer is not None
    assert (answer.records[0].server, answer.records[0].kind) == ("snow02", "adopted")


def test_an_image_that_is_attached_nowhere_gets_its_first_record() -> None:
    """Its domain could not be started: nothing attaches an image of which nobody knows who has it."""
    context, world, _ = migrated()
    world.leases.bare = {(DISK, "snow01")}
    world.leases.records = {DISK}
    world.leases.adopted = {DISK}
    assert lease_adoption.missing(context) == f"{SWAP} has no lease record"
    lease_adoption.adopt(context, Listener())
    assert lease_adoption.missing(context) is None
    assert world.leases.records == {DISK, SWAP} and world.leases.adopted == {DISK}


def test_a_record_that_is_lost_is_written_anew_where_the_image_is_attached() -> None:
    """Every run reported it, and none mended it: the domain could neither be migrated nor started any more."""
    context, world, _ = migrated()
    world.leases.bare = set()
    world.leases.opened = {"deploy01": (DISK, SWAP)}
    world.leases.records = {SWAP}
    assert lease_adoption.missing(context) == f"{DISK} has no lease record"
    listener = Listener()
    lease_adoption.adopt(context, listener)
    assert lease_adoption.missing(context) is None
    assert listener.said == [f"writing a new record of {DISK}, which snow01 has attached, since the old one is lost"]


def test_a_record_that_a_killed_copy_has_left_is_freed_on_its_server() -> None:
    """The other server could not start the domain, and no run changed that."""
    context, world, _ = migrated()
    world.leases.bare = set()
    world.leases.records = {DISK, SWAP}
    world.leases.left = {DISK: "snow02"}
    assert lease_adoption.missing(context) == f"{DISK} is leased to snow02 for a copy that has ended"
    listener = Listener()
    lease_adoption.adopt(context, listener)
    assert lease_adoption.missing(context) is None and world.leases.left == {}
    assert listener.said == [f"releasing the lease of {DISK}, which a copy that has ended on snow02 has left"]


@pytest.mark.parametrize("twice", [DISK, SWAP])
def test_an_image_that_is_attached_twice_is_refused_before_anything_is_leased(twice: str) -> None:
    """One of two writers would get the lease, and the other go on writing."""
    context, world, _ = migrated()
    world.leases.bare = {(DISK, "snow01"), (SWAP, "snow01"), (twice, "snow02")}
    with pytest.raises(SiteError, match="is attached on snow01 and snow02: its domain runs twice") as caught:
        lease_adoption.adopt(context, Listener())
    assert caught.value.where == twice and "xl shutdown" in caught.value.remedy
    assert world.leases.records == set()


def test_a_server_that_cannot_be_asked_may_have_it_attached() -> None:
    """The record would say that nobody has an image that another server writes to."""
    context, world, _ = migrated("snow01")
    world.leases.bare = {(DISK, "snow02")}
    assert lease_adoption.missing(context) == f"snow02: {server_program.PATH} is not there"
    with pytest.raises(SiteError) as caught:
        lease_adoption.adopt(context, Listener())
    assert caught.value.where == "snow02"
    assert world.leases.records == set()


def test_a_plan_shows_what_is_leased_before_the_program_is_there() -> None:
    """A plan said only that the rest is known later, of the very change that a cluster of before the leases is updated for."""
    context, world, _ = migrated("nobody")
    world.leases.bare = {(DISK, "snow02")}
    rehearsed = {name: DryRunHost(host, lambda argv, answer: None) for name, host in context.hosts.items()}
    plan = replace(context, hosts=dict(rehearsed))
    with pytest.raises(SiteError, match="is not there"):
        lease_adoption.adopt(plan, Listener())
    for host in rehearsed.values():
        server_program.install(host)
        host.take()
    lease_adoption.adopt(plan, Listener())
    assert rehearsed["snow02"].commands == [f"{server_program.PATH} adopt {DISK}"]
    assert rehearsed["snow01"].commands == [f"{server_program.PATH} new {SWAP}"]
    del world.disks[SWAP]  # it is copied by a step before
    for host in rehearsed.values():
        host.take()
    lease_adoption.adopt(plan, Listener())
    assert rehearsed["snow01"].commands == []
    assert world.leases.records == set()


def test_a_program_that_fails_is_not_one_that_has_nothing_attached() -> None:
    context, world, _ = migrated()
    world.fail = lambda host, argv: "perl: not found" if list(argv[:2]) == [server_program.PATH, "list"] else None
    with pytest.raises(CommandError, match="perl: not found"):
        lease_adoption.missing(context)
    with pytest.raises(CommandError, match="perl: not found"):
        lease_adoption.adopt(context, Listener())
    assert world.leases.records == set()


def test_disks_that_are_only_read_and_volumes_have_no_lease() -> None:
    """A site in the middle of the migration would never be done with them."""
    context, world, _ = migrated()
    text, mode = world.shared[f"{DOMAINS}/deploy01.cfg"]
    world.shared[f"{DOMAINS}/deploy01.cfg"] = (text.replace(b"access=rw", b"access=ro"), mode)
    assert lease_adoption.images(context) == [] and lease_adoption.missing(context) is None
    single, _, _ = single_server()
    assert lease_adoption.images(single) == [] and lease_adoption.missing(single) is None
    lease_adoption.adopt(single, Listener())


def test_a_domain_that_runs_from_its_file_already_is_leased_before_it_is_shut_down() -> None:
    """It is not copied, so no copy wrote a record: it would come back on its old config, after a time away for nothing."""
    context, world, _ = migrated()
    text = config("deploy01", 11).replace("phy:/dev/snow_vg", "file:/sNow/domains/deploy01")
    world.shared[f"{DOMAINS}/deploy01.cfg"] = (text.encode(), 0o644)
    leased: list[bool] = []

    def note(host: str, argv: list[str]) -> None:
        if argv[:2] == ["xl", "shutdown"]:
            leased.append(world.leases.adopted == {DISK, SWAP})
            world.leases.bare.clear()  # Xen's own script takes the devices away

    world.fail = note  # type: ignore[assignment]
    cold.move(context, "deploy01", {}, Listener())
    assert leased == [True]
    assert world.running == {"deploy01": "snow01"}
    assert world.leases.opened == {"deploy01": (DISK, SWAP)}


def test_what_is_said_in_memory_is_what_the_program_says(lease_program: LeaseProgram, tmp_path: Path) -> None:
    """Tests of steps would go on passing after the program has changed."""
    image, none = tmp_path / "image", tmp_path / "none"
    image.write_bytes(bytes(4096))
    model = Leases()

    def both(*words: str) -> tuple[subprocess.CompletedProcess[str], tuple[int, str, str]]:
        real = lease_program.run("snow01", *words)
        said = model.call("snow01", list(words), {})
        assert real.returncode == said[0], (real, said)
        return real, said

    both("new", str(image))
    real, said = both("new", str(image))
    assert said[2] == real.stderr
    real, said = both("adopt", str(image))
    assert said[2] == real.stderr
    real, said = both("list", str(image), str(none))
    (truth, made) = (json.loads(text) for text in (real.stdout, said[1]))
    assert truth.keys() == made.keys()
    (record, nothing), (made_record, made_nothing) = truth["records"], made["records"]
    assert nothing == made_nothing == {"image": str(none), "record": None}
    assert record["record"].keys() == made_record["record"].keys()
    # other tests attach images of theirs on this machine meanwhile
    attached = [one for one in truth["attached"] if one["image"].startswith(f"{tmp_path}/")]
    assert (attached, record["record"]["state"]) == (made["attached"], made_record["record"]["state"])
    assert os.fspath(image) == record["image"]
