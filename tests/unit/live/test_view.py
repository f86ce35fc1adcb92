"""The verbs that only look, when a server is lost or a config cannot be read: they show the rest, and their exit code says so."""

from __future__ import annotations

import json
import stat
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import simulated
from broken_clusters import RECORDED, WHERE
from simulated import DOMAINS, SECRET, SimulatedHost
from view_site import NAMES, OTHER, Server, Site, code_of

from snowha.errors import CommandError, InputError, SnowError, UnreachableError
from snowha.health import history
from snowha.hosts.host import Completed
from snowha.hosts.ssh_errors import ConnectionLostError
from snowha.live import connect, proof_records, view
from snowha.plan import mirror
from snowha.plan.journal import Journal
from snowha.site import definition


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_well_site(site: Site) -> None:
    ended = site.snow("status")
    assert ended.output.startswith("all is well\n"), ended.output
    assert ended.exit_code == 0


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_status_shows_what_is_wrong_and_the_rest_whichever_server_is_lost(site: Site, lost: str) -> None:
    """Of the night in which the first server is lost one line was left: "snow01: it does not answer"."""
    site.lose(lost)
    ended = site.snow("status")
    assert ended.exit_code == 4
    head, *rest = ended.output.splitlines()
    assert head.startswith("NOT well: 4 wrong")
    assert f"WRONG  {lost}: it does not answer" in rest[0]
    assert rest[1].startswith("       by itself: ") and rest[2] == "       → is it switched on?"
    assert head.endswith(f"; {lost} could not be asked")
    assert rest.index(next(line for line in rest if line.startswith("SERVER"))) > 1
    data = json.loads(site.snow("status", "--json").output)
    assert data["healthy"] is False
    assert {"unreachable", "server-unclean", "domain-unknown"} == {one["code"] for one in data["findings"]}
    where = {row["name"]: (row["servers"], row["state"], row["managed"]) for row in data["domains"]}
    assert set(where) == set(NAMES)
    for name in NAMES:
        assert where[name] == (([], "unknown", True) if name in WHERE["snow02"] else ([OTHER[lost]], "running", True))
    servers = {row["name"]: row for row in data["servers"]}
    assert (servers[lost]["reachable"], servers[lost]["cluster"]) == (False, "unclean")
    assert (servers[OTHER[lost]]["reachable"], servers[OTHER[lost]]["cluster"]) == (True, "online")


def test_a_connection_that_broke_is_told_without_what_was_asked_over_it(site: Site) -> None:
    """ssh keeps a connection for minutes: of a server that has just lost its power, a script of ten lines was shown."""

    def broken(host: str, argv: Sequence[str]) -> str | None:
        if host == "snow01":
            raise ConnectionLostError("the connection broke while this ran: sh -c 'export LC_ALL=C\n…'", where=host)
        return None

    site.world.fail = broken
    lines = site.snow("status").output.splitlines()
    assert lines[1] == "WRONG  snow01: it does not answer any more"
    assert lines[3].startswith("       → is it switched on?")


def test_the_keys_that_scripts_know(site: Site) -> None:
    data = json.loads(site.snow("status", "--json").output)
    assert {"name", "servers", "domains", "fencing", "floating_ip", "floating_ip_on", "healthy"} <= set(data)
    assert {"name", "servers", "pacemaker", "managed", "state"} <= set(data["domains"][0])
    known = {"name", "reachable", "cluster", "xen", "free_memory_mib", "quorate", "links", "trouble"}
    assert known <= set(data["servers"][0])


def test_a_lost_server_is_waited_for_once(site: Site) -> None:
    """Ten seconds for its configs, ten more for its state: `watch` would show the site of before."""
    for lost in OTHER:
        site.lose(lost)
        site.asked.clear()
        site.snow("status")
        assert site.asked == [lost]


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_check_shows_what_it_can_find(site: Site, lost: str) -> None:
    """It ended with the first server that does not answer."""
    site.lose(lost)
    ended = site.snow("check", "--json")
    found = {(one["code"], one["where"]): one["severity"] for one in json.loads(ended.output)["findings"]}
    assert ended.exit_code == 4
    assert found["unreachable", lost] == "stop"
    assert found["release", OTHER[lost]] == "stop"  # what is wrong with the other one


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_images_are_listed_by_the_server_that_lives(site: Site, lost: str) -> None:
    site.lose(lost)
    ended = site.snow("list")
    assert code_of(ended) == 3
    assert lost in str(ended.exception)
    for name in NAMES:
        assert f"/sNow/domains/{name}/{name}-disk" in ended.output
    assert code_of(site.snow("list", "--json")) == 3
    rows = json.loads(site.snow("list", "--json").output)
    assert {row["domain"] for row in rows} == set(NAMES)
    assert {row["volume_there"] for row in rows} == ({None} if lost == "snow01" else {False})


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_the_log_comes_from_the_server_that_lives(site: Site, tmp_path: Path, lost: str) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.note(journal.begin(), "images.deploy01", "done")
        mirror.send(journal, list(site.hosts.values()), mirror.path_of("snow"), set())
    assert site.snow("log").exit_code == 0
    site.lose(lost)
    ended = site.snow("log")
    assert code_of(ended) == 3 and lost in str(ended.exception)
    assert "images.deploy01 done" in ended.output
    ended = site.snow("log", "--json")
    assert code_of(ended) == 3 and json.loads(ended.stdout)


