"""The image engine on a server: brought there as one file, its verbs run, its events read (docs/internals/image-manifest.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from snowha.errors import CommandError, ProofError
from snowha.hosts.files import make_dir, read_text, write_file
from snowha.hosts.host import Host
from snowha.images import bundle
from snowha.images.cli import split
from snowha.plan.step import Reporter
from snowha.site.disk_spec import CONVERTED
from snowha.site.model import Disk
from snowha.xen import server_program

_HEARS_WITHIN = 30.0
"""Seconds. The engine looks ten times a second, and says every five that it waits still."""
_LEASING = frozenset({"copy", "convert", "incremental", "verify"})
_LONGEST = 24 * 3600.0

Event = Mapping[str, Any]


def install(host: Host) -> None:
    """Put the engine of this version on ``host``, and the program that it takes leases with."""
    if server_program.missing(host):
        server_program.install(host)
    make_dir(host, "/var/lib/snow-ha", mode=0o700)
    write_file(host, bundle.PATH, bundle.pack(), mode=0o700, keep=False)


def run(
    host: Host,
    words: Sequence[str],
    *,
    reporter: Reporter | None = None,
    on_event: Callable[[Event], None] | None = None,
    remedy: str = "",
) -> Event:
    """Run one verb; its last event (``done`` or ``plan``). Raises as ``run_all``."""
    return run_all(host, [words], reporter=reporter, on_event=on_event, remedy=remedy)[0]


def run_all(
    host: Host,
    verbs: Sequence[Sequence[str]],
    *,
    reporter: Reporter | None = None,
    on_event: Callable[[Event], None] | None = None,
    remedy: str = "",
) -> list[Event]:
    """Run verbs one after the other, in one process: a domain may be waiting. The last event of each.

    Progress goes to ``reporter``; ``on_event`` is called with each event and may raise, which ends the engine.
    Raises CommandError (ProofError if what was read back differs) with the engine's own message and remedy, unless another
    ``remedy`` is given, at the first that fails.
    """
    if not verbs:
        return []
    results: dict[int, Event] = {}
    failure: dict[str, Any] = {}

    def line(text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        if "number" in event:
            results[int(event["number"])] = event
        elif event.get("event") == "progress" and reporter:
            reporter.progress(float(event["done"]), float(event["total"]), "B")
        elif event.get("event") == "error":
            failure.update(event)
        if on_event:
            on_event(event)

    completed = host.run(argv(verbs), timeout=_LONGEST, check=False, on_line=line)
    if not completed.ok or len(results) < len(verbs):
        said = str(failure.get("message", "")).split("\n", 1)[0]
        # of the engine's errors (images/errors.py) this one says that the result is not what it must be
        kind = ProofError if failure.get("kind") == "verify" else CommandError
        raise kind(
            said or completed.stderr.strip() or f"the image engine ended with {completed.returncode}",
            where=host.name,
            remedy=remedy or str(failure.get("remedy", "")),
        )
    return [results[number] for number in range(len(verbs))]


def run_when_off(
    host: Host,
    name: str,
    ahead: Sequence[Sequence[str]],
    last: Sequence[Sequence[str]],
    shut_down: Callable[[], None],
    *,
    reporter: Reporter | None = None,
    on_event: Callable[[Event], None] | None = None,
    remedy: str = "",
) -> list[Event]:
    """``run_all`` of ``ahead``, and then, after ``shut_down``, of ``last``: the last events of these. The engine is started
    before, and waits meanwhile, since the domain ``name`` is away from then on. Raises what ``shut_down`` raises, too.
    """
    if not last:
        shut_down()
        return []
    word = f"/run/snow-ha-{name}-is-off"
    given: float | None = None

    def listen(event: Event) -> None:
        nonlocal given
        if event.get("event") == "waiting" and given is None:
            shut_down()
            host.run(["touch", str(event.get("target", word))])
            given = time.monotonic()
        elif event.get("event") == "waiting" and given and time.monotonic() - given > _HEARS_WITHIN:
            raise CommandError(
                "the image engine does not notice that the domain is off", where=host.name, remedy=remedy
            )
        if on_event:
            on_event(event)

    done = run_all(host, [*ahead, ["wait", word], *last], reporter=reporter, on_event=listen, remedy=remedy)
    return done[len(ahead) + 1 :]


def into_image(disk: Disk, image: str, *options: str) -> list[str]:
    """The verb that makes ``image`` of a disk. ``options``: of a copy, where it is one."""
    if disk.format in CONVERTED:
        return ["convert", disk.target, image, "--from", disk.format]
    return ["copy", disk.target, image, *options]


def out_of_image(image: str, disk: Disk, *options: str) -> list[str]:
    """The verb that brings ``image`` back into the disk that it was made of. ``options``: of a copy, where it is one."""
    if disk.format in CONVERTED:
        return ["convert", image, disk.target, "--to", disk.format]
    return ["copy", image, disk.target, *options]


def check_convertible(host: Host, disks: Sequence[Disk], images: Mapping[str, str]) -> None:
    """Look whether those of ``disks`` that are converted can be, while their domain still runs. ``images``: by vdev.

    The engine must be on ``host``. Raises CommandError with the reason."""
    looks = [[*into_image(disk, images[disk.vdev]), "--preview"] for disk in disks if disk.format in CONVERTED]
    run_all(host, looks)


def argv(verbs: Sequence[Sequence[str]]) -> list[str]:
    """The command that runs ``verbs``."""
    words = list(bundle.COMMAND)
    for number, verb in enumerate(verbs):
        lease = ["--lease", server_program.PATH] if verb[0] in _LEASING else []
        words += [*(["+"] if number else []), *verb, *lease, "--json"]
    return words


def simulated_output(words: Sequence[str]) -> str | None:
    """What a command of ``argv`` would say if all went well; None for any other."""
    if tuple(words[:2]) != bundle.COMMAND:
        return None
    last = {"verified": True, "kind": "", "bytes": 0, "copied": 0, "seconds": 0, "method": "", "reason": ""}
    lines = []
    for number, verb in enumerate(split(words[2:])):
        kind = "plan" if {"map", "--preview"} & set(verb) else "done"
        if verb[0] == "wait":
            lines.append(json.dumps({"event": "waiting"}) + "\n")
        # what it would find is asked of volumes alone that blkid calls swap (warm_disks.py)
        found = {"kind": "swap"} if verb[0] == "map" else {}
        lines.append(json.dumps({"event": kind, **last, **found, "number": number}) + "\n")
    return "".join(lines)


def facts(event: Event) -> dict[str, str | int | float | bool]:
    """What of a ``done`` event is worth keeping in the journal."""
    wanted = ("source", "bytes", "copied", "missed", "verified", "hash", "seconds", "method", "reason")
    return {key: event[key] for key in wanted if event.get(key) not in (None, "")}


def source_of(record: Mapping[str, Any]) -> str:
    """What an image was copied from, by its manifest; empty if that is not known."""
    source = record.get("source")
    return str(source.get("path", "")) if isinstance(source, dict) else ""


def manifest(host: Host, image: str) -> Mapping[str, Any] | None:
    """What the engine wrote beside an image; None if there is nothing that can be used."""
    text = read_text(host, f"{image}.manifest")
    try:
        record = json.loads(text) if text else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
