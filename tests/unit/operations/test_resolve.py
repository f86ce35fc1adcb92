"""What is left of a live migration: the wrong half destroyed, and the domain is gone; two let go on, and its image is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from broken_leases import BOOT, DEPLOY
from listener import Listener

from snowha.errors import CommandError, SiteError
from snowha.hosts.host import Completed
from snowha.operations import resolve
from snowha.operations.resolve import Copy, Seen, Verdict
from snowha.site.model import Disk, Domain, Paths, Server, Site
from snowha.xen import server_program
from snowha.xen.leases import Lease

SERVERS = ("snow01", "snow02")
LIVES, SENT = Copy("snow01", "deploy01", 5, "-b----"), Copy("snow01", "deploy01--migratedaway", 5, "---ss-")
SUSPENDED = Copy("snow01", "deploy01", 5, "---ss-")
ARRIVED, COMES = Copy("snow02", "deploy01", 7, "r-----"), Copy("snow02", "deploy01--incoming", 7, "--p---")
WAITS = Copy("snow02", "deploy01", 7, "--p---")


def lease(state: str, server: str, to: str = "") -> Lease:
    return Lease(DEPLOY, state, server, BOOT.get(server, ""), "deploy01", "disk", "yes", to)


def decide(*copies: Copy, record: Lease, silent: Sequence[str] = (), migrating: Sequence[str] = ()) -> Verdict | None:
    seen = Seen(copies, (record,), {DEPLOY: ()}, tuple(silent), frozenset(migrating))
    found = resolve.decide({"deploy01": [DEPLOY]}, SERVERS, seen)
    return found[0] if found else None


def commands(verdict: Verdict | None) -> list[str]:
    assert verdict is not None
    return [f"{action.server}: {' '.join(action.words)}" for action in verdict.actions]


QUIET = [Copy("snow01", "deploy01", 5, state) for state in ("-b----", "--p---", "---s--", "--ps--", "---sr-", "-----d")]


@pytest.mark.parametrize("copies", [(), *((copy,) for copy in QUIET)])
def test_a_domain_of_which_nothing_is_left_is_not_shown(copies: tuple[Copy, ...]) -> None:
    """Whoever has paused a domain would find it gone on, or destroyed; one that halts or reboots would be a red finding."""
    assert decide(*copies, record=lease("held", "snow01") if copies else lease("free", "")) is None


def test_the_copy_with_the_leases_lives() -> None:
    assert commands(decide(LIVES, COMES, record=lease("held", "snow01"))) == ["snow02: xl destroy 7"]
    assert commands(decide(SENT, ARRIVED, record=lease("held", "snow02"))) == ["snow01: xl destroy 5"]


def test_a_copy_that_was_told_to_go_and_did_not_is_let_go() -> None:
    """Its leases say that it is the domain: the source could not write any more."""
    assert commands(decide(SENT, WAITS, record=lease("held", "snow02"))) == [
        "snow01: xl destroy 5",
        "snow02: xl unpause 7",
    ]


@pytest.mark.parametrize("copies", [(SENT, COMES), (SENT,), (COMES,), (SUSPENDED,), (SUSPENDED, COMES)])
def test_where_nothing_runs_and_nobody_was_told_to_go_it_begins_anew(copies: tuple[Copy, ...]) -> None:
    """Either half could be the domain; both at once never."""
    verdict = decide(*copies, record=lease("tentative", "snow01", "snow02"))
    assert commands(verdict) == [f"{copy.server}: xl destroy {copy.domid}" for copy in copies]
    assert verdict is not None and "memory" in verdict.why


@pytest.mark.parametrize("copies", [(SENT, COMES), (LIVES, COMES), (SUSPENDED,)])
def test_nothing_is_done_while_it_goes_on_or_a_server_is_silent(copies: tuple[Copy, ...]) -> None:
    """A migration under way looks just like one that broke."""
    record = lease("tentative", "snow01", "snow02")
    under_way = decide(*copies, record=record, migrating=["deploy01"])
    assert under_way is not None and under_way.is_under_way and not under_way.actions
    silent = decide(*copies, record=record, silent=["snow03"])
    assert silent is not None and not silent.actions and "snow03 does not answer" in silent.why
    assert not list(resolve.findings([under_way])) and list(resolve.findings([silent]))


def test_a_domain_that_runs_without_its_leases_is_left_to_a_person() -> None:
    for copies in ((LIVES, COMES), (LIVES, ARRIVED, SENT)):
        verdict = decide(*copies, record=lease("tentative", "snow01", "snow02"))
        assert verdict is not None and not verdict.actions


@pytest.mark.parametrize("copies", [(SENT, WAITS), (SUSPENDED, COMES), (LIVES, COMES)])
@pytest.mark.parametrize("records", [(), (lease("unreadable", ""),)])
def test_nothing_is_done_while_the_leases_cannot_be_read(copies: tuple[Copy, ...], records: tuple[Lease, ...]) -> None:
    """Storage that did not answer in that moment made a copy that has its leases one that nobody needs."""
    (verdict,) = resolve.decide({"deploy01": [DEPLOY]}, SERVERS, Seen(copies, records))
    assert not verdict.actions and "cannot be read" in verdict.why


def test_leases_of_a_migration_of_which_no_end_is_left_are_freed() -> None:
    """Else its domain is started nowhere any more."""
    verdict = decide(record=lease("tentative", "snow01", "snow02"))
    assert commands(verdict) == [f"snow01: /usr/lib/snow-ha/snow-lease break {DEPLOY} --yes"]


def test_leases_of_what_is_attached_are_not_freed() -> None:
    seen = Seen((), (lease("offered", "snow01", "snow02"),), {DEPLOY: {"snow02"}})
    (verdict,) = resolve.decide({"deploy01": [DEPLOY]}, SERVERS, seen)
    assert not verdict.actions


def test_what_has_changed_since_it_was_shown_is_not_done() -> None:
    """Somebody said yes to something else."""
    one, other = (decide(*copies, record=lease("tentative", "snow01", "snow02")) for copies in ((SENT,), (COMES,)))
    assert one is not None and other is not None
    resolve.must_be_the_same([one], [one])
    with pytest.raises(SiteError, match="have changed"):
        resolve.must_be_the_same([one], [other])


# asked of servers

DISK = Disk("", DEPLOY, "xvda2", script=server_program.SCRIPT)
SITE = Site(
    name="snow",
    paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
    servers=tuple(Server(name, "192.168.8.1", ("192.168.8.1",), None) for name in SERVERS),
    domains=(Domain("deploy01", "/sNow/etc/domains/deploy01.cfg", 128, 1, "pvh", "", "", (DISK,), (), "xvda2"),),
    mounts=(),
    floating_ip=None,
    apart=(),
)


@dataclass
class Host:
    """A server, and what it was told."""

    name: str
    rows: dict[int, str]
    """What its hypervisor has: name and state by domain id."""
    processes: str = ""
    told: list[str] = field(default_factory=list)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        said = ""
        if list(argv[:2]) == ["xl", "list"]:
            said = self._list()
        elif list(argv[:2]) == ["pgrep", "-a"]:
            said = self.processes
        elif list(argv[:2]) == [server_program.PATH, "list"]:
            said = self._leases()
        else:
            self.told.append(" ".join(argv))
        if list(argv[:2]) == ["xl", "destroy"]:
            del self.rows[int(argv[2])]
        return Completed(tuple(argv), 0, said, "")

    def _list(self) -> str:
        return "".join(f"{name} {domid} 128 1 {state} 1.0\n" for domid, (name, state) in self._split())

    def _split(self) -> list[tuple[int, list[str]]]:
        return [(domid, row.split()) for domid, row in self.rows.items()]

    def _leases(self) -> str:
        record = {"state": "held", "server": "snow01", "boot": BOOT["snow01"], "kind": "disk", "lock": "yes"}
        records = [{"image": DEPLOY, "record": record}]
        return json.dumps(
            {"server": self.name, "boot": BOOT[self.name], "records": records, "attached": [], "notes": {}}
        )


def servers(processes: str = "") -> dict[str, Host]:
    left = Host("snow02", {7: "deploy01--incoming --p---"})
    return {"snow01": Host("snow01", {5: "deploy01 -b----"}, processes), "snow02": left}


def resolved(hosts: dict[str, Host], shown: Sequence[Verdict]) -> list[str]:
    """Carry out what was shown. The steps' ids."""
    steps = resolve.steps(SITE, hosts, shown)
    for step in steps:
        step.apply(Listener())
        assert step.check() is None
    return [step.id for step in steps]


