"""A warm copy: in which order a server is told what, and that a domain is never left down nor a snapshot left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from listener import Listener
from recorded import (
    AFTER,
    BEFORE,
    CONFIG,
    IMAGES,
    MIB,
    engine,
    engines,
    ground_on,
    lvs,
    make_dir,
    no_cluster,
    places,
    read,
    read_configs,
    script_is_there,
    snapshot,
    vgs,
    volume,
    xl_list,
)

from snowha.errors import CommandError, SiteError
from snowha.hosts import files
from snowha.hosts.playback import Call, PlaybackHost
from snowha.images import travel
from snowha.migration import image_engine, images, left_down, moving, snapshots, starting, warm
from snowha.migration.snapshots import Watch, parse_lvs
from snowha.xen import xl

SNAPSHOT = "/dev/snow_vg/snow-ha-1-deploy01-disk"
STORE = "/dev/mapper/snow_vg-snow--ha--1--deploy01--disk-cow"
ORIGIN = "/dev/snow_vg/deploy01-disk"
SWAP = "/dev/snow_vg/deploy01-swap"
CONFIG_READ = read(CONFIG, BEFORE)
"""Which disks a domain would be started again from."""


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
    monkeypatch.setattr(warm, "_LOOK_EVERY", 0.1)
    monkeypatch.setattr(starting, "time", Clock())
    monkeypatch.setattr(starting, "PATIENCE_S", 1.5 * starting._LOOK_EVERY)


def point(number: int) -> str:
    """A name is not enough: the next run's snapshot has the same."""
    name = f"snow-ha-{number}-deploy01-disk"
    return f"{name}/uuid-of-{name}"


class Host(PlaybackHost):
    """Writing a file has a random name for its earlier version among its words, and one for the new file before the content:
    these are not compared."""

    def run(self, argv: Sequence[str], *, input: str | bytes = "", **more: object) -> object:  # type: ignore[override]
        words = list(argv)
        if words[:3] == ["sh", "-c", files._WRITE] and isinstance(input, bytes):
            words = [*words[:5], "…"]
            head, _, content = input.partition(b"\n")
            input = b" ".join(head.split()[:2]) + b"\n" + content
        return super().run(words, input=input, **more)  # type: ignore[arg-type]


def write(path: str, content: str | bytes) -> Call:
    data = content.encode() if isinstance(content, str) else content
    message = f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode() + data
    return Call(("sh", "-c", files._WRITE, "sh", path, "…"), stdout="changed\n", stdin=message)


def until_running(*left: dict[str, str]) -> list[Call]:
    """What is looked at before anything is done; ``left``: snapshots that an earlier run left."""
    return [
        read(CONFIG, BEFORE),
        *no_cluster(),
        *places("deploy01"),
        lvs(*left),
        *(Call(("lvremove", "--yes", f"snow_vg/{one['lv_name']}")) for one in left),
        read_configs(BEFORE),
        xl_list("deploy01"),
        *script_is_there(),
        make_dir("/var/lib/snow-ha"),
        write(image_engine.PATH, travel.pack()),
        make_dir("/sNow/domains/deploy01"),
        Call(("xl", "info"), stdout="xen_version : 4.20.0\nvirt_caps : pv hvm hap\nfree_memory : 100\n"),
        xl_reads(BEFORE),
        xl_reads(AFTER),
        blkid(ORIGIN, "ext4"),
        blkid(SWAP, "swap"),
        engine("map", SWAP, event="plan", kind="swap", bytes=0),
    ]


def xl_reads(text: str, **more: Any) -> Call:
    """What xl refuses to read starts no domain: it is asked before one is shut down."""
    return Call(("sh", "-c", xl.READS, "sh"), stdin=text.encode(), **more)


def blkid(device: str, kind: str) -> Call:
    return Call(("blkid", "-p", "-s", "TYPE", "-o", "value", device), stdout=f"{kind}\n")


