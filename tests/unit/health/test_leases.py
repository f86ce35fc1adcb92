"""One judgement of whether every image has one holder: from what `snow-lease list` says on the servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from broken_clusters import CASES as CLUSTER_CASES
from broken_leases import (
    BARE,
    BOOT,
    CASES,
    DEPLOY,
    IMAGES,
    PROXY,
    SINCE,
    SLURM,
    Case,
    attached,
    case,
    held,
    server,
    well,
)

from snowha.errors import CommandError, UnreachableError
from snowha.health import leases
from snowha.health.catalogue import KINDS
from snowha.health.findings import Finding
from snowha.hosts.host import Completed
from snowha.xen import server_program
from snowha.xen.leases import Lease, Leases, parse

OF_LEASES = {code for code in KINDS if code.startswith(("image-", "lease-"))} | {
    "xl-unusable",
    "domain-paused",
    "migration-failed",
    "domain-migrating",
}


def judged(case: Case) -> list[Finding]:
    return list(leases.evaluate(IMAGES, case.answers, case.records))


def codes(case: Case) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in judged(case)]


def test_a_well_site_has_no_finding() -> None:
    """Findings that are always there are read by nobody."""
    assert judged(well()) == []


@pytest.mark.parametrize("code", sorted(CASES))
def test_each_thing_that_is_wrong_is_found_as_what_it_is(code: str) -> None:
    """Somebody would look for the wrong thing, or an image would be written by two servers and status call it well."""
    (finding,) = judged(CASES[code])
    assert (finding.code, finding.severity) == (code, KINDS[code].severity)
    assert finding.where in finding.message and finding.remedy and "{" not in finding.remedy


def test_a_migration_under_way_is_told_with_what_was_sent() -> None:
    """For an hour it would only be known that a large domain is being moved."""
    (finding,) = judged(CASES["domain-migrating"])
    assert finding.message == (
        "deploy01 is being migrated from snow01 to snow02 for 21 s: "
        "200 MiB sent of 128 MiB memory, 9 MiB/s, at least round 2 of 6"
    )


def test_whatever_can_be_wrong_with_leases_is_tried_here() -> None:
    """A kind of finding would be documented that nothing makes."""
    assert set(CASES) >= OF_LEASES
    assert set(CASES) & set(CLUSTER_CASES) == set()


@pytest.mark.parametrize(
    "images",
    [
        {DEPLOY: "deploy01"},
        {},
    ],
)
def test_only_images_of_the_site_are_judged(images: dict[str, str]) -> None:
    """A backup that somebody has attached with losetup would be a red finding of a domain."""
    other = attached(DEPLOY, image="/var/backups/image", domain="", device="loop9", is_leased=False)
    some = case(snow01=server("snow01", attached(DEPLOY), other))
    assert list(leases.evaluate(images, some.answers, some.records)) == []


def test_an_image_that_only_one_of_two_can_write_to_is_not_attached_twice() -> None:
    """Every live migration would be a red alarm for the seconds until libxl has taken the source's disk away."""
    source = {
        "frozen": attached(DEPLOY, is_frozen=True),
        "handed over": attached(DEPLOY, holder_lives=False),
    }
    for words, disk in source.items():
        there = server("snow02", attached(PROXY), attached(DEPLOY))
        found = judged(case(held(DEPLOY, "snow02"), snow01=server("snow01", disk), snow02=there))
        assert {one.code for one in found} == {"image-frozen"}, words


@pytest.mark.parametrize("state", ["offered", "tentative"])
def test_a_live_migration_is_no_image_that_is_attached_twice(state: str) -> None:
    """Both have it attached for a second or two, and the one of them that may write is told by the record."""
    record = Lease(DEPLOY, state, "snow01", BOOT["snow01"], "deploy01", "disk", "yes", "snow02", SINCE)
    there = server("snow02", attached(PROXY), attached(DEPLOY, is_frozen=True))
    migrating = case(record, snow01=server("snow01", attached(DEPLOY, is_frozen=True)), snow02=there)
    assert set(codes(migrating)) == {("image-frozen", "yellow")}


def test_an_image_that_a_lost_server_writes_to_again_is_attached_twice() -> None:
    """It was taken over since the BMC said that the power was off, and it was not: its holder lives, and so do its writes."""
    taken = case(held(DEPLOY, "snow02"), snow02=server("snow02", attached(PROXY), attached(DEPLOY)))
    assert codes(taken) == [("image-twice", "red")]


