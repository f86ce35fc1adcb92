"""Who has which image open: what ``snow-lease list`` says on a server (docs/internals/image-lease.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snowha.errors import CommandError
from snowha.hosts.host import Completed, Host
from snowha.hosts.read_only import read_only_script
from snowha.xen import server_program


@dataclass(frozen=True)
class Lease:
    """The record beside an image. ``server`` and ``boot`` (its boot id) have it, or had it; ``to`` is a migration's target."""

    image: str
    state: str
    """``free``, ``held``, ``offered`` or ``tentative``; ``none`` without a record, ``unreadable`` if it cannot be read."""
    server: str = ""
    boot: str = ""
    domain: str = ""
    kind: str = ""
    """``disk``; ``adopted`` if it was attached before there were leases; ``copy`` of the image engine."""
    lock: str = ""
    """``yes``, ``pending`` while a server that was lost still holds it, ``none`` where the storage has no locks."""
    to: str = ""
    since: str = ""
    """UTC, by the holder's clock."""
    process: str = ""
    """Of a copy, as its own server says: ``alive`` or ``gone``."""
    locked: str = ""
    """``no`` if another server could lock the image, which is leased with a lock: the storage has forgotten it."""
    trouble: str = ""

    @property
    def is_copy(self) -> bool:
        """Whether the image engine has it, or had it when it was killed."""
        return self.state == "held" and self.kind == "copy"

    @property
    def is_left(self) -> bool:
        """Whether a copy has ended without giving it back."""
        return self.is_copy and self.process == "gone"


@dataclass(frozen=True)
class Attached:
    """An image that a server has attached. Without a lease if ``is_leased`` is false: by somebody else's loop device."""

    image: str
    domain: str
    device: str
    is_leased: bool
    holder_lives: bool
    is_frozen: bool


@dataclass(frozen=True)
class Migration:
    """A live migration under way, as its source sees it: bytes, and bytes a second over the last second."""

    domain: str
    target: str
    seconds: float
    sent: int
    rate: int
    memory: int
    """Of the domain."""

    @property
    def round(self) -> int:
        """The round that it has reached at least: each sends the memory once at most, and xl does not say which it is in. There
        are six: five while the domain runs, and the rest (xg_sr_save.c, SPP_MAX_ITERATIONS)."""
        return min(6, 1 + max(0, self.sent - 1) // self.memory) if self.memory else 1

    @property
    def how_far(self) -> str:
        """For a person who waits for its end."""
        sent, memory, rate = (f"{size / 2**20:.0f} MiB" for size in (self.sent, self.memory, self.rate))
        return f"{sent} sent of {memory} memory, {rate}/s, at least round {self.round} of 6"


@dataclass(frozen=True)
class Leases:
    """What one server says: the records it was asked for, what it has attached, and the agent's notes by domain.

    ``trouble``: why its program could not say it; all the rest is empty then.
    """

    server: str
    boot: str
    records: tuple[Lease, ...] = ()
    attached: tuple[Attached, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    migrations: tuple[Migration, ...] = ()
    trouble: str = ""


_PROGRESS = "/run/snow-lease/migrate/{}.progress"
"""What the agent notes each second of a migration (server/86-migration.pl)."""


def migration_of(host: Host, domain: str) -> Migration | None:
    """The live migration of ``domain`` away from ``host``, by one small file: its processors have other things to do. None if
    nothing is noted of one."""
    lines = host.run(["cat", _PROGRESS.format(domain)], check=False, timeout=20).stdout.splitlines()
    try:
        return _migration({"domain": domain, **dict(line.split("=", 1) for line in lines)})
    except (KeyError, ValueError):
        return None


def argv(images: Sequence[str]) -> list[str]:
    """The command that asks a server."""
    return [server_program.PATH, "list", *images]


ALL = read_only_script(
    f"""\
for record in "$1"/*/*.lease; do
    [ ! -e "$record" ] || set -- "$@" "${{record%.lease}}"
done
shift
exec {server_program.PATH} list "$@"
"""
)


def argv_of_all(folder: str) -> list[str]:
    """The same for every image below ``folder`` that has a record, whichever these are."""
    return ["sh", "-c", ALL, "sh", folder]


def parse(text: str) -> Leases:
    """The answer. Raises ValueError if it is none."""
    found = json.loads(text)
    return Leases(
        server=str(found["server"]),
        boot=str(found["boot"]),
        records=tuple(_lease(one) for one in found["records"]),
        attached=tuple(_attached(one) for one in found["attached"]),
        notes={str(name): str(note) for name, note in found["notes"].items()},
        # a server whose program is of before says nothing of them
        migrations=tuple(_migration(one) for one in found.get("migrations", ())),
    )


def ask(host: Host, images: Sequence[str]) -> Leases | None:
    """What ``host`` says; None if our program is not there. Raises CommandError if it fails."""
    return _asked(host, argv(images))


def ask_all(host: Host, folder: str) -> Leases | None:
    """The same of every image below ``folder`` that has a record."""
    return _asked(host, argv_of_all(folder))


def ask_without(host: Host, images: Sequence[str]) -> Leases:
    """What ``host``, on which our program is not installed, would say with it. Raises CommandError."""
    words = ["perl", "-", "list", *images]
    return _answer(host, host.run(words, input=server_program.text(), check=False, timeout=60))


def _asked(host: Host, words: Sequence[str]) -> Leases | None:
    done = host.run(words, check=False, timeout=60)
    return None if done.returncode in (126, 127) else _answer(host, done)


def _answer(host: Host, done: Completed) -> Leases:
    try:
        return parse(done.stdout)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{server_program.PATH} list: its output cannot be parsed: {done.stderr.strip() or error}",
            where=host.name,
            remedy="`snow ha apply` installs it again",
        ) from error


def _lease(one: Mapping[str, Any]) -> Lease:
    image = str(one["image"])
    if "error" in one:
        return Lease(image, "unreadable", trouble=str(one["error"]))
    record = one["record"]
    if record is None:
        return Lease(image, "none")
    names = ("state", "server", "boot", "domain", "kind", "lock", "to", "since", "process", "locked")
    return Lease(image, **{name: str(record.get(name, "")) for name in names})


def _migration(one: Mapping[str, Any]) -> Migration:
    numbers = {name: int(one[name]) for name in ("sent", "rate", "memory")}
    return Migration(str(one["domain"]), str(one["target"]), float(one["seconds"]), **numbers)


def _attached(one: Mapping[str, Any]) -> Attached:
    return Attached(
        image=str(one["image"]),
        domain=str(one["domain"]),
        device=str(one["dm"] or one["loop"]),
        is_leased=bool(one["id"]),
        holder_lives=one["holder"] == "alive",
        is_frozen=one["frozen"] == "yes",
    )