def first_round(
    fill: str = "3.00", attributes: str = "swi-a-s---", *, e2fsck: int = 1, every: Sequence[str] = ()
) -> list[Call]:
    return [
        vgs(4096 * MIB),
        create(1),
        lvs(snapshot(1)),
        blkid(SNAPSHOT, "ext4"),
        Call(("e2fsck", "-f", "-p", "-C", "1", SNAPSHOT), returncode=e2fsck),
        engine(
            "copy",
            SNAPSHOT,
            IMAGES["xvda2"],
            "--point",
            point(1),
            *every,
            event="done",
            copied=300 * MIB,
            seconds=3.0,
            method="ext4 used blocks",
            reason="",
            verified=True,
        ),
        lvs(snapshot(1, fill, attributes)),
    ]


def create(number: int) -> Call:
    name = f"snow-ha-{number}-deploy01-disk"
    words = ("--snapshot", "--name", name, "--chunksize", "4k", "--size", f"{256 * MIB}b", "snow_vg/deploy01-disk")
    return Call(("lvcreate", "--yes", *words))


def estimate(number: int, size: int) -> list[Call]:
    store = STORE.replace("--1--", f"--{number}--")
    words = ("freshen", ORIGIN, store, IMAGES["xvda2"], "--base", point(number), "--preview")
    swap = {"event": "plan", "kind": "swap", "bytes": 0}
    return [engines((words, {"event": "plan", "bytes": size}), (("map", SWAP), swap))]


def last_copies(number: int = 1, returncode: int = 0, **event: Any) -> Call:
    """What is done while the domain is down: one process for all its disks."""
    store = STORE.replace("--1--", f"--{number}--")
    words = ("freshen", ORIGIN, store, IMAGES["xvda2"], "--base", point(number))
    waiting = (("wait", WORD), {"event": "found"})
    swap = (("copy", SWAP, IMAGES["xvda1"]), DONE)
    return engines(
        ((*words, "--ahead"), {"event": "ahead"}), swap, waiting, (words, event), swap, returncode=returncode
    )


def removal(number: int = 1) -> list[Call]:
    return [lvs(snapshot(number)), Call(("lvremove", "--yes", f"snow_vg/snow-ha-{number}-deploy01-disk"))]


NOTE = f"{left_down.FOLDER}/deploy01.json"
NOTED = [
    make_dir(left_down.FOLDER),
    write(NOTE, json.dumps({"name": "deploy01", "config": CONFIG, "addresses": []}) + "\n"),
]
"""Before it is shut down: the next run must know that this one did it."""
FORGOTTEN = Call(("sh", "-c", files._REMOVE, "sh", NOTE, "", ""), stdout="changed\n")

WORD = "/run/snow-ha-deploy01-is-off"
SHUTDOWN = [
    *NOTED,
    xl_list("deploy01"),
    Call(("xl", "shutdown", "-w", "deploy01")),
    replace(xl_list(), argv=("sh", "-c", xl.UNTIL_GONE, "sh", "/local/domain/1")),
    Call(("touch", WORD)),
]
DONE: dict[str, Any] = {
    "event": "done",
    "copied": 8 * MIB,
    "seconds": 0.1,
    "verified": True,
    "method": "m",
    "missed": 0,
}


def switch(number: int = 1) -> list[Call]:
    return [
        last_copies(number, **DONE),
        lvs(snapshot(number)),
        *SHUTDOWN,
        write(CONFIG, AFTER),
        *places(),
        *no_cluster(),
        Call(("xl", "create", CONFIG)),
        FORGOTTEN,
        xl_list("deploy01"),
        xl_list("deploy01"),
    ]


def test_the_domain_is_down_only_for_what_is_left() -> None:
    heard = Listener()
    with Host("snow01", [*until_running(), *first_round(), *estimate(1, 8 * MIB), *switch(), *removal()]) as host:
        warm.move(ground_on(host), "deploy01", warm.Wish(), heard)
    assert heard.facts["type"] == "pvh" and "away_s" in heard.facts and "estimate_s" in heard.facts
    said = "\n".join(heard.said)
    assert said.index("it would be away about") < said.index("shutting down deploy01")


