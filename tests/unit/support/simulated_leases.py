"""snow-lease on the servers of a site in memory: which image has a record, and which domain has it attached.

It says and refuses what the program does (test_lease_adoption.py compares them). The program itself is tried in tests/unit/xen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from snowha.site.model import Domain
from snowha.xen import server_program

BOOT = "00000000-0000-0000-0000-00000000000{}"
_FIELDS = ("gen", "state", "server", "boot", "domain", "disk", "kind", "lock", "to", "toboot", "claim", "since", "self")


def boot_of(server: str) -> str:
    """A server's boot id."""
    return BOOT.format(server[-1])


@dataclass
class Leases:
    """``records``: images that have one. ``opened``: what each domain has attached since it was started, by our script.

    ``bare``: images that a loop device has open without a lease, each with its server. ``adopted``: what of these was leased.
    ``left``: images whose record a copy that was killed has left, each with its server.
    """

    records: set[str] = field(default_factory=set)
    opened: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bare: set[tuple[str, str]] = field(default_factory=set)
    adopted: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)

    def attached(self, running: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Image, server and domain of everything that is attached; a domain's name is empty where it is not by our script."""
        leased = [
            (image, running[name], name) for name, images in self.opened.items() if name in running for image in images
        ]
        return [*leased, *((image, server, "") for image, server in sorted(self.bare))]

    def busy(self, image: str, running: Mapping[str, str]) -> str | None:
        """Why nobody else can have the image now."""
        if image not in self.records:
            return f"there is no record of who has {image} open"
        return next(
            (f"{server} has it open for {name}" for one, server, name in self.attached(running) if one == image), None
        )

    def attach(self, domain: Domain, has_script: bool, running: Mapping[str, str]) -> bool:
        """What our block script does for a domain that is created: nobody else may have its images."""
        images = tuple(disk.target for disk in domain.disks if disk.script == server_program.SCRIPT)
        if images and (not has_script or any(self.busy(image, running) for image in images)):
            return False
        self.opened[domain.name] = images
        return True

    def take(self, source: str, target: str, is_new: bool, running: Mapping[str, str]) -> str | None:
        """What the engine does before it copies, and gives back in the end: why it cannot. A new image gets its first record."""
        needed = [source] if source in self.records else []
        if not target.startswith("/dev/"):
            needed.append(target)
            self.records |= {target} if is_new else set()
        return next((why for image in needed if (why := self.busy(image, running))), None)

    def call(self, server: str, words: Sequence[str], running: Mapping[str, str]) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        match list(words):
            case ["list", *images]:
                return 0, self._list(server, images, running) + "\n", ""
            case ["new", image] if image in self.records:
                return 7, "", f"snow-lease: {image}.lease is there already\n"
            case ["new", image] if any(one == image and at == server for one, at, _ in self.attached(running)):
                return 7, "", f"snow-lease: {image} is attached on this server\n"
            case ["new", image]:
                self.records.add(image)
                return 0, "", ""
            case ["adopt", image] if (image, server) in [(one, at) for one, at, name in self.attached(running) if name]:
                self.records.add(image)
                return 0, "", ""
            case ["forget", image] if not self.busy(image, running):
                self.records.discard(image)
                return 0, "", ""
            case ["give", image] if self.left.get(image) == server:
                del self.left[image]
                return 0, "", ""
            case ["adopt", image] if (image, server) in self.bare:
                self.records.add(image)
                self.adopted.add(image)
                return 0, "", ""
            case ["adopt", image]:
                return 7, "", f"snow-lease: no domain of this server has {image} attached\n"
            case _:
                raise AssertionError(words)

    def _list(self, server: str, images: Sequence[str], running: Mapping[str, str]) -> str:
        here = [(image, name) for image, at, name in self.attached(running) if at == server]
        found = {
            "server": server,
            "boot": boot_of(server),
            "records": [{"image": image, "record": self._record(server, image, running)} for image in images],
            "attached": [self._disk(number, image, name) for number, (image, name) in enumerate(here)],
            "notes": {},
            "migrations": [],
        }
        return json.dumps(found)

    def _record(self, by: str, image: str, running: Mapping[str, str]) -> dict[str, str] | None:
        if image not in self.records:
            return None
        if image in self.left:
            known = {"state": "held", "kind": "copy", "server": self.left[image], "boot": boot_of(self.left[image])}
            process = {"process": "gone"} if by == self.left[image] else {}
            return dict.fromkeys(_FIELDS, "") | known | process
        record = dict.fromkeys(_FIELDS, "") | {
            "gen": "1",
            "state": "free",
            "self": "7",
            "since": "2026-11-27T04:55:05Z",
        }
        for one, server, name in self.attached(running):
            if one == image and (name or image in self.adopted):
                kind = "disk" if name else "adopted"
                record |= {
                    "state": "held",
                    "server": server,
                    "boot": boot_of(server),
                    "domain": name,
                    "disk": "5-51714",
                }
                record |= {"kind": kind, "lock": "yes"}
        return record

    def _disk(self, number: int, image: str, name: str) -> dict[str, str]:
        if name or image in self.adopted:
            facts = {"id": f"5-{number}", "mode": "w", "holder": "alive", "dm": f"snow-5-{number}" if name else ""}
        else:
            facts = {"id": "", "mode": "", "holder": "none", "dm": "", "domid": ""}
        return {"image": image, "domain": name, "loop": f"loop{number}", "frozen": "no", **facts}
