"""Images listed, verified, brought back, and the old volumes removed: what would lose data is refused."""

from __future__ import annotations

import json
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
    Host,
    engine,
    ground_on,
    lvs,
    make_dir,
    no_cluster,
    places,
    read,
    read_configs,
    script_is_there,
    snapshot,
    text_of,
    volume,
    write,
)

from snowha.disks import image_verbs
from snowha.disks.image_verbs import STAT
from snowha.errors import InputError, ProofError, SiteError
from snowha.hosts import file_scripts, files
from snowha.hosts.playback import Call
from snowha.images import bundle

DISK, SWAP = "/dev/snow_vg/deploy01-disk", "/dev/snow_vg/deploy01-swap"
VERIFIED = 1_769_860_800
"""2026-01-31T12:00:00Z"""


def record(source: str, **more: Any) -> str:
    head: dict[str, Any] = {
        "finished": "2026-01-31T12:00:00Z",
        "image_mtime_ns": VERIFIED * 10**9,
        "source": {"path": source, "host": "snow01"},
    }
    return json.dumps(head | more)


def look(*, config: str = AFTER, changed: int = VERIFIED, there: bool = True, gone: str = "") -> list[Call]:
    """What is asked to list the images of deploy01."""
    lines = [f"{1024 * MIB} 600000 {changed}", f"{64 * MIB} 8 {changed}"] if there else ["absent", "absent"]
    return [
        read_configs(config),
        Call(("sh", "-c", STAT, "sh", IMAGES["xvda2"], IMAGES["xvda1"]), stdout="\n".join(lines) + "\n"),
        lvs(but=gone),
        read(f"{IMAGES['xvda2']}.manifest", record(DISK) if there else None),
        read(f"{IMAGES['xvda1']}.manifest", record(SWAP) if there else None),
    ]


def bring() -> list[Call]:
    return [*script_is_there(), make_dir("/var/lib/snow-ha"), write(bundle.PATH, bundle.pack())]


def kept(*versions: tuple[str, str]) -> Call:
    folder = f"{files.KEPT}{CONFIG}"
    lines = [f"{text_of(f'{folder}/{name}')} {text_of(content)}\n" for name, content in versions]
    return Call(("sh", "-c", file_scripts.READ_FOLDER, "sh", folder, ""), stdout="".join(lines))


@pytest.mark.parametrize(
    ("calls", "states"),
    [
        (look(there=False, config=BEFORE), ["not there", "not there"]),
        (look(config=BEFORE), ["verified, not used", "verified, not used"]),
        (look(), ["verified", "verified"]),
        (look(changed=VERIFIED + 60), ["in use", "in use"]),
    ],
)
def test_the_state_of_every_image(calls: list[Call], states: list[str]) -> None:
    with Host("snow01", calls) as host:
        found = image_verbs.images(ground_on(host))
    assert [one.state for one in found] == states
    assert [one.path for one in found] == [IMAGES["xvda2"], IMAGES["xvda1"]]


def test_the_image_of_a_snapshot_is_not_called_verified() -> None:
    """A warm copy that did not end left it: the domain has written since, and `discard` must not count on it."""
    calls = look(config=BEFORE)
    calls[3] = read(f"{IMAGES['xvda2']}.manifest", record(DISK, point="snow-ha-1-deploy01-disk/uuid"))
    with Host("snow01", calls) as host:
        found = image_verbs.images(ground_on(host))
    assert [one.state for one in found] == ["not verified", "verified, not used"]


def test_images_are_verified_before_they_are_used_and_not_after() -> None:
    """A running domain's image differs from what was copied, and nobody should learn to ignore that."""
    calls = [
        *look(config=BEFORE),
        *bring(),
        engine("verify", IMAGES["xvda2"], event="done", verified=True, hash="sha256:1"),
        engine("verify", IMAGES["xvda1"], event="done", verified=True, hash="sha256:2"),
    ]
    heard = Listener()
    with Host("snow01", calls) as host:
        image_verbs.verify(ground_on(host), "deploy01", heard)
    assert set(heard.facts) == set(IMAGES.values())
    with Host("snow01", look(changed=VERIFIED + 60)) as host, pytest.raises(SiteError, match="was written since"):
        image_verbs.verify(ground_on(host), "deploy01", Listener())


def test_an_image_that_is_not_there_does_not_differ() -> None:
    """A script would take a typing mistake, or a copy that was never made, for a storage that loses data."""
    with Host("snow01", look(there=False, config=BEFORE)) as host, pytest.raises(SiteError) as caught:
        image_verbs.verify(ground_on(host), "deploy01", Listener())
    assert f"{IMAGES['xvda2']} is not there" in caught.value.message
    assert "snow images copy deploy01" in caught.value.remedy
    calls = look(config=BEFORE)
    calls[3] = read(f"{IMAGES['xvda2']}.manifest", None)
    with Host("snow01", calls) as host, pytest.raises(SiteError, match="is not verified"):
        image_verbs.verify(ground_on(host), "deploy01", Listener())


def test_an_image_that_differs_is_a_proof_that_failed() -> None:
    calls = [
        *look(config=BEFORE),
        *bring(),
        engine(
            "verify",
            IMAGES["xvda2"],
            returncode=6,
            event="error",
            kind="verify",
            message="1 ranges differ",
            remedy="look",
        ),
    ]
    with Host("snow01", calls) as host, pytest.raises(ProofError, match="1 ranges differ"):
        image_verbs.verify(ground_on(host), "deploy01", Listener())