def test_of_a_file_system_with_errors_every_block_is_copied() -> None:
    """A file whose blocks are called free would not be in the image, and the kernel would have gone on reading it."""
    heard = Listener()
    first = first_round(e2fsck=4, every=["--every-block"])
    with Host("snow01", [*until_running(), *first, *estimate(1, 8 * MIB), *switch(), *removal()]) as host:
        warm.move(ground_on(host), "deploy01", warm.Wish(), heard)
    assert any("has errors" in line for line in heard.said)


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_config_that_xl_does_not_read_ends_it_before_anything_else(which: str) -> None:
    """Ours was accepted, and xl refused the old config and the new one: the domain was down, with nothing to start it from."""
    refused: dict[str, Any] = {
        "returncode": 1,
        "stderr": "/run/snow-ha-read.a1B2c3:7: config parsing error near `Extra': lexical error\n",
    }
    until = until_running()
    at = next(number for number, call in enumerate(until) if xl.READS in call.argv)
    reads = [xl_reads(BEFORE, **(refused if which == "old" else {}))]
    if which == "new":
        reads.append(xl_reads(AFTER, **refused))
    with (
        Host("snow01", [*until[:at], *reads]) as host,
        pytest.raises(SiteError, match=r"xl cannot read .*config:7: .*lexical error") as raised,
    ):
        warm.move(ground_on(host), "deploy01", warm.Wish(), Listener())
    assert ("is to become" in raised.value.message) is (which == "new") and CONFIG in raised.value.message


def test_if_much_is_left_another_round_goes_before() -> None:
    words = ("--base", point(1), "--point", point(2))
    second = [
        vgs(4096 * MIB),
        create(2),
        lvs(snapshot(1), snapshot(2)),
        engine("freshen", SNAPSHOT.replace("-1-", "-2-"), STORE, IMAGES["xvda2"], *words, **DONE),
        lvs(snapshot(1), snapshot(2)),
        Call(("lvremove", "--yes", "snow_vg/snow-ha-1-deploy01-disk")),
    ]
    rounds = [*estimate(1, 900 * MIB), *second, *estimate(2, 8 * MIB)]
    with Host("snow01", [*until_running(), *first_round(), *rounds, *switch(2), *removal(2)]) as host:
        warm.move(ground_on(host), "deploy01", warm.Wish(), Listener())


def test_a_domain_that_would_be_away_too_long_is_not_shut_down() -> None:
    """Somebody said how long at most; the copy is given up and the domain never noticed."""
    second = [
        vgs(4096 * MIB),
        create(2),
        lvs(snapshot(1), snapshot(2)),
        engine(
            "freshen",
            SNAPSHOT.replace("-1-", "-2-"),
            STORE,
            IMAGES["xvda2"],
            "--base",
            point(1),
            "--point",
            point(2),
            **DONE,
        ),
        lvs(snapshot(1), snapshot(2)),
        Call(("lvremove", "--yes", "snow_vg/snow-ha-1-deploy01-disk")),
    ]
    rounds = [*estimate(1, 900 * MIB), *second, *estimate(2, 900 * MIB)]
    with (
        Host("snow01", [*until_running(), *first_round(), *rounds, *removal(2)]) as host,
        pytest.raises(SiteError, match="35 s are allowed"),
    ):
        warm.move(ground_on(host), "deploy01", warm.Wish(max_away=35), Listener())


def test_without_room_for_another_round_the_switch_is_made_with_what_is_left() -> None:
    heard = Listener()
    calls = [*until_running(), *first_round(), *estimate(1, 900 * MIB), vgs(100 * MIB), *switch(), *removal()]
    with Host("snow01", calls) as host:
        warm.move(ground_on(host), "deploy01", warm.Wish(), heard)
    assert "there is no room for another round" in heard.said


def test_an_overflowed_snapshot_ends_it_with_the_domain_running() -> None:
    """What was read from it after it overflowed is worth nothing."""
    with (
        Host("snow01", [*until_running(), *first_round("100.00", "swi-I-s---"), *removal()]) as host,
        pytest.raises(SiteError, match="overflowed"),
    ):
        warm.move(ground_on(host), "deploy01", warm.Wish(), Listener())