@pytest.mark.parametrize("lost", ["snow01", "snow02"])
def test_a_verb_that_plans_names_the_server_that_it_misses(site: Site, lost: str) -> None:
    """Half a site would be planned for, or changed."""
    site.lose(lost)
    for words in (("plan",), ("apply", "--yes"), ("check", "--fix")):
        ended = site.snow(*words)
        assert code_of(ended) == 3, words
        assert isinstance(ended.exception, SnowError) and ended.exception.where == lost


def test_every_server_that_is_missed_is_named_and_all_are_waited_for_at_once(site: Site) -> None:
    """With three dead servers it would take three times as long, and each run would name one of them."""
    together = threading.Barrier(2, timeout=10)

    def dead(host: str, argv: Sequence[str]) -> str | None:
        together.wait()
        raise UnreachableError("it does not answer", where=host, remedy="is it switched on?")

    site.world.fail = dead
    with pytest.raises(UnreachableError, match=r"snow01: it does not answer\n  also snow02: it does not answer"):
        connect.load(connect.read(Path("ha.toml")))


def test_no_server_at_all_is_shown_too(site: Site) -> None:
    site.hosts = {name: site.hosts[name] for name in OTHER}
    site.world.fail = lambda host, argv: (_ for _ in ()).throw(
        UnreachableError("no route to host", where=host, remedy="x")
    )
    ended = site.snow("status")
    assert ended.exit_code == 4
    assert ended.output.startswith("NOT known: none of snow01, snow02 could be asked; ")
    assert "snow01: no route to host" in ended.output and "snow02: no route to host" in ended.output
    for name in NAMES:
        assert f"it is unknown whether {name} runs" in ended.output
    assert "floating IP 192.168.8.254: unknown" in ended.output
    assert "not managed" not in ended.output and "on no server" not in ended.output
    assert code_of(site.snow("list")) == 3 and code_of(site.snow("log")) == 3

    data = json.loads(site.snow("status", "--json").output)
    assert data["pacemaker_unknown"] == "snow01: no route to host; snow02: no route to host"
    assert data["floating_ip"] == "192.168.8.254" and data["floating_ip_on"] is None
    for domain in data["domains"]:
        assert (domain["managed"], domain["pacemaker"], domain["on_purpose"]) == (None, None, None)


def test_what_pacemaker_has_is_known_where_it_runs_on_no_server(site: Site) -> None:
    """A script could not tell a domain that Pacemaker does not have from one of which nothing is known."""
    data = json.loads(site.snow("status", "--json").output)
    assert (data["pacemaker_unknown"], data["floating_ip_on"]) == ("", "snow01")
    site.world.active = set()
    data = json.loads(site.snow("status", "--json").output)
    assert (data["pacemaker_unknown"], data["floating_ip_on"]) == ("", "")
    assert [(domain["managed"], domain["pacemaker"]) for domain in data["domains"]] == [(False, [])] * len(NAMES)


def test_that_no_server_answers_is_not_that_nothing_is_left(site: Site) -> None:
    """`resolve` said "no leftovers of a live migration", with exit code 0, of servers that it could not ask."""
    assert (site.snow("resolve").exit_code, site.snow("resolve").output) == (0, "no leftovers of a live migration\n")
    site.lose("snow01")
    ended = site.snow("resolve")
    assert code_of(ended) == 3 and "snow01" in str(ended.exception)
    assert ended.output == "no leftovers of a live migration on the servers that answer\n"
    ended = site.snow("resolve", "--json")
    assert code_of(ended) == 3 and json.loads(ended.output) == []
    site.world.fail = lambda host, argv: (_ for _ in ()).throw(UnreachableError("no route", where=host, remedy="x"))
    ended = site.snow("resolve")
    assert (code_of(ended), ended.output) == (3, ""), "nobody was asked"


