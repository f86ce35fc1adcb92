"""Who has which image open: what ``snow-lease list`` says on a server (docs/internals/image-lease.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snowha.errors import CommandError
from snowha.hosts.api import Host
from snowha.hosts.reading import looking
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
    trouble: str = ""


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
class Leases:
    """What one server says: the records it was asked for, what it has attached, and the agent's notes by domain.

    ``trouble``: why its program could not say it; all the rest is empty then.
    """

    server: str
    boot: str
    records: tuple[Lease, ...] = ()
    attached: tuple[Attached, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


def argv(images: Sequence[str]) -> list[str]:
    """The command that asks a server."""
    return [server_program.PATH, "list", *images]


_ALL = looking(
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
    return ["sh", "-c", _ALL, "sh", folder]


def parse(text: str) -> Leases:
    """The answer. Raises ValueError if it is none."""
    found = json.loads(text)
    return Leases(
        server=str(found["server"]),
        boot=str(found["boot"]),
        records=tuple(_lease(one) for one in found["records"]),
        attached=tuple(_attached(one) for one in found["attached"]),
        notes={str(name): str(note) for name, note in found["notes"].items()},
    )


def ask(host: Host, images: Sequence[str]) -> Leases | None:
    """What ``host`` says; None if our program is not there. Raises CommandError if it fails."""
    return _asked(host, argv(images))


def ask_all(host: Host, folder: str) -> Leases | None:
    """The same of every image below ``folder`` that has a record."""
    return _asked(host, argv_of_all(folder))


def _asked(host: Host, words: Sequence[str]) -> Leases | None:
    done = host.run(words, check=False, timeout=60)
    if done.returncode in (126, 127):
        return None
    try:
        return parse(done.stdout)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{server_program.PATH} list says nothing that can be read: {done.stderr.strip() or error}",
            where=host.name,
            remedy="`snow ha apply` installs it anew",
        ) from error


def _lease(one: Mapping[str, Any]) -> Lease:
    image = str(one["image"])
    if "error" in one:
        return Lease(image, "unreadable", trouble=str(one["error"]))
    record = one["record"]
    if record is None:
        return Lease(image, "none")
    names = ("state", "server", "boot", "domain", "kind", "lock", "to", "since")
    return Lease(image, **{name: str(record.get(name, "")) for name in names})


def _attached(one: Mapping[str, Any]) -> Attached:
    return Attached(
        image=str(one["image"]),
        domain=str(one["domain"]),
        device=str(one["dm"] or one["loop"]),
        is_leased=bool(one["id"]),
        holder_lives=one["holder"] == "alive",
        is_frozen=one["frozen"] == "yes",
    )
