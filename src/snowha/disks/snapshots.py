"""LVM snapshots of a domain's volumes, for as long as a warm copy takes: made, watched, enlarged, and always removed.

A snapshot that fills up is invalid for good and takes the copy with it, so it is checked all the time. They are known by
their names: what a killed run left is found by the next.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from snowha.errors import CommandError, SiteError
from snowha.hosts.host import Host
from snowha.hosts.wait import wait_for
from snowha.site.rules import image_key

PREFIX = "snow-ha-"
_FULL, _TOO_FULL = 60.0, 90.0
"""Percent. From the first on a snapshot is enlarged where there is room, at the second everything is stopped."""
_POLL_INTERVAL = 3.0
_PATIENCE = 30.0
_SMALLEST = 256 << 20
_SHARE = 5
"""A snapshot gets a fifth of its volume's size unless told otherwise."""
_WRITES_TOO_MUCH = "run it again when the domain writes less, or use `snow images copy` with a larger --snapshot-size"
COLUMNS = "vg_name,lv_name,lv_path,lv_dm_path,origin,lv_size,data_percent,lv_attr,lv_uuid"
AS_JSON = ["--reportformat", "json", "--units", "b", "--nosuffix", "--options"]


@dataclass(frozen=True)
class Volume:
    """A logical volume. ``size`` in bytes, ``fill`` of a snapshot in percent."""

    vg: str
    name: str
    path: str
    dm_path: str
    origin: str
    """What it is a snapshot of; empty if it is none."""
    size: int
    fill: float
    attributes: str
    """lvs(8), lv_attr."""
    uuid: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.vg}/{self.name}"

    @property
    def store(self) -> str:
        """Its exception store (device-mapper's layer ``cow``, lib/activate/dev_manager.c)."""
        return f"{self.dm_path}-cow"

    @property
    def point(self) -> str:
        """What the engine knows it by. The next run's snapshot has the same name, and must not be taken for this one."""
        return f"{self.name}/{self.uuid}"

    @property
    def is_valid(self) -> bool:
        return self.attributes[4:5] == "a" and self.fill < 100

    @property
    def is_open(self) -> bool:
        return self.attributes[5:6] == "o"

    @property
    def is_ours(self) -> bool:
        """One of ``create``: an administrator's may begin alike."""
        return bool(self.origin) and bool(re.fullmatch(rf"{PREFIX}[0-9]+-{re.escape(self.origin)}", self.name))

    @property
    def is_snapshot(self) -> bool:
        """One that LVM makes no further snapshot of (lvs(8), volume type); of a thin one it does."""
        return self.attributes[:1] in ("s", "S")


def parse_lvs(text: str) -> tuple[Volume, ...]:
    """``lvs --reportformat json`` with the columns above. Raises CommandError if it is something else."""
    try:
        rows = [row for report in json.loads(text)["report"] for row in report["lv"]]
        return tuple(
            Volume(
                row["vg_name"],
                row["lv_name"],
                row["lv_path"],
                row["lv_dm_path"],
                row["origin"],
                int(row["lv_size"]),
                float(row["data_percent"] or 0),
                row["lv_attr"],
                row["lv_uuid"],
            )
            for row in rows
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"the output of lvs cannot be parsed: {error!r}") from error


def volumes(host: Host) -> tuple[Volume, ...]:
    """Every logical volume on ``host``."""
    return parse_lvs(host.run(["lvs", *AS_JSON, COLUMNS], timeout=120).stdout)


def volumes_if_any(host: Host) -> tuple[Volume, ...]:
    """The same where there may be no LVM at all."""
    done = host.run(["lvs", *AS_JSON, COLUMNS], check=False, timeout=120)
    return parse_lvs(done.stdout) if done.ok else ()


def volume_of(found: Sequence[Volume], path: str) -> Volume | None:
    """The volume that a disk names, by either of its paths."""
    key = image_key(path)
    return next((one for one in found if one.path and key in (image_key(one.path), image_key(one.dm_path))), None)


def refuse_in_use(host: Host, volume: Volume, there: Sequence[Volume], named: Collection[str]) -> None:
    """Raise SiteError if ``volume`` must not be removed: somebody has it open, it has snapshots among ``there``, or it is among
    the paths that configs name (``named``), by whatever name."""
    if volume.is_open or image_key(volume.path) in map(image_key, named):
        raise SiteError(f"{volume.full_name} is in use", where=host.name, remedy="check what has it open: lsblk")
    if any(other.origin == volume.name and other.vg == volume.vg for other in there):
        raise SiteError(f"{volume.full_name} has snapshots", where=host.name, remedy="remove them first: lvremove")
    paths = sorted(filter(None, named))
    if not paths:
        return
    own, *real = host.run(["readlink", "-m", "--", volume.path, *paths]).stdout.split("\n")
    if same := [path for path, one in zip(paths, real, strict=False) if one == own]:
        raise SiteError(f"{volume.full_name} is in use", where=host.name, remedy=f"a config names it: {same[0]}")


