"""A server whose one domain runs from logical volumes, for what a warm copy does there.

It answers in the form in which LVM, xl and the image engine were recorded (recorded.py), and fails a test at once for what would
lose data or leave the domain down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recorded import AFTER, BEFORE, CONFIG, IMAGES, MIB, snapshot, volume
from simulated import SimulatedHost, World

from snowha.hosts.host import Completed
from snowha.images.cli import split
from snowha.live import left_down
from snowha.site import domain_config
from snowha.xen import server_program, xl

ORIGIN = "/dev/snow_vg/deploy01-disk"
SWAP = "/dev/snow_vg/deploy01-swap"
NOTE = f"{left_down.FOLDER}/deploy01.json"
"""Before the domain is shut down: the next run must know that this one did it."""
HALTED = (0, "Domain 1 has been shut down, reason code 0\n")
REBOOTED = (0, "Shutting down domain 1\nDomain 1 has been shut down, reason code 1\n")
TOO_SLOW = (124, "")
WHOLE = "the volume, off"
DONE = {
    "event": "done",
    "copied": 300 * MIB,
    "seconds": 3.0,
    "method": "ext4 used blocks",
    "reason": "",
    "verified": True,
}

Tell = Callable[[Mapping[str, Any]], None]


class EngineError(Exception):
    """The engine ends with it."""


class LvmServer(SimulatedHost):
    def __init__(
        self, *left: dict[str, str], room: int = 4096 * MIB, left_to_copy: Mapping[int, int] | None = None
    ) -> None:
        """``left``: snapshots of an earlier run. ``room``: what the volume group has free without them, in bytes.
        ``left_to_copy``: bytes that the domain has written since a snapshot, by its number."""
        super().__init__("snow01", World(running={"deploy01": "snow01"}))
        self.world.shared[CONFIG] = (BEFORE.encode(), 0o644)
        self.world.disks = dict.fromkeys((ORIGIN, SWAP), b"of before")
        self.install_leases()
        self.volumes = [volume("deploy01-disk"), volume("deploy01-swap", size=64 * MIB), *left]
        self.room = room
        self.left_to_copy = left_to_copy or {1: 8 * MIB}
        self.fill, self.attributes = "3.00", "swi-a-s---"
        """Of a snapshot after the copy that was made from it."""
        self.e2fsck = 1
        """Its exit status: 1 is "errors corrected"."""
        self.xl_refuses = ""
        """A config that xl cannot read."""
        self.last_copy_fails = ""
        self.shutdown = HALTED
        """How `xl shutdown -w` ends, and what it says."""
        self.ends_after: int | None = None
        """How often xl lists a domain that did not halt in time before it does; None: always."""
        self._lists_left: int | None = None
        self.started_with = ORIGIN
        self.done: list[str] = []
        """What was done, in order."""
        self.point: dict[str, str] = {}
        """What an image is a copy of: a snapshot, or the volume as it was when the domain was off (WHOLE)."""
        self.asked_xl: list[str] = []
        self.waits = False
        """The engine has begun, and waits for the domain to be off."""
        self.touched: set[str] = set()

    @property
    def is_running(self) -> bool:
        return "deploy01" in self.world.running

    @property
    def config(self) -> str:
        return self.text(CONFIG) or ""

    @property
    def snapshots(self) -> list[str]:
        return [row["lv_name"] for row in self.volumes if row["origin"]]

    @property
    def is_noted(self) -> bool:
        return NOTE in self.own

    def run(self, argv: Sequence[str], *, input: str | bytes = "", **more: Any) -> Completed:
        if list(argv[:3]) == ["sh", "-c", xl.READS]:
            text = input.decode() if isinstance(input, bytes) else input
            self.asked_xl.append(text)
            if text == self.xl_refuses:
                said = "/run/snow-ha-read.a1B2c3:7: config parsing error near `Extra': lexical error\n"
                return Completed(tuple(argv), 1, "", said)
        return super().run(argv, input=input, **more)

    def _answer(self, words: list[str], input: str | bytes) -> tuple[int, str]:
        match words:
            case ["lvs", *_]:
                return 0, json.dumps({"report": [{"lv": self.volumes}]})
            case ["vgs", *_, "vg_free", "snow_vg"]:
                taken = sum(int(row["lv_size"]) for row in self.volumes if row["origin"])
                return 0, json.dumps({"report": [{"vg": [{"vg_free": str(self.room - taken)}]}]})
            case ["lvcreate", "--yes", "--snapshot", "--name", name, "--chunksize", "4k", "--size", size, of]:
                assert of == "snow_vg/deploy01-disk" and name.endswith("-deploy01-disk")
                self.volumes.append({**snapshot(int(name.split("-")[2])), "lv_size": size.removesuffix("b")})
                self.done.append(f"snapshot {name.split('-')[2]}")
                return 0, ""
            case ["lvextend", "--yes", "--size", more, name]:
                self.done.append(f"extend {name} {more}")
                row = self._row(name)
                row["lv_size"] = str(int(row["lv_size"]) + int(more.strip("+b")))
                return 0, ""
            case ["lvremove", "--yes", name]:
                row = self._row(name)
                assert row["origin"] and row["lv_name"].startswith("snow-ha-"), f"{name} is no snapshot of ours"
                self.volumes.remove(row)
                self.done.append(f"remove {row['lv_name']}")
                return 0, ""
            case ["blkid", "-p", "-s", "TYPE", "-o", "value", device]:
                return 0, "swap\n" if device == SWAP else "ext4\n"
            case ["e2fsck", "-f", "-p", "-C", "1", device]:
                assert "/snow-ha-" in device, "a file system in use is checked"
                return self.e2fsck, ""
            case ["touch", word]:
                assert not self.is_running, "the engine is told that it is off, and it is not"
                self.touched.add(word)
            case ["xl", "shutdown", "-w", "deploy01"]:
                return self._shut_down()
            case ["xl", "list"] if self._lists_left is not None:
                if self._lists_left == 0:
                    del self.world.running["deploy01"]
                self._lists_left = self._lists_left - 1 if self._lists_left else None
            case ["xl", "list", "-l", "deploy01"]:
                return 0, json.dumps({"disks": [{"pdev_path": self.started_with}]})
            case ["xl", "create", path] if path == CONFIG:
                self._create()
        return super()._answer(words, input)

    def _row(self, name: str) -> dict[str, str]:
        return next(row for row in self.volumes if f"{row['vg_name']}/{row['lv_name']}" == name)

    def _shut_down(self) -> tuple[int, str]:
        assert self.waits, "the domain is down while the engine is started"
        assert NOTE in self.own, "whoever is killed now leaves it down, and nobody knows"
        assert {BEFORE, AFTER} <= set(self.asked_xl), "what it would be started from may be no config to xl"
        self.done.append("shutdown")
        if self.shutdown == HALTED:
            del self.world.running["deploy01"]
        else:
            self._lists_left = self.ends_after
        return self.shutdown

    def _create(self) -> None:
        disks = domain_config.parse(self.config, where="test", path=CONFIG).disks
        if self.config == AFTER:
            assert all(self.point[disk.target] == WHOLE for disk in disks), "it is started from half of an image"
        else:
            assert self.config == BEFORE
        self.started_with = disks[0].target
        self.done.append(f"create from {disks[0].target}")

    def _engine(self, words: Sequence[str], on_line: Callable[[str], None] | None) -> tuple[int, str]:
        lines = []

        def tell(event: Mapping[str, Any]) -> None:
            lines.append(json.dumps(event) + "\n")
            if on_line is not None:
                on_line(lines[-1].strip())

        for number, verb in enumerate(split(words)):
            if verb[0] in ("copy", "incremental"):
                assert verb[-3:] == ["--lease", server_program.PATH, "--json"], "an image is written without its lease"
            if verb[0] != "wait":
                tell({"event": "progress", "phase": "copy", "done": 1, "total": 2, "rate": 1, "left_s": 1})
            try:
                event = self._verb(
                    [word for word in verb if word not in ("--lease", server_program.PATH, "--json")], tell
                )
            except EngineError as error:
                tell({"event": "error", "message": str(error), "remedy": "look"})
                return 6, "".join(lines)
            tell({**event, "number": number})
        return 0, "".join(lines)

    def _verb(self, verb: Sequence[str], tell: Tell) -> dict[str, Any]:
        match list(verb):
            case ["map", device] if device == SWAP:
                return {"event": "plan", "kind": "swap", "bytes": 0}
            case ["wait", word]:
                self.waits = True
                tell({"event": "waiting"})
                tell({"event": "waiting"})
                assert word in self.touched
                return {"event": "found"}
            case ["copy", device, image] if device == SWAP:
                self._write(image, f"{SWAP} while it runs" if self.is_running else WHOLE)
                return DONE
            case ["copy", source, image, "--point", point, *options]:
                assert options in ([], ["--every-block"])
                row = next(row for row in self.volumes if row["lv_path"] == source)
                assert point == point_of(row) and self.is_running
                row |= {"data_percent": self.fill, "lv_attr": self.attributes}
                self._write(image, point)
                self.done.append(" ".join(["copy", row["lv_name"], *options]))
                return DONE
            case ["incremental", source, store, image, "--base", base, *options]:
                row = next(row for row in self.volumes if point_of(row) == base)
                assert store == f"{row['lv_dm_path']}-cow", "what was written since is read from another snapshot"
                assert self.point[image] == base, "the image is brought on from something that it is not"
                return self._incremental(source, image, int(base.split("-")[2]), options)
        raise AssertionError(verb)

    def _incremental(self, source: str, image: str, number: int, options: Sequence[str]) -> dict[str, Any]:
        match list(options):
            case ["--preview"]:
                assert source == ORIGIN
                return {"event": "plan", "bytes": self.left_to_copy[number]}
            case ["--precopy"]:
                assert source == ORIGIN and self.is_running
                self.done.append("copy ahead")
                return {"event": "ahead"}
            case ["--point", point]:
                newer = next(row for row in self.volumes if point_of(row) == point)
                assert source == newer["lv_path"] and self.is_running
                self._write(image, point)
                self.done.append(f"copy what {newer['lv_name']} has more")
                return DONE
            case []:
                assert source == ORIGIN and not self.is_running, "the last of the copy is made of a disk in use"
                if self.last_copy_fails:
                    raise EngineError(self.last_copy_fails)
                self._write(image, WHOLE)
                self.done.append("copy what is left")
                return {**DONE, "copied": 8 * MIB, "missed": 0}
        raise AssertionError(options)

    def _write(self, image: str, point: str) -> None:
        assert image in IMAGES.values(), "something else than an image is written"
        self.point[image] = point
        self.world.leases.records.add(image)
        self.world.disks[image] = point.encode()


def point_of(row: Mapping[str, str]) -> str:
    """A name is not enough: the next run's snapshot has the same."""
    return f"{row['lv_name']}/{row['lv_uuid']}"