def test_the_way_back_writes_the_volumes_and_then_the_config() -> None:
    """The newest kept config that names the volumes, not one that names the images."""
    calls = [
        *places(),
        *no_cluster(),
        *look(changed=VERIFIED + 60),
        lvs(),
        kept(("1", BEFORE.replace("128", "64")), ("2", BEFORE), ("3", AFTER), ("4", "no config at all [")),
        *bring(),
        engine("copy", IMAGES["xvda2"], DISK, event="done", verified=True),
        engine("copy", IMAGES["xvda1"], SWAP, event="done", verified=True),
        write(CONFIG, BEFORE),
    ]
    with Host("snow01", calls) as host:
        image_verbs.restore(ground_on(host), "deploy01", Listener())


def test_a_domain_that_has_shut_down_is_waited_for_until_its_disks_are_free() -> None:
    """Whoever has just shut it down would be told to shut it down."""
    under_xen, listed = places("deploy01")
    dying = replace(listed, stdout=listed.stdout.replace("-b----", "---s--"))
    heard = Listener()
    calls = [under_xen, dying, *places(), *no_cluster(), *look(), lvs(), kept(("1", AFTER))]
    with Host("snow01", calls) as host, pytest.raises(InputError, match="no earlier config"):
        image_verbs.restore(ground_on(host), "deploy01", heard)


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        (places("deploy01"), "deploy01 runs on snow01"),
        ([*places(), *no_cluster(), *look(there=False), lvs()], "does not exist"),
        ([*places(), *no_cluster(), *look(gone="deploy01-disk"), lvs(but="deploy01-disk")], "deploy01-disk is gone"),
    ],
)
def test_the_way_back_is_refused_before_anything_is_written(calls: list[Call], says: str) -> None:
    with Host("snow01", calls) as host, pytest.raises(SiteError, match=says):
        image_verbs.restore(ground_on(host), "deploy01", Listener())


def test_without_a_config_that_names_the_volumes_nothing_is_written() -> None:
    calls = [*places(), *no_cluster(), *look(), lvs(), kept(("1", AFTER))]
    with Host("snow01", calls) as host, pytest.raises(InputError, match="no earlier config"):
        image_verbs.restore(ground_on(host), "deploy01", Listener())


def clock(now: int) -> list[Call]:
    each = [
        Call(("date", "-u", "-d", "2026-01-31T12:00:00Z", "+%s"), stdout=f"{VERIFIED}\n"),
        Call(("date", "-u", "+%s"), stdout=f"{now}\n"),
    ]
    return each * 2


def removed(*names: str) -> list[Call]:
    return [
        *(resolved(f"/dev/snow_vg/{name}", "/dev/dm-1") for name in names),
        *(Call(("lvremove", "--yes", f"snow_vg/{name}")) for name in names),
    ]


def resolved(volume: str, device: str) -> Call:
    """Where the volume and the disks of the config really are."""
    named = [f"/sNow/domains/deploy01/deploy01-{what}" for what in ("disk", "swap")]
    return Call(("readlink", "-m", "--", volume, *named), stdout="".join(f"{path}\n" for path in (device, *named)))


CLOSED = [volume("deploy01-disk", attributes="-wi-a-----"), volume("deploy01-swap", attributes="-wi-a-----")]


def only(*rows: dict[str, str]) -> Call:
    return Call(lvs().argv, stdout=json.dumps({"report": [{"lv": list(rows)}]}))


def test_old_volumes_go_when_the_images_have_run_for_a_day() -> None:
    calls = [
        *look(changed=VERIFIED + 60),
        *places("deploy01"),
        *clock(VERIFIED + 90_000),
        read_configs(AFTER),
        only(*CLOSED),
        *removed("deploy01-disk", "deploy01-swap"),
    ]
    with Host("snow01", calls) as host:
        image_verbs.discard(ground_on(host), "deploy01", Listener())


def test_sooner_only_if_asked_for() -> None:
    early = [*look(changed=VERIFIED + 60), *places("deploy01"), *clock(VERIFIED + 7200)]
    with Host("snow01", early) as host, pytest.raises(SiteError, match="2 h ago"):
        image_verbs.discard(ground_on(host), "deploy01", Listener())
    rest = [read_configs(AFTER), only(*CLOSED), *removed("deploy01-disk", "deploy01-swap")]
    with Host("snow01", [*early, *rest]) as host:
        image_verbs.discard(ground_on(host), "deploy01", Listener(), now=True)


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        (look(config=BEFORE), "may be the only copy"),
        (look(there=False), "may be the only copy"),
        ([*look(changed=VERIFIED + 60), *places()], "has not run from its images"),
        ([*look(), *places("deploy01")], "has not run from its images"),
        (
            [*look(changed=VERIFIED + 60), *places("deploy01"), *clock(VERIFIED), read_configs(AFTER), lvs()],
            "is in use",
        ),
        (
            [
                *look(changed=VERIFIED + 60),
                *places("deploy01"),
                *clock(VERIFIED),
                read_configs(AFTER),
                only(*CLOSED, snapshot(1)),
            ],
            "has snapshots",
        ),
    ],
)
def test_the_last_copy_of_a_disk_is_never_removed(calls: list[Call], says: str) -> None:
    with Host("snow01", calls) as host, pytest.raises(SiteError, match=says):
        image_verbs.discard(ground_on(host), "deploy01", Listener(), now=True)
