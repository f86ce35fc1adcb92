"""What live migrations that broke have left, and what is to be done about it: domains' copies, and leases that two servers have.

The agent does by itself what is certain on its server (xen/server/87-leftovers.pl). What takes the view of all servers is decided
here. ``decide`` is pure: from what every server said to a verdict for each domain that has something left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from snowha.errors import SiteError, SnowError, UnreachableError
from snowha.health import leases
from snowha.health.findings import Finding, found
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.plan.step import Reporter, Step
from snowha.site.model import Site
from snowha.xen import server_program, xl
from snowha.xen.leases import Lease, Leases
from snowha.xen.xl import Running

_DESTROY_S = 120.0


@dataclass(frozen=True)
class Copy:
    """One row of a server's ``xl list`` that is a domain, or half of its migration."""

    server: str
    name: str
    domid: int
    state: str

    @property
    def is_half(self) -> bool:
        return self.name.endswith((xl.INCOMING, xl.AWAY))

    @property
    def is_suspended(self) -> bool:
        """xl's fifth letter says why it has shut down (xl_info.c): one that halts or reboots is there for seconds, too."""
        return self.state[3:5] == "ss"

    @property
    def runs(self) -> bool:
        return not self.is_half and not set(self.state) & set("pscd")

    def __str__(self) -> str:
        words = {"ss": "suspended", "p": "paused", "c": "crashed", "d": "dying"}
        said = [word for letters, word in words.items() if letters in self.state]
        return f"{self.name} on {self.server} ({', '.join(said) or ('halted' if 's' in self.state else 'runs')})"


@dataclass(frozen=True)
class Action:
    """One command on one server. ``title``: what it does, for whoever decides."""

    server: str
    words: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class Verdict:
    """Of one domain: what was found, why, and what would be done; nothing where it is not certain, or goes on by itself."""

    domain: str
    found: tuple[str, ...]
    why: str
    actions: tuple[Action, ...] = ()
    is_under_way: bool = False


@dataclass(frozen=True)
class Seen:
    """What the servers said. ``silent``: those that did not answer. ``migrating``: domains for which an ``xl migrate``, or an
    ``xl save``, runs."""

    copies: tuple[Copy, ...]
    records: tuple[Lease, ...] = ()
    attached: Mapping[str, Collection[str]] | None = None
    """Image to the servers that have it attached."""
    silent: tuple[str, ...] = ()
    migrating: frozenset[str] = frozenset()


def decide(domains: Mapping[str, Sequence[str]], servers: Sequence[str], seen: Seen) -> tuple[Verdict, ...]:
    """A verdict for each domain that has something left. ``domains``: their leased images; ``servers``: all of the site."""
    verdicts = (_of_domain(name, images, servers, seen) for name, images in domains.items())
    return tuple(verdict for verdict in verdicts if verdict is not None)


def _of_domain(name: str, images: Sequence[str], servers: Sequence[str], seen: Seen) -> Verdict | None:
    copies = [copy for copy in seen.copies if copy.name in (name, name + xl.INCOMING, name + xl.AWAY)]
    records = [record for record in seen.records if record.image in images]
    open_records = [record for record in records if record.state in ("offered", "tentative")]
    if not any(copy.is_half or copy.is_suspended for copy in copies) and not (open_records and not copies):
        return None
    shown = (*map(str, copies), *map(_told, records))
    if name in seen.migrating:
        return Verdict(name, shown, "it is being migrated or saved: wait until that ends", is_under_way=True)
    if seen.silent:
        why = f"{' and '.join(seen.silent)} does not answer, and may have it: bring it back, or wait until it is fenced"
        return Verdict(name, shown, why)
    living = [copy for copy in copies if copy.runs]
    if len(living) > 1:
        return Verdict(name, shown, f"it runs twice: shut one of them down now (xl shutdown {name})")
    unknown = set(images) - {record.image for record in records if record.state != "unreadable"}
    if unknown:
        why = f"the lease of {' and '.join(sorted(unknown))} cannot be read now, so it is unknown which copy has it"
        return Verdict(name, shown, why)
    chosen = living or [copy for copy in copies if not copy.is_half and "p" in copy.state]
    holders = {(record.state, record.server) for record in records}
    if len(chosen) == 1 and holders == {("held", chosen[0].server)}:
        return _one_lives(name, chosen[0], copies, shown)
    if living:
        why = f"it runs on {living[0].server}, but no lease names that server: compare snow-lease list on each server"
        return Verdict(name, shown, why)
    if copies:
        why = "no copy of it runs. What was only in its memory is lost, as in a power loss; Pacemaker starts it from its disks"
        return Verdict(name, shown, why, tuple(map(_destroy, copies)))
    return _nobody(name, open_records, servers, shown, seen)