def test_a_second_writer_without_a_lease_is_told_as_both() -> None:
    """`losetup` by hand on the other server: what it is, and that there are two of them."""
    some = case(snow02=server("snow02", attached(PROXY), BARE))
    assert {one.code for one in judged(some)} == {"image-twice", "image-without-lease"}


@pytest.mark.parametrize(
    ("some", "severity", "says"),
    [
        (case(Lease(DEPLOY, "free")), "red", "its record says that no server has it"),
        (case(held(DEPLOY, "snow01", server="snow09")), "red", "leased to snow09, which is not a server of this site"),
        (case(snow01=server("snow01")), "red", "is leased to snow01, which has not attached it"),
        (
            case(held(DEPLOY, "snow01", boot="0ld"), snow01=server("snow01")),
            "note",
            "leased to snow01 before it booted the last time",
        ),
    ],
)
def test_a_lease_that_nobody_can_explain(some: Case, severity: str, says: str) -> None:
    """A domain would not start elsewhere, and nobody know why; a server that has just booted needs nobody to do anything."""
    (finding,) = judged(some)
    assert (finding.code, finding.severity, finding.where) == ("lease-unexplained", severity, DEPLOY)
    assert says in finding.message and finding.remedy


def test_a_copy_of_the_engine_has_an_image_without_attaching_it() -> None:
    """Each image would be a red finding while it is copied."""
    assert judged(case(held(SLURM, "snow01", kind="copy", domain=""))) == []


@pytest.mark.parametrize(
    ("copy", "codes_of_it"),
    [
        ({"process": "alive"}, []),
        ({"process": ""}, []),
        ({"process": "gone"}, [("lease-left", "yellow")]),
        ({"boot": "0ld"}, [("lease-left", "yellow")]),
        ({"server": "snow09"}, [("lease-unexplained", "red")]),
    ],
)
def test_a_copy_that_has_ended_is_told_with_what_frees_it(copy: dict[str, str], codes_of_it: list[object]) -> None:
    """Nothing said why no other server could have the image; a copy that is under way must not be called one that has ended."""
    some = case(held(SLURM, "snow02", kind="copy", domain="", **copy))
    assert codes(some) == codes_of_it
    if codes_of_it == [("lease-left", "yellow")]:
        assert judged(some)[0].remedy == f"on snow02: snow-lease give {SLURM}"


def test_a_lock_that_is_being_given_back_is_not_forgotten() -> None:
    """A domain that is stopped while it is looked at would be a red finding: its record is written after its device is gone."""
    assert {code for code, _ in codes(case(held(DEPLOY, "snow01", locked="no"), snow01=server("snow01")))} == {
        "lease-unexplained"
    }


def test_an_image_without_a_record_is_told() -> None:
    """Nothing attaches it anew, and the domain could not be started after its next stop."""
    (finding,) = judged(case(Lease(SLURM, "none")))
    assert (finding.code, finding.where) == ("lease-unreadable", SLURM)
    assert "no lease record" in finding.message


def test_a_server_that_cannot_be_asked_makes_no_finding() -> None:
    """It is unreachable, which is said once; what it has attached is not known, and nothing may be made up of that."""
    assert judged(case(snow01=None)) == []
    assert judged(case(snow01=None, snow02=None)) == []
    nothing_known = Case({"snow01": None, "snow02": None}, ())
    assert judged(nothing_known) == []


def test_a_program_that_fails_is_told_once_and_nothing_is_made_of_it() -> None:
    """Its leases would all be unexplained, or the whole server be called unreachable."""
    broken = Leases("snow01", "", trouble="snow-lease list: its output cannot be parsed: perl: not found")
    (finding,) = judged(case(snow01=broken))
    assert (finding.code, finding.severity, finding.where) == ("lease-unreadable", "red", "snow01")
    assert "perl: not found" in finding.message


def test_an_xl_that_fails_for_all_domains_is_one_finding() -> None:
    """Twenty domains would be twenty red lines about one thing."""
    notes = dict.fromkeys(("deploy01", "slurm01"), f"{SINCE} xl cannot be used: xl: not found")
    (finding,) = judged(case(snow01=server("snow01", attached(DEPLOY), notes=notes)))
    assert (finding.code, finding.where) == ("xl-unusable", "snow01")
    assert f"since {SINCE}" in finding.message and "xl: not found" in finding.message


