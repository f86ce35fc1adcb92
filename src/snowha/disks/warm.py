"""A domain's images copied while it runs.

A snapshot of each volume is copied, with the domain running. What it wrote meanwhile is known from the snapshot, and is
copied from a second snapshot, and so on, until little is left. Then the domain goes down, the last of it is copied from the
volumes themselves and verified, and the domain comes up from the images. Why this is right, and what would not be, is said
in ``images/incremental.py``.

Until the domain is shut down nothing of it was changed: whatever fails before that leaves it running, and the snapshots are
removed. From then on it is as with a cold copy: if anything fails, it is started from its volumes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from snowha.disks import cold, cutover, engine_driver, fsck, snapshots, warm_disks
from snowha.disks.snapshots import SnapshotMonitor, Volume
from snowha.disks.warm_disks import RemainingDisk, WarmDisk
from snowha.errors import LostLockError, SiteError, SnowError
from snowha.hosts.files import make_dir, write_file
from snowha.hosts.host import Host
from snowha.live import cluster, starting
from snowha.live.context import SiteContext, read_config
from snowha.plan.step import Reporter, Shielded
from snowha.site.model import Disk, Domain
from snowha.xen import xl

_MOST_ROUNDS = 6
_SHORT = 3.0
"""Seconds. If the last round would take no longer, another one before it saves nothing."""
_WORTH = 0.7
"""Another round must have shortened the last one at least to this share of what it was, else the next is not tried."""

_POLLS, _POLL_INTERVAL, _QUIET = 6, 5.0, 0.3
"""Looks at a domain that starts, seconds between them, and the share of a processor with which it counts as quiet."""


@dataclass(frozen=True)
class CopyOptions:
    """What whoever asks for a warm copy may choose."""

    max_away: float | None = None
    """Seconds; if the domain would be away longer, it is not shut down."""
    snapshot_size: int | None = None
    """Bytes a volume."""
    rate: float | None = None
    """MiB/s at most, while the domain runs."""
    cold: bool = False
    """Not while it runs: shut it down first."""
    own: float = 30.0
    """Seconds assumed for the domain's own shutdown and start: nobody knows them before."""


@dataclass(frozen=True)
class Estimate:
    """How long the domain would be away."""

    copying: float
    own: float
    size: int
    """Bytes to be read for it."""

    @property
    def seconds(self) -> float:
        return self.copying + self.own

    def __str__(self) -> str:
        return (
            f"about {self.seconds:.0f} s: {self.own:.0f} s assumed for its own shutdown and start, "
            f"{self.copying:.0f} s to copy what is left ({self.size >> 20} MiB to read)"
        )


def move(
    context: SiteContext, name: str, wish: CopyOptions, reporter: Reporter, tried: cutover.Tried | None = None
) -> None:
    """Move one domain from its volumes to images while it runs; a domain that is off is copied as it is.

    ``tried``: kernels that were tried as PVH already. Raises SiteError if it would be away longer than wished for, or a snapshot
    fills up: the domain then goes on as before.
    """
    host = context.first
    text, domain = read_config(host, name, context.site.domain(name).config)
    starting.refuse_unless_here(context, name)
    found = snapshots.volumes(host)
    targets = cutover.targets(context, domain)
    to_move = [disk for disk in domain.moved_disks if disk.target != targets[disk.vdev]]
    for left in snapshots.remove_left(host, warm_disks.snapshots_of(host, domain, found)):
        reporter.say(f"removed {left}, which an earlier run had left")
    if not cutover.missing(context, name):
        return
    if wish.cold or name not in xl.running(host):
        reporter.say(f"copying {name} while it is off")
        cold.move(context, name, {} if tried is None else tried, reporter)
        return
    engine_driver.install(host)
    make_dir(host, f"{context.site.paths.images}/{name}", mode=0o700)
    kind = cutover.type_for_migration(host, domain, {} if tried is None else tried, reporter)
    changed = cutover.on_images(text, domain, targets, kind)
    cutover.lease_in_place(host, domain, targets, reporter)
    cutover.check_xl_reads(host, name, context.site.domain(name).config, text, changed)

    engine_driver.check_convertible(host, to_move, targets)

    answering = [address for address in domain.addresses if cluster.answers(host, address)]
    with_snapshot, at_rest = warm_disks.split_by_snapshot(host, to_move, found, targets)
    try:
        warm, rate = _first_round(host, with_snapshot, targets, wish, reporter)
        warm, estimate = _rounds(host, warm, at_rest, rate, wish, reporter)
        reporter.fact("estimate_s", round(estimate.seconds, 1))
        config = context.site.domain(name).config
        image = next(iter(targets.values()), "")
        away = _cut_over(context, name, config, (text, changed), warm, at_rest, image, answering, rate, wish, reporter)
        cluster.wait_for_answers(host, name, answering, reporter, timeout=cutover.BOOT_TIMEOUT)
        reporter.fact("away_s", round(away.seconds, 1))
        _wait_until_idle(host, name, reporter)
    finally:
        _remove_all(host, domain, Shielded(reporter))
    reporter.fact("type", kind)