def _one_lives(name: str, chosen: Copy, copies: Sequence[Copy], shown: tuple[str, ...]) -> Verdict:
    """Its leases say which copy is the domain: the rest is dead, and its disks are held back for ever."""
    actions = [_destroy(copy) for copy in copies if copy != chosen]
    if not chosen.runs:
        words = ("xl", "unpause", str(chosen.domid))
        actions.append(Action(chosen.server, words, f"resume {name} on {chosen.server}"))
    return Verdict(name, shown, f"it has its leases on {chosen.server}: its other copies are leftovers", tuple(actions))


def _nobody(name: str, records: Sequence[Lease], servers: Sequence[str], shown: tuple[str, ...], seen: Seen) -> Verdict:
    """Leases of a migration neither end of which is there any more."""
    if any((seen.attached or {}).get(record.image) for record in records):
        return Verdict(name, shown, "its images are attached without a domain: compare snow-lease list on each server")
    actions = tuple(
        Action(servers[0], (server_program.PATH, "break", record.image, "--yes"), f"free the lease of {record.image}")
        for record in records
    )
    return Verdict(name, shown, "nothing of it is on any server, and its leases are half handed over", actions)


def _destroy(copy: Copy) -> Action:
    return Action(copy.server, ("xl", "destroy", str(copy.domid)), f"destroy {copy}")


def _told(record: Lease) -> str:
    if record.state == "offered":
        return f"the lease of {record.image}: {record.server} offers it to {record.to or 'any server'}"
    if record.state == "tentative":
        return f"the lease of {record.image}: between {record.server} and {record.to}"
    return f"the lease of {record.image}: {record.state}{f' by {record.server}' if record.server else ''}"