def test_the_rows_say_who_has_what() -> None:
    rows = {row.image: row for row in leases.status(IMAGES, well().answers, well().records)}
    assert (rows[DEPLOY].holder, rows[DEPLOY].attached, rows[DEPLOY].state) == ("snow01", ("snow01",), "held")
    assert (rows[SLURM].holder, rows[SLURM].attached, rows[SLURM].state) == ("", (), "free")
    unknown = leases.status(IMAGES, {"snow01": None}, ())
    assert {(row.state, row.holder) for row in unknown} == {("unknown", "")}


# asking


class Answering:
    """A server on which the program says what a function does."""

    def __init__(self, name: str, answer: Callable[[Sequence[str]], Completed]) -> None:
        self.name, self.answer = name, answer
        self.asked: list[list[str]] = []

    def run(self, argv: Sequence[str], **how: object) -> Completed:
        self.asked.append(list(argv))
        return self.answer(argv)


def says(text: str, code: int = 0, error: str = "") -> Callable[[Sequence[str]], Completed]:
    return lambda argv: Completed(tuple(argv), code, text, error)


LISTED = (
    '{"server": "snow01", "boot": "b", "records": [{"image": "/i", "record": {"state": "held", "server": "snow01", '
    '"boot": "b", "domain": "d", "kind": "disk", "lock": "yes", "to": "", "since": "s"}}], "attached": [], "notes": {}}'
)


def test_a_server_without_the_program_is_not_one_that_fails() -> None:
    """Before the migration there is none, and status must show the site all the same."""
    for code in (126, 127):
        assert leases.ask(Answering("snow01", says("", code))) is None


def test_a_program_that_says_nonsense_is_told_with_what_it_said() -> None:
    answer = leases.ask(Answering("snow01", says("", 7, "snow-lease: /dev/mapper/control cannot be opened")))
    assert answer is not None and "/dev/mapper/control cannot be opened" in answer.trouble


def test_a_server_that_is_lost_meanwhile_is_not_a_program_that_fails() -> None:
    def lost(argv: Sequence[str]) -> Completed:
        raise UnreachableError("it does not answer", where="snow01")

    with pytest.raises(UnreachableError):
        leases.ask(Answering("snow01", lost))


def test_records_are_read_by_one_server_and_by_another_if_that_fails() -> None:
    """Each record is locked while it is read: a server that hangs in it must not be all that is asked."""

    def hangs(argv: Sequence[str]) -> Completed:
        raise CommandError("too slow", where="snow01")

    first, second, third = (
        Answering("snow01", hangs),
        Answering("snow02", says(LISTED)),
        Answering("snow03", says(LISTED)),
    )
    hosts = {"snow01": first, "snow02": second, "snow03": third}
    answers: dict[str, Leases | None] = {name: Leases(name, "b") for name in hosts}
    (record,) = leases.records(hosts, answers, {"/i": "d"})
    assert (record.image, record.server) == ("/i", "snow01")
    assert [len(host.asked) for host in hosts.values()] == [1, 1, 0]
    assert second.asked == [[server_program.PATH, "list", "/i"]]
    assert leases.records(hosts, answers, {}) == ()


def test_whether_a_copy_has_ended_is_asked_of_its_own_server() -> None:
    """Another one sees no process there: a copy that is under way would be called one that has ended, or never the other way."""
    copy = LISTED.replace('"disk"', '"copy"').replace(
        '"server": "snow01", "boot": "b", "dom', '"server": "snow02", "boot": "b", "dom'
    )
    ended = copy.replace('"since": "s"', '"since": "s", "process": "gone"')
    first, second = Answering("snow01", says(copy)), Answering("snow02", says(ended))
    answers: dict[str, Leases | None] = {"snow01": Leases("snow01", "b"), "snow02": Leases("snow02", "b")}
    (record,) = leases.records({"snow01": first, "snow02": second}, answers, {"/i": "d"})
    assert record.is_left and record.server == "snow02"
    lost = Answering("snow02", says("nothing"))
    (record,) = leases.records({"snow01": first, "snow02": lost}, answers, {"/i": "d"})
    assert record.is_copy and not record.is_left
    told: dict[str, Leases | None] = {name: parse(said) for name, said in (("snow01", copy), ("snow02", ended))}
    nobody = {name: Answering(name, says("nothing")) for name in told}
    (record,) = leases.records(nobody, told, {"/i": "d"})
    assert record.is_left and not any(host.asked for host in nobody.values()), "what both have told is not asked again"
