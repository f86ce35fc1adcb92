"""A lease for each image that was attached before there were leases: nothing is restarted for it.

From then on the record beside the image says who has it, and a process on that server has its lock. The lease itself comes with
the domain's next start or migration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snowha.errors import SiteError
from snowha.hosts.files import absent, read_text
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.live.context import SiteContext, site_domains
from snowha.plan.step import Reporter
from snowha.site.names import listed
from snowha.xen import leases, server_program
from snowha.xen.leases import Lease, Leases


def images(context: SiteContext) -> list[str]:
    """Every image that a domain's config names to be written to by our block script."""
    disks = [disk for domain in site_domains(context) for disk in domain.disks]
    return [disk.target for disk in disks if disk.script == server_program.SCRIPT and disk.access != "r"]


def missing(context: SiteContext) -> str | None:
    """The first image without a record, or attached without one."""
    wanted = images(context)
    if not wanted:
        return None
    answers = context.on_all(lambda host: leases.ask(host, wanted))
    for server, answer in answers.items():
        if answer is None:
            return f"{server}: {server_program.PATH} is not there"
        bare = _without_lease(answer, wanted)
        if bare:
            return f"{bare[0]} is attached on {server} without a lease"
    left = [lease for answer in answers.values() if answer for lease in _left(answer)]
    if left:
        return f"{left[0].image} is leased to {left[0].server} for a copy that has ended"
    first = answers[context.first.name]
    none = [lease.image for lease in first.records if lease.state == "none"] if first else []
    return f"{none[0]} has no lease record" if none else None


def _without_lease(answer: Leases, wanted: Sequence[str]) -> list[str]:
    return [one.image for one in answer.attached if one.image in wanted and not one.is_leased]


def _left(answer: Leases) -> list[Lease]:
    return [lease for lease in answer.records if lease.is_left and lease.server == answer.server]


def adopt(context: SiteContext, reporter: Reporter) -> None:
    """Write the records. Raises SiteError for an image that is attached on two servers, or a server that cannot be asked."""
    record(context.hosts, images(context), reporter, every=True)


def record(hosts: Mapping[str, Host], wanted: Sequence[str], reporter: Reporter, *, every: bool = False) -> None:
    """Write the records of ``wanted`` that are missing, and free those that a copy has left.

    ``every``: each server must say what it has attached.

    Raises SiteError for an image that is attached on two of ``hosts``, or a server without the program if ``every``.
    """
    if not wanted:
        return
    asked = each(list(hosts.values()), lambda host: leases.ask(host, wanted))
    answers = {server: answer for server, answer in asked.items() if answer is not None}
    silent = [server for server in asked if server not in answers]
    if every and silent and all(_is_planned(hosts[server]) for server in silent):
        # a plan: the images that are not there yet get their records with their copies
        answers |= {server: leases.ask_without(hosts[server], wanted) for server in silent}
        gone = absent(hosts[silent[0]], wanted)
        wanted = [image for image in wanted if image not in gone]
    elif every and silent:
        raise SiteError(
            f"{server_program.PATH} is not there", where=silent[0], remedy="`snow ha apply` installs it: run it again"
        )
    records = {lease.image: lease for answer in answers.values() for lease in answer.records}
    attached = {image: _attached_on(image, answers) for image in wanted}
    for image, servers in attached.items():
        if len(servers) > 1:
            raise SiteError(
                f"{image} is attached on {listed(servers)}: its domain runs twice",
                where=image,
                remedy="shut the domain down on all of them but one (xl shutdown), then run this again",
            )
    for server, answer in answers.items():
        for lease in _left(answer):
            reporter.say(f"releasing the lease of {lease.image}, which a copy that has ended on {server} has left")
            hosts[server].run([server_program.PATH, "give", lease.image])
    for image, servers in attached.items():
        if servers and image in _without_lease(answers[servers[0]], wanted):
            reporter.say(f"leasing {image} to {servers[0]}, where it is attached")
            hosts[servers[0]].run([server_program.PATH, "adopt", image])
        elif servers and records[image].state == "none":
            reporter.say(f"writing a new record of {image}, which {servers[0]} has attached, since the old one is lost")
            hosts[servers[0]].run([server_program.PATH, "adopt", image])
        elif answers and not servers and records[image].state == "none":
            reporter.say(f"writing the first record of {image}, which is attached nowhere")
            hosts[next(iter(answers))].run([server_program.PATH, "new", image])


def _is_planned(host: Host) -> bool:
    """Whether the program would be there by then, and cannot be run yet."""
    return read_text(host, server_program.PATH) == server_program.text()


def _attached_on(image: str, answers: Mapping[str, Leases]) -> list[str]:
    return [server for server, answer in answers.items() if image in [one.image for one in answer.attached]]