def findings(verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """For ``status``: what is left, and that there is a verb for it."""
    for verdict in verdicts:
        if not verdict.is_under_way:
            yield found(
                "migration-left", verdict.domain, f"{verdict.domain}: {'; '.join(verdict.found)}: {verdict.why}"
            )


def copies_of(server: str, domains: Mapping[str, Running]) -> tuple[Copy, ...]:
    """What ``xl list`` of a server has."""
    return tuple(Copy(server, one.name, one.domid, one.state) for one in domains.values())


def verdicts_of(site: Site, hosts: Mapping[str, Host]) -> tuple[tuple[Verdict, ...], dict[str, UnreachableError]]:
    """Ask every server. The verdicts, and the servers that do not say what they have: that makes what they may have uncertain."""

    def one(host: Host) -> tuple[tuple[Copy, ...], Leases | None] | UnreachableError:
        try:
            return copies_of(host.name, xl.running(host)), leases.ask(host)
        except UnreachableError as error:
            return error
        except SnowError as error:
            said = f"it cannot tell what runs there: {error.message}"
            return UnreachableError(said, where=error.where or host.name, remedy=error.remedy)

    asked = each(list(hosts.values()), one)
    silent = {name: answer for name, answer in asked.items() if isinstance(answer, UnreachableError)}
    told = {name: answer for name, answer in asked.items() if not isinstance(answer, UnreachableError)}
    answers = {name: told[name][1] if name in told else None for name in asked}
    images = leases.images_of(site)
    verdicts = evaluate(
        site,
        hosts,
        copies=tuple(copy for copies, _ in told.values() for copy in copies),
        silent=tuple(silent),
        answers=answers,
        records=leases.records(hosts, answers, images),
    )
    return verdicts, silent


def evaluate(
    site: Site,
    hosts: Mapping[str, Host],
    *,
    copies: tuple[Copy, ...],
    silent: tuple[str, ...],
    answers: Mapping[str, Leases | None],
    records: tuple[Lease, ...],
) -> tuple[Verdict, ...]:
    """The same from answers that are there already. The servers are asked for processes of ``xl migrate`` only where something is
    left."""
    images = leases.images_of(site)
    by_domain = {domain.name: [image for image, of in images.items() if of == domain.name] for domain in site.domains}
    attached = {
        image: {name for name, answer in answers.items() if answer for one in answer.attached if one.image == image}
        for image in images
    }
    answering = tuple(name for name in hosts if name not in silent)
    seen = Seen(copies, records, attached, silent)
    left = decide(by_domain, answering, seen)
    if not left:
        return ()
    migrating = frozenset(_migrating([hosts[name] for name in answering], [verdict.domain for verdict in left]))
    if any(verdict.domain not in migrating for verdict in left):
        # one that ended after the copies were looked at looks like a broken one
        copies = _looked_at_again([hosts[name] for name in answering], copies)
    return decide(by_domain, answering, Seen(copies, records, attached, silent, migrating))


def _looked_at_again(hosts: Sequence[Host], before: Sequence[Copy]) -> tuple[Copy, ...]:
    """What the servers have by now; of one that does not say it what it had ``before``."""

    def one(host: Host) -> tuple[Copy, ...]:
        try:
            return copies_of(host.name, xl.running(host))
        except SnowError:
            return tuple(copy for copy in before if copy.server == host.name)

    return tuple(copy for copies in each(list(hosts), one).values() for copy in copies)


def _migrating(hosts: Sequence[Host], domains: Sequence[str]) -> Iterator[str]:
    """Domains that an xl on one of ``hosts`` sends, or saves. (An ``xl migrate-receive`` stays for every domain that arrived.)"""
    for text in each(
        list(hosts), lambda host: host.run(["pgrep", "-a", "-x", "xl"], check=False, timeout=30).stdout
    ).values():
        for line in text.splitlines():
            words = line.split()
            yield from (name for name in domains if {"migrate", "save"} & set(words) and name in words)


def steps(site: Site, hosts: Mapping[str, Host], shown: Sequence[Verdict]) -> tuple[Step, ...]:
    """A step for each domain about which something is to be done. Each looks again first: SiteError, and nothing is done, if that
    is not what was ``shown``. Pacemaker looks at the domain again afterwards."""

    def one(verdict: Verdict) -> Step:
        def work(reporter: Reporter) -> None:
            now, _ = verdicts_of(site, hosts)
            must_be_the_same([verdict], [other for other in now if other.domain == verdict.domain])
            for action in verdict.actions:
                reporter.say(action.title)
                hosts[action.server].run(list(action.words), timeout=_DESTROY_S)
            words = ["crm_resource", "--refresh", f"--resource={verdict.domain}"]
            hosts[verdict.actions[0].server].run(words, check=False, timeout=_DESTROY_S)

        title = f"Resolve what a broken migration left of {verdict.domain}"
        return Step.once(f"resolve.{verdict.domain}", title, "resolve", work)

    return tuple(one(verdict) for verdict in shown if verdict.actions)


def must_be_the_same(shown: Sequence[Verdict], now: Sequence[Verdict]) -> None:
    """Raise SiteError if what is left is not what somebody has seen and said yes to."""
    if list(shown) != list(now):
        raise SiteError(
            "the leftovers have changed since they were shown: nothing was done", remedy="check again: snow ha resolve"
        )
