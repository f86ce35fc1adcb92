"""Whether every image has one holder, and the right one. Pure: from what each server says of its leases to findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from snowha.operations.findings import Finding, found
from snowha.site.model import Site
from snowha.xen import server_program
from snowha.xen.leases import Lease, Leases

_MIGRATION = ".migration"
"""What the agent adds to a domain's name for what it has to say of its last migration."""


@dataclass(frozen=True)
class ImageStatus:
    """One image: who has its lease. ``holder`` is empty if nobody has."""

    image: str
    domain: str
    state: str
    """As ``xen.leases.Lease.state``; ``unknown`` if no server could be asked."""
    holder: str
    lock: str
    since: str
    attached: tuple[str, ...]
    """Servers that have it attached."""


def images_of(site: Site) -> dict[str, str]:
    """Every image that is written to by our block script, with its domain."""
    return {
        disk.target: domain.name
        for domain in site.domains
        for disk in domain.disks
        if disk.script == server_program.SCRIPT and disk.access != "r"
    }


def status(
    images: Mapping[str, str], answers: Mapping[str, Leases | None], records: Sequence[Lease]
) -> tuple[ImageStatus, ...]:
    """The images (with their domains) and who has them. ``records``: as one server reads them."""
    by_image = {record.image: record for record in records}
    rows = []
    for image, domain in images.items():
        record = by_image.get(image, Lease(image, "unknown"))
        there = tuple(
            name for name, answer in answers.items() if answer and any(one.image == image for one in answer.attached)
        )
        holder = record.server if record.state in ("held", "offered", "tentative") else ""
        rows.append(ImageStatus(image, domain, record.state, holder, record.lock, record.since, there))
    return tuple(rows)


def judge(
    images: Mapping[str, str], answers: Mapping[str, Leases | None], records: Sequence[Lease]
) -> Iterator[Finding]:
    """What is wrong with the leases. ``answers``: of every server, None for one that could not be asked or has no leases."""
    for name, answer in answers.items():
        if answer is not None:
            yield from _notes(name, answer)
    by_image = {record.image: record for record in records}
    for row in status(images, answers, records):
        record = by_image.get(row.image)
        yield from _attached(row, answers)
        if record is not None:
            yield from _record(row, record, answers)


def _notes(server: str, answer: Leases) -> Iterator[Finding]:
    unusable = sorted(note for note in answer.notes.values() if "xl cannot be used" in note)
    if unusable:
        since, _, why = unusable[0].partition(" ")
        yield found("xl-unusable", server, f"{server}: {why} (since {since})")
    for domain, note in answer.notes.items():
        if domain.endswith(_MIGRATION):
            since, _, why = note.partition(" ")
            yield found("migration-failed", domain.removesuffix(_MIGRATION), f"{why} ({since})")
        elif "is paused" in note:
            yield found("domain-paused", domain, f"{domain} is paused on {server} (since {note.partition(' ')[0]})")


def _attached(row: ImageStatus, answers: Mapping[str, Leases | None]) -> Iterator[Finding]:
    # of a live migration one end is held back until the other one has let go
    able = [server for server in row.attached if not _is_frozen(row.image, answers[server])]
    if len(able) > 1:
        yield found("image-twice", row.image, f"{row.image} is attached on {' and '.join(able)}")
    for server in row.attached:
        answer = answers[server]
        for one in answer.attached if answer else ():
            if one.image != row.image:
                continue
            if not one.is_leased:
                yield found(
                    "image-without-lease",
                    row.image,
                    f"{row.image} is attached on {server} without a lease ({one.device})",
                )
            elif not one.holder_lives:
                yield found(
                    "lease-holder-gone",
                    row.image,
                    f"the process that hands over the lease of {row.image} on {server} has died",
                )
            if one.is_frozen:
                yield found(
                    "image-frozen", row.image, f"{row.image} is held back on {server}: nothing of it is written"
                )


def _is_frozen(image: str, answer: Leases | None) -> bool:
    return answer is not None and all(one.is_frozen for one in answer.attached if one.image == image)


def _record(row: ImageStatus, record: Lease, answers: Mapping[str, Leases | None]) -> Iterator[Finding]:
    if record.state == "unreadable":
        yield found("lease-unreadable", row.image, record.trouble or f"the record of {row.image} cannot be read")
    elif record.state == "none":
        yield found("lease-unreadable", row.image, f"{row.image} has no record of who has it open")
    elif record.state == "free" and row.attached:
        yield found(
            "lease-unexplained",
            row.image,
            f"{row.image} is attached on {row.attached[0]}, and its record says that nobody has it",
        )
    elif record.state == "held" and record.kind != "copy":
        answer = answers.get(record.server)
        if record.server not in answers:
            yield found(
                "lease-unexplained",
                row.image,
                f"{row.image} is leased to {record.server}, which is no server of this site",
            )
        elif answer is not None and record.server not in row.attached:
            booted = "" if answer.boot == record.boot else " before it booted the last time"
            yield found(
                "lease-unexplained",
                row.image,
                f"{row.image} is leased to {record.server}{booted}, which has not attached it",
                severity="note" if booted else None,
                remedy="it is taken over when the domain is started" if booted else "",
            )
        elif record.kind == "adopted":
            yield found(
                "lease-adopted", row.image, f"{row.image} was attached on {record.server} before there were leases"
            )
        if record.lock == "pending":
            yield found(
                "lease-pending",
                row.image,
                f"{row.image} is attached on {record.server}, and locked by a server that was lost",
            )
        elif record.lock == "none":
            yield found("lease-without-lock", row.image, f"{row.image} is leased to {record.server} without a lock")