def test_what_has_changed_meanwhile_is_not_done() -> None:
    """What was left is another domain's half by now, and it would be destroyed."""
    hosts = servers()
    shown, _ = resolve.verdicts_of(SITE, hosts)
    hosts["snow02"].rows = {8: "deploy01--incoming --p---"}
    with pytest.raises(SiteError, match="have changed"):
        resolved(hosts, shown)
    assert hosts["snow02"].told == []


def test_what_is_left_is_taken_away_and_pacemaker_looks_again() -> None:
    hosts = servers("812 xl create /sNow/etc/domains/deploy01.cfg")
    found, _ = resolve.verdicts_of(SITE, hosts)
    resolved(hosts, found)
    assert hosts["snow02"].told == ["xl destroy 7", "crm_resource --refresh --resource=deploy01"]
    assert hosts["snow01"].told == []
    assert resolve.verdicts_of(SITE, hosts) == ((), {})


@pytest.mark.parametrize("process", ["812 xl migrate -s ssh deploy01 snow02", "812 xl save deploy01 /var/lib/saved"])
def test_what_is_under_way_is_left_alone(process: str) -> None:
    """It looks the same as what broke: a domain would be destroyed that has just arrived."""
    hosts = servers(process)
    ((found,), _) = resolve.verdicts_of(SITE, hosts)
    assert found.is_under_way
    assert resolve.steps(SITE, hosts, [found]) == ()
    assert hosts["snow02"].told == hosts["snow01"].told == []


def test_a_migration_that_ends_while_the_servers_are_asked_has_left_nothing() -> None:
    """`snow status` was red for a migration that went well, and named a domain to destroy that was just gone."""

    class Ends(Host):
        def _list(self) -> str:
            said = super()._list()
            self.rows = {}
            return said

    hosts = {
        "snow01": Host("snow01", {5: "deploy01 -b----"}),
        "snow02": Ends("snow02", {7: "deploy01--migratedaway ---ss-"}),
    }
    assert resolve.verdicts_of(SITE, hosts) == ((), {})


def test_another_domains_migration_is_not_this_ones() -> None:
    ((found,), _) = resolve.verdicts_of(SITE, servers("812 xl migrate proxy01 snow02"))
    assert found.actions


def test_a_server_whose_xl_is_broken_is_not_one_without_rests() -> None:
    """It was left out in silence: "nothing is left", while a dead half held the domain's disks."""

    class Broken(Host):
        def _list(self) -> str:
            raise CommandError("xl failed", remedy="look there")

    found, silent = resolve.verdicts_of(SITE, {**servers(), "snow02": Broken("snow02", {})})
    assert found == ()
    assert (silent["snow02"].where, silent["snow02"].remedy) == ("snow02", "look there")
    assert "it cannot tell what runs there: xl failed" in silent["snow02"].message