def test_if_the_last_round_fails_the_domain_starts_from_its_volumes() -> None:
    failed = last_copies(returncode=6, event="error", message="2 ranges differ", remedy="look")
    back = [CONFIG_READ, xl_list(), Call(("xl", "create", CONFIG)), FORGOTTEN]
    calls = [
        *until_running(),
        *first_round(),
        *estimate(1, 8 * MIB),
        failed,
        lvs(snapshot(1)),
        *SHUTDOWN,
        *back,
        *removal(),
    ]
    with Host("snow01", calls) as host, pytest.raises(CommandError, match="2 ranges differ"):
        warm.move(ground_on(host), "deploy01", warm.Wish(), Listener())


def ends_instead(*shutdown: Call) -> tuple[Listener, SiteError]:
    """What is said when the domain does not end as it should; nothing is copied, and the config stays."""
    heard = Listener()
    calls = [
        *until_running(),
        *first_round(),
        *estimate(1, 8 * MIB),
        last_copies(**DONE),
        lvs(snapshot(1)),
        *NOTED,
        xl_list("deploy01"),
    ]
    with Host("snow01", [*calls, *shutdown, *removal()]) as host, pytest.raises(SiteError) as raised:
        warm.move(ground_on(host), "deploy01", warm.Wish(), heard)
    return heard, raised.value


def test_a_domain_that_reboots_instead_of_shutting_down_is_not_taken_for_off() -> None:
    """It would come up from its volumes again, with a config that names its images: what it writes then would be lost."""
    said = "Shutting down domain 1\nDomain 1 has been shut down, reason code 1\n"
    halted = Call(("xl", "shutdown", "-w", "deploy01"), stderr=said)
    _, error = ends_instead(
        halted, CONFIG_READ, xl_list("deploy01"), xl_list("deploy01"), xl_list("deploy01"), FORGOTTEN
    )
    assert "rebooted" in error.message


def test_a_domain_that_ends_after_it_was_given_up_is_started_again() -> None:
    """Asked to shut down, it does so in the end, and would stay off."""
    slow = Call(("xl", "shutdown", "-w", "deploy01"), returncode=124, stderr="too slow")
    again = Call(("xl", "create", CONFIG))
    heard, error = ends_instead(
        slow, xl_list("deploy01"), CONFIG_READ, xl_list("deploy01"), xl_list(), again, FORGOTTEN
    )
    assert "did not shut down" in error.message
    assert "starting deploy01 again from what its config names" in heard.said


def test_a_domain_that_cannot_be_started_again_is_named() -> None:
    slow = Call(("xl", "shutdown", "-w", "deploy01"), returncode=124, stderr="too slow")
    again = Call(("xl", "create", CONFIG), returncode=1, stderr="no memory")
    _, error = ends_instead(slow, xl_list("deploy01"), CONFIG_READ, xl_list(), again)
    assert "did not shut down" in error.message and "deploy01 may be off" in error.message


def test_a_domain_that_somebody_else_started_keeps_its_volumes() -> None:
    """xl refuses to start it a second time; it does not run from its image, and its config must not say so."""
    disks = json.dumps({"disks": [{"pdev_path": ORIGIN}]})
    refused = Call(("xl", "create", CONFIG), returncode=1, stderr="Domain with name deploy01 already exists.")
    listed = Call(("xl", "list", "-l", "deploy01"), stdout=disks)
    tried = [*places(), *no_cluster(), refused, xl_list("deploy01")]
    for begin in (tried, [*places("deploy01"), xl_list("deploy01")]):  # it was there before, or came between
        calls = [*begin, listed, write(CONFIG, BEFORE), FORGOTTEN]
        with Host("snow01", calls) as host, pytest.raises(CommandError):
            moving.start_from_image(ground_on(host), "deploy01", CONFIG, (BEFORE, AFTER), IMAGES["xvda2"])
        from_image = replace(listed, stdout=disks.replace(ORIGIN, IMAGES["xvda2"]))
        with Host("snow01", [*begin, from_image, FORGOTTEN]) as host:
            moving.start_from_image(ground_on(host), "deploy01", CONFIG, (BEFORE, AFTER), IMAGES["xvda2"])