def missing(context: SiteContext, name: str) -> str | None:
    """What is left to be done for the domain, None if nothing is: for a step's check."""
    first = cutover.missing(context, name)
    if first:
        return first
    _, domain = read_config(context.first, name, context.site.domain(name).config)
    left = warm_disks.snapshots_of(context.first, domain, snapshots.volumes_if_any(context.first))
    return f"the snapshot {left[0].full_name} was left" if left else None


def _first_round(
    host: Host,
    disks: Sequence[tuple[Disk, Volume]],
    targets: dict[str, str],
    wish: CopyOptions,
    reporter: Reporter,
) -> tuple[list[WarmDisk], float]:
    """Snapshots of all disks, then their copies; the rate of copying in bytes a second, verification included."""
    sizes = [(volume, snapshots.size_for(volume, wish.snapshot_size)) for _, volume in disks]
    snapshots.check_room(host, sizes)
    warm = []
    for (disk, volume), (_, size) in zip(disks, sizes, strict=True):
        reporter.say(f"making a snapshot of {volume.full_name}")
        snapshot = snapshots.create(host, volume, 1, size)
        warm.append(WarmDisk(disk, volume, targets[disk.vdev], snapshot, time.monotonic()))
    monitor = SnapshotMonitor(host, [one.snapshot.full_name for one in warm])
    copied, seconds = 0, 0.0
    for one in warm:
        every = [] if _maps_agree(host, one, monitor, reporter) else [fsck.EVERY_BLOCK]
        reporter.say(f"copying {one.disk.name} to {one.target} while the domain runs")
        words = ["copy", one.snapshot.path, one.target, "--point", one.snapshot.point, *every, *_rate(wish)]
        event = engine_driver.run(
            host,
            words,
            reporter=reporter,
            on_event=monitor,
            remedy="the domain runs as before; correct this and run it again: the copy restarts from a new snapshot",
        )
        monitor.check()
        copied += int(event["copied"])
        seconds += float(event["seconds"])
        if event["reason"]:
            reporter.say(f"{one.disk.name}: {event['method']}, since {event['reason']}")
        reporter.fact(one.disk.name, engine_driver.facts(event))
    return warm, max(copied / max(seconds, 0.1), float(1 << 20))


def _maps_agree(host: Host, one: WarmDisk, monitor: SnapshotMonitor, reporter: Reporter) -> bool:
    """Whether the maps in a snapshot may say what is copied from it, after what its file system's checker could repair there."""
    if fsck.kind(host, one.snapshot.path) not in fsck.EXT:
        return True  # the engine's to judge
    reporter.say(f"checking the file system in {one.snapshot.full_name}")
    if fsck.repair(host, one.snapshot.path, monitor):
        return True
    reporter.say(
        f"the file system of {one.disk.name} has errors, so every block is copied: e2fsck -f {one.disk.target} while it is off"
    )
    return False