@pytest.mark.parametrize("words", [["resolve"], ["undo", "--yes"], ["apply", "--yes"]])
def test_a_server_that_does_not_answer_is_waited_for_once(
    site: Site, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute passed before it was said that nobody answers: every question waited for the same servers again."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    asked: list[str] = []

    def fail(host: str, argv: Sequence[str]) -> None:
        asked.append(host)
        raise UnreachableError("no route", where=host, remedy="is it switched on?")

    site.world.fail = fail
    ended = site.snow(*words)
    assert code_of(ended) == 3 and "also snow02" in str(ended.exception)
    assert sorted(asked) == sorted(WHERE)


def test_a_domain_whose_config_cannot_be_read_is_not_one_without_rests(site: Site) -> None:
    site.config("proxy01", b"disk = [\n")
    ended = site.snow("resolve")
    assert code_of(ended) == 2 and "proxy01" in str(ended.exception)


@pytest.mark.parametrize("content", [b"disk = [\n", b"\xff\xfe", b"name = 'proxy01'\n"])
def test_a_config_that_cannot_be_read_is_told_and_the_rest_is_shown(site: Site, content: bytes) -> None:
    """One slip in one file, and nobody could see where any domain runs."""
    site.config("proxy01", content)
    ended = site.snow("status")
    assert ended.exit_code == 4
    assert f"{DOMAINS}/proxy01.cfg" in ended.output
    data = json.loads(site.snow("status", "--json").output)
    assert [one["code"] for one in data["findings"]] == ["config-unreadable"]
    assert {row["name"]: row["state"] for row in data["domains"]} == dict.fromkeys(NAMES, "running")
    ended = site.snow("list")
    assert isinstance(ended.exception, InputError) and "proxy01.cfg" in ended.exception.where
    assert "/sNow/domains/slurm01/slurm01-disk" in ended.output
    found = json.loads(site.snow("check", "--json").output)["findings"]
    assert {"config-unreadable", "release"} <= {one["code"] for one in found}


def test_a_domain_without_a_config_is_told_and_the_rest_is_shown(site: Site) -> None:
    site.config("proxy01", None)
    data = json.loads(site.snow("status", "--json").output)
    assert [(one["code"], one["where"]) for one in data["findings"]] == [("config-missing", "ha.toml")]
    assert {row["name"]: row["state"] for row in data["domains"]} == dict.fromkeys(NAMES, "running")
    assert code_of(site.snow("list")) == 2


def test_storage_that_no_server_has_hides_no_domain(site: Site) -> None:
    """The hypervisors know where they run, whatever has become of the shared folder."""
    for name in NAMES:
        site.config(name, None)
    data = json.loads(site.snow("status", "--json").output)
    assert [one["code"] for one in data["findings"]] == ["config-unreadable"]
    assert "snow01: there is no config; snow02: there is no config" in data["findings"][0]["message"]
    assert {row["name"]: row["state"] for row in data["domains"]} == dict.fromkeys(NAMES, "running")


def test_configs_come_from_a_server_that_has_the_folder_mounted(site: Site) -> None:
    """The first one answers, without its storage."""
    there = site.hosts["snow01"].place
    site.hosts["snow01"].place = lambda path: {} if path.startswith("/sNow") else there(path)  # type: ignore[method-assign]
    seen = view.observe(connect.read(Path("ha.toml")))
    assert seen.reader is not None and seen.reader.name == "snow02"
    assert [domain.name for domain in seen.configs] == list(NAMES)
    assert not seen.findings and not seen.lost


def test_a_report_is_the_readers_alone_and_has_no_password(site: Site, tmp_path: Path) -> None:
    """It would be read by everybody on the machine, and sent to somebody with the passwords of all BMCs."""
    site.config("deploy01", site.world.shared[f"{DOMAINS}/deploy01.cfg"][0] + f"# {SECRET.strip()}\n".encode())
    ended = site.snow("report", "--output", "case.tar.gz")
    assert ended.exit_code == 0, ended.output
    archive = tmp_path / "case.tar.gz"
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as opened:
        found = {member.name.partition("/")[2]: opened.extractfile(member) for member in opened.getmembers()}
        read = {name: file.read().decode() for name, file in found.items() if file is not None}
    assert {"README.txt", "ha.toml", "status.json", "check.json", "journal.jsonl", "domains/deploy01.cfg"} <= set(read)
    assert all(SECRET.strip() not in text for text in read.values())
    assert json.loads(read["status.json"])["healthy"] is True
    assert (
        "no server of this site has a journal" in read["journal.jsonl"]
        or "there is no journal" in read["journal.jsonl"]
    )
    again = site.snow("report", "--output", "case.tar.gz")
    assert code_of(again) == 2 and "the file exists already" in str(again.exception)


def test_a_report_is_written_though_a_server_is_lost(site: Site, tmp_path: Path) -> None:
    site.lose("snow01")
    ended = site.snow("report", "--output", "case.tar.gz")
    assert code_of(ended) == 3 and "snow01" in str(ended.exception)
    with tarfile.open(tmp_path / "case.tar.gz") as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers()}
    assert {"servers/snow01/no-answer.txt", "servers/snow02/crm_mon.xml", "status.json"} <= names