def test_what_a_killed_run_left_is_removed_first() -> None:
    heard = Listener()
    left = (snapshot(1, "40.00"), snapshot(2, "2.00"))
    calls = [*until_running(*left), *first_round(), *estimate(1, 8 * MIB), *switch(), *removal()]
    with Host("snow01", calls) as host:
        warm.move(ground_on(host), "deploy01", warm.Wish(), heard)
    assert sum("an earlier run had left" in line for line in heard.said) == 2


def test_no_room_for_a_snapshot_is_said_before_one_is_made() -> None:
    with (
        Host("snow01", [*until_running(), vgs(100 * MIB), lvs()]) as host,
        pytest.raises(SiteError, match="has 100 MiB left, the snapshots need 256 MiB"),
    ):
        warm.move(ground_on(host), "deploy01", warm.Wish(), Listener())


def test_a_snapshot_that_fills_up_is_enlarged_or_everything_stops() -> None:
    name = "snow_vg/snow-ha-1-deploy01-disk"
    calls = [
        lvs(snapshot(1, "70.00")),
        vgs(1024 * MIB),
        Call(("lvextend", "--yes", "--size", f"+{256 * MIB}b", name)),
        lvs(snapshot(1, "70.00")),
        vgs(0),
        lvs(snapshot(1, "91.00")),
        vgs(0),
    ]
    with Host("snow01", calls) as host:
        watch = Watch(host, [name], now=lambda: 0.0)
        watch.look()
        watch.look()
        with pytest.raises(SiteError, match="91 % full"):
            watch.look()


def test_it_looks_only_every_few_seconds() -> None:
    """The engine tells twice a second how far it is; each look is a command on a busy server."""
    clock = [0.0]
    with Host("snow01", [lvs(snapshot(1))]) as host:
        watch = Watch(host, ["snow_vg/snow-ha-1-deploy01-disk"], now=lambda: clock[0])
        for _ in range(8):
            watch()
            clock[0] += 0.5


def test_nothing_but_a_snapshot_of_ours_is_ever_removed() -> None:
    """A name alone is not enough: the volume of a domain that is called like one would be lost."""
    rows = (
        volume("snow-ha-1-deploy01-disk"),
        volume("backup", origin="deploy01-disk"),
        volume("snow-ha-1-other", origin="deploy01-disk"),
    )
    with Host("snow01", [lvs(*rows)]) as host:
        found = snapshots.volumes(host)
        assert snapshots.remove_left(host, found) == []
        for one in found:
            with pytest.raises(ValueError, match="no snapshot of ours"):
                snapshots.remove(host, one)


def test_what_lvs_says_is_understood_or_refused() -> None:
    with pytest.raises(CommandError, match="not understood"):
        parse_lvs('{"report": [{"lv": [{"vg_name": "a"}]}]}')
    with pytest.raises(CommandError, match="not understood"):
        parse_lvs("WARNING: something")


@pytest.mark.parametrize(("limit_mib", "large"), [(1087, True), (1088, False), (0, True)])
def test_apply_copies_a_domain_with_large_volumes_while_it_runs(limit_mib: int, large: bool) -> None:
    """1024 and 64 MiB. A domain with a large disk would be away for the whole of its copy."""
    calls = [read(CONFIG, BEFORE), lvs(), *([xl_list("deploy01")] if large else [])]
    with Host("snow01", calls) as host:
        ground = ground_on(host)
        assert images.is_large(replace(ground, site=replace(ground.site, warm_from_mib=limit_mib)), "deploy01") is large


def test_a_domain_that_is_off_or_on_no_logical_volume_is_copied_as_it_is() -> None:
    no_lvm = Call(("lvs", *snapshots._AS_JSON, snapshots._COLUMNS), returncode=127, stderr="lvs: not found")
    for calls in ([read(CONFIG, BEFORE), lvs(), xl_list()], [read(CONFIG, BEFORE), no_lvm]):
        with Host("snow01", calls) as host:
            ground = ground_on(host)
            assert not images.is_large(replace(ground, site=replace(ground.site, warm_from_mib=0)), "deploy01")