def _rounds(
    host: Host,
    warm: list[WarmDisk],
    at_rest: Sequence[RemainingDisk],
    rate: float,
    wish: CopyOptions,
    reporter: Reporter,
) -> tuple[list[WarmDisk], Estimate]:
    """Further rounds until little is left; the estimate for the last one. Raises SiteError if it is longer than wished for."""
    before: Estimate | None = None
    for number in range(2, _MOST_ROUNDS + 2):
        estimate = _estimate(host, warm, at_rest, rate, wish)
        reporter.say(f"estimated downtime: {estimate}")
        fits = wish.max_away is None or estimate.seconds <= wish.max_away
        if fits and estimate.copying <= _SHORT:
            return warm, estimate
        if number > _MOST_ROUNDS or (before and estimate.copying > _WORTH * before.copying):
            break
        if not _room_for_another(host, warm, wish):
            reporter.say("there is no room for another round")
            break
        warm = [_another_round(host, one, number, wish, reporter) for one in warm]
        before = estimate
    if not fits:
        raise SiteError(
            f"estimated downtime: {estimate}; {wish.max_away:g} s are allowed",
            where=host.name,
            remedy="allow more with --max-away, or run it again when the domain writes less; it runs as before",
        )
    return warm, estimate


def _room_for_another(host: Host, warm: Sequence[WarmDisk], wish: CopyOptions) -> bool:
    """Whether a second snapshot fits beside the first, for one volume after the other."""
    return all(
        snapshots.free_bytes(host, one.volume.vg) >= snapshots.size_for(one.volume, wish.snapshot_size) for one in warm
    )


def _estimate(
    host: Host, warm: Sequence[WarmDisk], at_rest: Sequence[RemainingDisk], rate: float, wish: CopyOptions
) -> Estimate:
    """From what there is to do now, what the domain will have written until it is off at the pace it had so far, and the rate of
    the first round."""
    verbs = [[*_incremental(one), "--preview"] for one in warm] + [["map", rest.disk.target] for rest in at_rest]
    sizes = [int(event["bytes"]) for event in engine_driver.run_all(host, verbs)]
    size = float(sum(sizes[len(warm) :]))
    for one, written in zip(warm, sizes, strict=False):
        age = max(time.monotonic() - one.since, 1.0)
        size += written * (1 + min(1.0, wish.own / age))
    disks = len(warm) + len(at_rest)
    return Estimate(copying=size / rate + disks, own=wish.own, size=round(size))


def _rate(wish: CopyOptions) -> list[str]:
    return ["--rate", f"{wish.rate:g}"] if wish.rate else []


def _incremental(one: WarmDisk) -> list[str]:
    """The verb that brings an image to what is on its volume."""
    return ["incremental", one.disk.target, one.snapshot.store, one.target, "--base", one.snapshot.point]


def _another_round(host: Host, one: WarmDisk, number: int, wish: CopyOptions, reporter: Reporter) -> WarmDisk:
    """A newer snapshot, and what was written between the two. The older one is removed: its room is free again."""
    size = snapshots.size_for(one.volume, wish.snapshot_size)
    reporter.say(f"round {number}: another snapshot of {one.volume.full_name}")
    newer = snapshots.create(host, one.volume, number, size)
    since = time.monotonic()
    monitor = SnapshotMonitor(host, [newer.full_name, one.snapshot.full_name])
    words = [
        "incremental",
        newer.path,
        one.snapshot.store,
        one.target,
        "--base",
        one.snapshot.point,
        "--point",
        newer.point,
        *_rate(wish),
    ]
    engine_driver.run(host, words, reporter=reporter, on_event=monitor)
    monitor.check()
    snapshots.remove(host, one.snapshot)
    return replace(one, snapshot=newer, since=since)