def test_metrics_are_written_though_a_server_is_lost_and_stay_if_they_cannot_be(site: Site, tmp_path: Path) -> None:
    """Half a file would be dropped whole; an empty one would say that all is well."""
    site.lose("snow02")
    target = tmp_path / "snow.prom"
    assert site.snow("metrics", "--output", str(target)).exit_code == 0
    text = target.read_text()
    assert 'snow_server_reachable{server="snow02"} 0.0\n' in text and "\nsnow_healthy 0.0\n" in text
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert site.snow("metrics").output.startswith("# HELP snow_collected_timestamp_seconds ")
    (tmp_path / "ha.toml").write_text("cluster = 1")
    assert code_of(site.snow("metrics", "--output", str(target))) == 2
    assert target.read_text() == text


def test_a_status_takes_one_round_of_commands_in_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six questions, one after the other, and each a login: it took seconds where it has to take one."""
    asked = dict.fromkeys(WHERE, 0)  # each server is asked by a thread of its own
    run, inside = Server.run, SimulatedHost._batch

    def counted(self: Server, argv: Sequence[str], **options: object) -> Completed:
        asked[self.name] += 1
        return run(self, argv, **options)  # type: ignore[arg-type]

    def batch(self: Server, argv: tuple[str, ...], commands: Sequence[Sequence[str]], input: str | bytes) -> Completed:
        count = asked[self.name]
        try:
            return inside(self, argv, commands, input)
        finally:
            asked[self.name] = count  # what is asked within a round is no round of its own

    monkeypatch.setattr(Server, "run", counted)
    monkeypatch.setattr(Server, "_batch", batch)
    ended = site.snow("status")
    assert ended.output.startswith("all is well\n"), ended.output
    assert asked == {"snow01": 1, "snow02": 1}
    site.lose("snow02")
    site.snow("status")
    assert asked == {"snow01": 2, "snow02": 2}


def test_storage_that_hangs_hides_nothing_that_a_server_knows_by_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the storage gone nobody could see where the domains run, or whether a server is fenced."""
    inside = SimulatedHost._batch

    def batch(self: Server, argv: tuple[str, ...], commands: Sequence[Sequence[str]], input: str | bytes) -> Completed:
        if any(DOMAINS in words for words in commands):
            raise CommandError("did not end within 60 s", where=self.name)
        return inside(self, argv, commands, input)

    monkeypatch.setattr(Server, "_batch", batch)
    data = json.loads(site.snow("status", "--json").output)
    assert {row["name"]: row["state"] for row in data["domains"]} == dict.fromkeys(NAMES, "running")
    assert {row["cluster"] for row in data["servers"]} == {"online"}
    (unreadable,) = [one for one in data["findings"] if one["code"] == "config-unreadable"]
    assert "snow01: did not end within 60 s; snow02: did not end within 60 s" in unreadable["message"]


def test_copies_of_the_definition_that_differ_are_told(site: Site) -> None:
    """One administrator works with another ha.toml than the other, and nobody notices."""
    site.hosts["snow01"].own[definition.PATH] = (definition.copy_of("other", 0).encode(), 0o644)
    data = json.loads(site.snow("status", "--json").output)
    (found,) = data["findings"]
    assert found["code"] == "definition-differs" and "snow02 has none" in found["message"]
    assert data["healthy"] is True


