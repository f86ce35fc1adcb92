"""Whether every image has one holder, and the right one: what each server says of its leases, and the findings in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from snowha.errors import CommandError, SnowError
from snowha.health.findings import Finding, found
from snowha.hosts.host import Host
from snowha.site.model import Domain, Site
from snowha.site.names import listed
from snowha.xen import leases, server_program
from snowha.xen.leases import Attached, Lease, Leases

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
    return images_in(site.domains)


def images_in(domains: Iterable[Domain]) -> dict[str, str]:
    """The same of some domains."""
    return {
        disk.target: domain.name
        for domain in domains
        for disk in domain.disks
        if disk.script == server_program.SCRIPT and disk.access != "r"
    }


def ask(host: Host, folder: str = "") -> Leases | None:
    """What ``host`` has attached, for whoever only looks: a program that fails is told, and all else of the server is shown.

    With the records of all images below ``folder``, if one is given. None if the program is not there. Raises UnreachableError.
    """
    try:
        return leases.ask_all(host, folder) if folder else leases.ask(host, ())
    except CommandError as error:
        return Leases(host.name, "", trouble=error.message)


def records(
    hosts: Mapping[str, Host], answers: Mapping[str, Leases | None], images: Mapping[str, str]
) -> tuple[Lease, ...]:
    """The leases' records, as the first server reads them that has our program: they are on storage that all share. It is asked
    for those that it has not told already.

    Whether a copy has ended is known to its own server alone, which is asked for that.
    """
    for name, answer in answers.items():
        if images and answer is not None and not answer.trouble:
            if images.keys() <= {record.image for record in answer.records}:
                told = tuple(record for record in answer.records if record.image in images)
                return _copies_looked_at(hosts, answers, told, name)
            with suppress(SnowError):
                again = leases.ask(hosts[name], tuple(images))
                return _copies_looked_at(hosts, answers, again.records, name) if again else ()
    return ()


def _copies_looked_at(
    hosts: Mapping[str, Host], answers: Mapping[str, Leases | None], records: tuple[Lease, ...], by: str
) -> tuple[Lease, ...]:
    copies: dict[str, list[str]] = {}
    for one in records:
        if one.is_copy and one.server != by and one.server in hosts:
            copies.setdefault(one.server, []).append(one.image)
    known: dict[str, Lease] = {}
    for server, images in copies.items():
        answer = answers.get(server)
        told = {one.image: one for one in (answer.records if answer else ())}
        if told.keys() >= set(images):
            known |= {image: told[image] for image in images}
            continue
        with suppress(SnowError):  # that it does not answer is said by the other questions
            again = leases.ask(hosts[server], images)
            known |= {one.image: one for one in again.records} if again else {}
    return tuple(known.get(one.image, one) for one in records)


def status(
    images: Mapping[str, str], answers: Mapping[str, Leases | None], records: Sequence[Lease]
) -> tuple[ImageStatus, ...]:
    """The images (with their domains) and who has them. ``records``: as one server reads them."""
    by_image = {record.image: record for record in records}
    where = _attachments(answers)
    rows = []
    for image, domain in images.items():
        record = by_image.get(image, Lease(image, "unknown"))
        there = tuple(dict.fromkeys(server for server, _ in where.get(image, ())))
        holder = record.server if record.state in ("held", "offered", "tentative") else ""
        rows.append(ImageStatus(image, domain, record.state, holder, record.lock, record.since, there))
    return tuple(rows)


def _attachments(answers: Mapping[str, Leases | None]) -> dict[str, list[tuple[str, Attached]]]:
    """By image: the servers that have it attached, and how."""
    found: dict[str, list[tuple[str, Attached]]] = {}
    for server, answer in answers.items():
        for one in answer.attached if answer else ():
            found.setdefault(one.image, []).append((server, one))
    return found


def evaluate(
    images: Mapping[str, str], answers: Mapping[str, Leases | None], records: Sequence[Lease]
) -> Iterator[Finding]:
    """What is wrong with the leases. ``answers``: of every server, None for one that could not be asked or has no leases."""
    for name, answer in answers.items():
        if answer is not None and answer.trouble:
            remedy = "`snow ha apply` installs it again"
            yield found("lease-unreadable", name, f"{name}: {answer.trouble}", remedy=remedy)
        elif answer is not None:
            yield from _notes(name, answer)
            yield from _migrations(name, answer)
    answers = {name: None if answer is None or answer.trouble else answer for name, answer in answers.items()}
    by_image = {record.image: record for record in records}
    where = _attachments(answers)
    for row in status(images, answers, records):
        record = by_image.get(row.image)
        yield from _attached(row, where.get(row.image, ()))
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


def _migrations(server: str, answer: Leases) -> Iterator[Finding]:
    for one in answer.migrations:
        message = f"{one.domain} is being migrated from {server} to {one.target} for {one.seconds:.0f} s: {one.how_far}"
        yield found("domain-migrating", one.domain, message)


def _attached(row: ImageStatus, here: Sequence[tuple[str, Attached]]) -> Iterator[Finding]:
    writers = dict.fromkeys(server for server, one in here if _may_write(row, server, one))
    if len(writers) > 1 and row.state not in ("offered", "tentative"):
        yield found("image-twice", row.image, f"{row.image} is attached on {listed(writers)}")
    for server, one in here:
        if not one.is_leased:
            message = f"{row.image} is attached on {server} without a lease ({one.device})"
            yield found("image-without-lease", row.image, message)
        elif not one.holder_lives and row.holder in ("", server):
            message = f"the process that hands over the lease of {row.image} on {server} has died"
            yield found("lease-holder-gone", row.image, message)
        elif not one.holder_lives:
            message = f"{row.image} was handed over to {row.holder}, and is still attached on {server}, cut off"
            yield found("image-frozen", row.image, message)
        if one.is_frozen:
            yield found("image-frozen", row.image, f"{row.image} is suspended on {server}: writes to it wait")


def _may_write(row: ImageStatus, server: str, one: Attached) -> bool:
    """Not while its device is frozen, nor as the source of a live migration whose lease the target has: then it was cut off, and
    its holder has ended. libxl takes it away some seconds later (75-holder.pl)."""
    return not one.is_frozen and (not one.is_leased or one.holder_lives or row.holder in ("", server))


def _record(row: ImageStatus, record: Lease, answers: Mapping[str, Leases | None]) -> Iterator[Finding]:
    if record.state == "unreadable":
        yield found("lease-unreadable", row.image, record.trouble or f"the record of {row.image} cannot be read")
    elif record.state == "none":
        yield found("lease-unreadable", row.image, f"{row.image} has no lease record")
    elif record.state == "free" and row.attached:
        yield found(
            "lease-unexplained",
            row.image,
            f"{row.image} is attached on {row.attached[0]}, but its record says that no server has it",
        )
    elif record.is_copy:
        yield from _copy(row, record, answers)
    elif record.state == "held":
        answer = answers.get(record.server)
        if record.server not in answers:
            yield found(
                "lease-unexplained",
                row.image,
                f"{row.image} is leased to {record.server}, which is not a server of this site",
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
        elif record.locked == "no" and record.server in row.attached:
            yield found(
                "lease-lock-lost",
                row.image,
                f"{row.image} is attached on {record.server} with a lock that the storage does not know",
            )


def _copy(row: ImageStatus, record: Lease, answers: Mapping[str, Leases | None]) -> Iterator[Finding]:
    """A copy that was killed. Its own server takes the lease at once when it needs it; the others do not."""
    answer = answers.get(record.server)
    said = f"{row.image} is leased to {record.server} for a copy"
    if record.server not in answers:
        message = f"{said}, which is not a server of this site"
        yield found("lease-unexplained", row.image, message)
    elif record.is_left or (answer is not None and answer.boot != record.boot):
        remedy = f"on {record.server}: snow-lease give {row.image}"
        yield found("lease-left", row.image, f"{said} that has ended", remedy=remedy)