def _cut_over(
    context: SiteContext,
    name: str,
    config: str,
    texts: tuple[str, str],
    warm: Sequence[WarmDisk],
    at_rest: Sequence[RemainingDisk],
    image: str,
    answering: Sequence[str],
    rate: float,
    wish: CopyOptions,
    reporter: Reporter,
) -> cutover.Downtime:
    """Shut the domain down, copy what is left, start it from its images (``image`` is one of them); from its volumes if anything
    fails. It was ``answering`` on these addresses."""
    host = context.first
    steady = Shielded(reporter)
    monitor = SnapshotMonitor(host, [one.snapshot.full_name for one in warm])
    ahead = [[*_incremental(one), "--precopy", *_rate(wish)] for one in warm]
    last = [*map(_incremental, warm), *(rest.copy for rest in at_rest)]
    disks = [*(one.disk.name for one in warm), *(rest.disk.name for rest in at_rest)]

    def shut_down() -> None:
        monitor.check()
        away.begin()
        reporter.say(f"shutting down {name}")
        xl.shut_down(host, name, timeout=cutover.SHUTDOWN_TIMEOUT, report=steady.say)
        reporter.say(f"copying the final changes of {', '.join(disks)}")

    def on_event(event: engine_driver.Event) -> None:
        """Before the engine touches anything, it says how much it will read."""
        if away.since is None:
            monitor()
        if away.since is None or wish.max_away is None or event.get("event") != "plan":
            return
        left = max(1.0, wish.max_away - away.seconds - wish.own / 2)
        if int(event["bytes"]) > left * rate:
            raise SiteError(
                f"{int(event['bytes']) >> 20} MiB are left to copy, too much for {wish.max_away:g} s",
                where=host.name,
                remedy="it runs from its volumes as before; allow more with --max-away, or run it again when it writes less",
            )

    with cutover.restart_on_failure(context, name, config, steady, answering=answering) as away:
        reporter.say("copying the changes while it still runs")
        done = engine_driver.run_when_off(
            host,
            name,
            [*ahead, *([*rest.copy, *_rate(wish)] for rest in at_rest if rest.is_swap)],
            last,
            shut_down,
            reporter=reporter,
            on_event=on_event,
            remedy="it runs from its volumes as before; run it again",
        )
        names = [*(f"{one.disk.name}-rest" for one in warm), *(rest.disk.name for rest in at_rest)]
        for key, event in zip(names, done, strict=True):
            reporter.fact(key, engine_driver.facts(event))
        write_file(host, config, texts[1])
    steady.say(f"starting {name} from its images")
    cutover.start_from_image(context, name, config, texts, image)
    return away


def _wait_until_idle(host: Host, name: str, reporter: Reporter) -> None:
    """Wait until the domain has become quiet, for a while at most. It answers, but its services may still be starting, and what
    removing snapshots takes of a small server would be taken from them."""
    before: float | None = None
    for _ in range(_POLLS):
        try:
            now = xl.running(host).get(name)
        except SnowError:
            return  # it is moved: nothing may fail any more
        if now is None or (before is not None and now.seconds - before < _QUIET * _POLL_INTERVAL):
            return
        before = now.seconds
        reporter.wait(f"waiting for {name} to have started before its snapshots are removed")
        time.sleep(_POLL_INTERVAL)


def _remove_all(host: Host, domain: Domain, steady: Shielded) -> None:
    """Remove the snapshots, whatever happened. That it fails is said, and does not hide what happened before."""
    try:
        snapshots.remove_left(host, warm_disks.snapshots_of(host, domain, snapshots.volumes(host)))
    except LostLockError:
        raise  # it says all: that they are left is no news for whoever goes on
    except SnowError as error:
        steady.say(f"snapshots could not be removed; the next run removes them: {error}")