def test_what_a_loss_would_be_is_told_before_it_happens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the other server has no room would be learnt in the night in which it is needed."""
    data = json.loads(site.snow("status", "--json").output)
    assert data["losses"] == {"snow01": "survived", "snow02": "survived"}
    monkeypatch.setattr(simulated, "INFO", simulated.INFO.replace("2560", "1900"))
    data = json.loads(site.snow("status", "--json").output)
    assert data["losses"] == {"snow01": "no room", "snow02": "no room"}
    assert [one["code"] for one in data["findings"]] == ["no-room-after-loss"] * 2
    assert data["healthy"] is True
    site.lose("snow02")
    data = json.loads(site.snow("status", "--json").output)
    assert data["losses"] == {"snow01": "unknown", "snow02": "unknown"}


def test_a_loss_that_leaves_no_quorum_is_not_said_to_be_survived(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three servers one was out: the loss of another was said to be survived. There was the memory; all domains stop."""
    run = Server.run

    def told(self: Server, argv: Sequence[str], **more: Any) -> Completed:
        if list(argv) == ["corosync-quorumtool", "-s"]:
            return Completed(tuple(argv), 0, said, "")
        return run(self, argv, **more)

    monkeypatch.setattr(Server, "run", told)
    said = (RECORDED / "corosync-quorumtool-s.trixie.txt").read_text()
    assert json.loads(site.snow("status", "--json").output)["losses"]["snow01"] == "survived"
    said = (
        said.replace("votes:   2", "votes:   3")
        .replace("Quorum:           1", "Quorum:           2")
        .replace("2Node ", "")
    )
    assert json.loads(site.snow("status", "--json").output)["losses"] == dict.fromkeys(WHERE, "no quorum")


def test_how_often_is_refused_where_it_is_looked_at_once(site: Site) -> None:
    """`snow status --every 10` showed one status and ended, with an exit code that says that all is well."""
    ended = site.snow("status", "--every", "10")
    assert isinstance(ended.exception, InputError) and "--every needs --watch" in ended.exception.message


def test_a_loss_is_not_survived_on_memory_that_domains_left_alone_have(site: Site) -> None:
    """They are not the site's, and keep what they have when a server is lost."""
    site.world.running |= dict.fromkeys(("other01", "other02"), "snow02")
    data = json.loads(site.snow("status", "--json").output)
    assert data["losses"] == {"snow01": "no room", "snow02": "survived"}


def test_a_loss_is_not_survived_on_memory_that_comes_with_the_next_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`snow resize domain` had given the domains of snow02 half of what they had: until they were restarted, there was no room
    for those of snow01, and the status said that there was."""
    monkeypatch.setattr(simulated, "INFO", simulated.INFO.replace("2560", "1900"))
    for name in WHERE["snow02"]:
        text, mode = site.world.shared[f"{DOMAINS}/{name}.cfg"]
        assert b"'256'" in text
        site.world.shared[f"{DOMAINS}/{name}.cfg"] = (text.replace(b"'256'", b"'128'"), mode)
    data = json.loads(site.snow("status", "--json").output)
    assert data["losses"] == {"snow01": "no room", "snow02": "survived"}


def test_the_age_of_the_last_proof_of_fencing_is_told(site: Site) -> None:
    """A BMC whose password was changed a year ago would be found out when a server is lost."""
    proof = json.dumps({"for": "x", "when": "2026-11-20T10:00:00Z"}).encode()
    site.hosts["snow02"].own[f"{proof_records.PROOFS}/fence-snow01.json"] = (proof, 0o600)
    site.hosts["snow01"].own[f"{proof_records.PROOFS}/fence-snow01.json"] = (proof.replace(b"-20T", b"-02T"), 0o600)
    site.hosts["snow01"].own[f"{proof_records.PROOFS}/fence-snow02.json"] = (b"{", 0o600)
    data = json.loads(site.snow("status", "--json").output)
    assert data["fenced_at"] == {"snow01": "2026-11-20T10:00:00Z"}
    assert "ready (never)" in site.snow("status").output


def test_since_when_something_is_wrong_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a domain is down for a minute or for a day decides who has to be woken."""
    said = "1700000000.123456 snow01 pacemaker-controld[812]:  notice: Node snow02 state is now lost\n"
    answer = SimulatedHost._answer
    monkeypatch.setattr(
        SimulatedHost,
        "_answer",
        lambda self, words, input: (0, said) if tuple(words) == history.ARGV else answer(self, words, input),
    )
    site.lose("snow02")
    data = json.loads(site.snow("status", "--json").output)
    since = {one["code"]: one["since"] for one in data["findings"]}
    assert since == {
        "unreachable": "2023-11-14T22:13:20Z",
        "server-unclean": "2023-11-14T22:13:20Z",
        "domain-unknown": "",
    }
    assert "       since 2023-11-14 22:13:20 UTC (" in site.snow("status").output