def free_bytes(host: Host, vg: str) -> int:
    """What a volume group has left."""
    text = host.run(["vgs", *AS_JSON, "vg_free", vg], timeout=120).stdout
    try:
        return int(json.loads(text)["report"][0]["vg"][0]["vg_free"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CommandError(f"the output of vgs cannot be parsed: {error!r}", where=host.name) from error


def remove_left(host: Host, found: Sequence[Volume]) -> list[str]:
    """Remove the snapshots of ours among ``found``; their names."""
    left = [one for one in found if one.is_ours]
    for one in left:
        remove(host, one)
    return [one.full_name for one in left]


def size_for(volume: Volume, wanted: int | None) -> int:
    """Bytes of a snapshot: as asked for, else a share of the volume; never more than the whole and its records need."""
    most = volume.size + volume.size // 64 + (64 << 20)
    return min(most, wanted or max(_SMALLEST, volume.size // _SHARE))


def check_room(host: Host, wanted: Sequence[tuple[Volume, int]]) -> None:
    """Raise SiteError if the volume groups have no room for these snapshots."""
    for vg in sorted({volume.vg for volume, _ in wanted}):
        needed = sum(size for volume, size in wanted if volume.vg == vg)
        free = free_bytes(host, vg)
        if needed > free:
            raise SiteError(
                f"volume group {vg} has {free >> 20} MiB free, but the snapshots need {needed >> 20} MiB",
                where=host.name,
                remedy=f"free some space in {vg}, or copy the domain while it is off: `snow images copy --cold`, or for "
                "`snow ha apply` a larger warm_from_mib in ha.toml",
            )


def create(host: Host, volume: Volume, number: int, size: int) -> Volume:
    """Snapshot ``number`` of a volume. Chunks of 4 KiB: the smaller, the less has to be copied again."""
    name = f"{PREFIX}{number}-{volume.name}"
    words = ["--snapshot", "--name", name, "--chunksize", "4k", "--size", f"{size}b", volume.full_name]
    host.run(["lvcreate", "--yes", *words], timeout=300)
    made = next((one for one in volumes(host) if one.vg == volume.vg and one.name == name), None)
    if made is None:
        raise CommandError(f"snapshot {volume.vg}/{name} was created, but does not exist", where=host.name)
    return made


def remove(host: Host, snapshot: Volume) -> None:
    """Remove a snapshot of ours, and nothing else. The engine of a run that was killed may have it open for a moment more:
    it notices within a second that nobody listens."""
    if not snapshot.is_ours:
        raise ValueError(f"{snapshot.full_name} was not made by snow-ha")
    said = ""

    def gone() -> bool:
        nonlocal said
        done = host.run(["lvremove", "--yes", snapshot.full_name], check=False, timeout=300)
        said = done.stderr.strip()
        return done.ok

    try:
        wait_for(gone, timeout=_PATIENCE, what=f"snapshot {snapshot.full_name} to be removed", error=CommandError)
    except CommandError as error:
        raise CommandError(
            f"{error.message}: {said}", where=host.name, remedy=f"check what has it open: lsof {snapshot.path}"
        ) from None


class SnapshotMonitor:
    """Looks at the snapshots of ours every few seconds, whenever it is called."""

    def __init__(self, host: Host, names: Sequence[str], *, now: Callable[[], float] = time.monotonic) -> None:
        self._host, self._names, self._now = host, frozenset(names), now
        self._next = now() + _POLL_INTERVAL

    def __call__(self, _event: object = None) -> None:
        """Enlarge what fills up. Raises SiteError before one overflows, or when one has."""
        if self._now() >= self._next:
            self.check()
            self._next = self._now() + _POLL_INTERVAL

    def check(self) -> None:
        """The same at once."""
        for one in volumes(self._host):
            if one.full_name not in self._names:
                continue
            if not one.is_valid:
                raise SiteError(
                    f"snapshot {one.full_name} overflowed: what was copied from it is invalid",
                    where=self._host.name,
                    remedy=_WRITES_TOO_MUCH,
                )
            if one.fill >= _FULL and free_bytes(self._host, one.vg) >= one.size:
                self._host.run(["lvextend", "--yes", "--size", f"+{one.size}b", one.full_name], timeout=300)
            elif one.fill >= _TOO_FULL:
                raise SiteError(
                    f"snapshot {one.full_name} is {one.fill:.0f} % full, and {one.vg} has no room to enlarge it",
                    where=self._host.name,
                    remedy=_WRITES_TOO_MUCH,
                )
