"""``snow ha`` from the command line to the servers and back, on a site in memory: what a user types, reads, and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from simulated import CONF, DOMAINS, SECRET, SimulatedHost, World, ha_toml_of, rendered, single_server

from snowha.checks import evaluate, gather
from snowha.cli.tree import ha, images
from snowha.disks import image_verbs
from snowha.errors import InputError, SnowError
from snowha.hosts.caching import CachingHost
from snowha.hosts.guarded import Guard
from snowha.hosts.host import Host
from snowha.hosts.local import LocalHost
from snowha.hosts.recording import Command, RecordingHost
from snowha.live import connect, left_down
from snowha.live.context import SiteContext
from snowha.migration import preflight
from snowha.plan.journal import Journal
from snowha.plan.lock import site_lock
from snowha.plan.step import Reporter
from snowha.site.ha_file import HaFile
from snowha.site.rules import Finding


class CommandLine:
    """A site, and somebody at a terminal."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context, self.world, self.hosts = single_server()
        self.hosts[0].installed = True
        self.folder = folder
        self.read = 0
        """How often ha.toml was read."""
        self.findings: tuple[Finding, ...] = ()
        self.shared: tuple[Finding, ...] = ()
        """What two domains must not share."""
        (folder / "ha.toml").write_text(rendered(self.context.site))
        monkeypatch.chdir(folder)
        self.monkeypatch = monkeypatch
        self.machine("here")
        monkeypatch.setattr(connect, "load", self._load)
        self.lock = str(folder / "lock")
        monkeypatch.setattr(connect, "lock_site", self._turn)
        monkeypatch.setattr(connect, "read", self._read)
        monkeypatch.setattr(connect, "connect", self.reach)
        monkeypatch.setattr(connect, "passwords", lambda context, file, **_: {host.name: SECRET for host in self.hosts})
        monkeypatch.setattr(preflight, "check", lambda context, passwords: self.findings)

    def machine(self, name: str) -> None:
        """Work from this machine from now on."""
        self.monkeypatch.setenv("SNOW_JOURNAL", str(self.folder / name / "journal.sqlite"))

    def _guard(self) -> Guard:
        return Guard({"localhost": LocalHost()}, path=self.lock)

    def _turn(
        self, site: SiteContext | connect.Connections, say: Callable[[str], None]
    ) -> AbstractContextManager[None]:
        assert site.guard is not None
        return site_lock(site.guard, say, beat_s=0.1, patience_s=0.1)

    def _read(self, file: Path) -> connect.HaToml:
        self.read += 1
        return ha_toml_of(self.context.site, file)

    def reach(self, ha: HaFile | None = None) -> connect.Connections:
        hosts = {host.name: host for host in self.hosts}
        return connect.Connections(self.context.site.name, self.context.site.servers, hosts, self._guard())

    def _load(
        self,
        given: connect.HaToml,
        *,
        remember: bool = False,
        record: Callable[[Command], None] | None = None,
        questions: object = None,
        found: list[Finding] | None = None,
        say: object = None,
    ) -> SiteContext:
        if found is not None:
            found += self.shared
        hosts: dict[str, Host] = {}
        for host in self.hosts:
            recorded = host if record is None else RecordingHost(host, record)
            hosts[host.name] = CachingHost(recorded) if remember else recorded
        return SiteContext(self.context.site, hosts, self._guard())

    def snow(self, *words: str, answer: str = "") -> Result:
        return CliRunner().invoke(ha, list(words), input=answer)

    def images(self, *words: str) -> Result:
        return CliRunner().invoke(images, list(words))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def everything(world: World, hosts: list[SimulatedHost]) -> str:
    return repr([world.shared, [host.own for host in hosts]])


def test_up_to_the_images_then_the_log_then_back(cli: CommandLine) -> None:
    """The whole way that a user takes: a mistake in the wiring shows nowhere else."""
    before = dict(cli.world.shared)
    ended = cli.snow("apply", "--until", "images", "--yes")
    assert ended.exit_code == 0, ended.output
    assert "Move deploy01 from LVM" in ended.output
    assert b"block-snow" in cli.world.shared[f"{DOMAINS}/deploy01.cfg"][0]
    assert cli.world.shared[CONF] == before[CONF]

    log = cli.snow("log", "--commands")
    assert log.exit_code == 0
    assert "snow01$ xl shutdown -w deploy01" in log.output
    assert f"snow01$ write {DOMAINS}/deploy01.cfg" in log.output
    data = json.loads(cli.snow("log", "--json").output)
    assert {command["step"] for command in data[0]["commands"]} >= {"images.deploy01", "images.slurm01"}
    assert data[0]["outcome"] == "done"

    refused = cli.snow("undo")
    assert isinstance(refused.exception, SnowError) and refused.exception.exit_code == 4
    assert "there is no terminal to ask on" in str(refused.exception) and "--yes" in refused.exception.remedy
    assert "Move deploy01 back" in refused.output
    assert b"block-snow" in cli.world.shared[f"{DOMAINS}/deploy01.cfg"][0]
    undone = cli.snow("undo", "--yes")
    assert undone.exit_code == 0, undone.output
    assert cli.world.shared == before
    assert "nothing to undo" in cli.snow("undo").output
    told = [json.loads(line)["event"] for line in cli.snow("undo", "--json").stdout.splitlines()]
    assert told == ["run-started", "run-ended"]
    assert cli.snow("apply", "--until", "images", "--yes").exit_code == 0


def test_one_domain_alone(cli: CommandLine) -> None:
    """A domain would be shut down that nobody has asked for."""
    assert cli.snow("apply", "--domain", "slurm01", "--yes").exit_code == 0
    assert [what for _, what in cli.world.log if what.startswith("shutdown")] == ["shutdown slurm01"]


def test_remedies_are_carried_out_although_two_domains_share_something(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check --fix` would end with the first thing that it cannot remedy, and say nothing of all others."""
    cli.shared = (Finding("duplicate-mac", "stop", "proxy01", "has the MAC of deploy01", "give it another one"),)
    monkeypatch.setattr(gather, "gather_facts", lambda context, passwords: None)
    monkeypatch.setattr(evaluate, "evaluate", lambda site, facts, known, **_: (*known, *cli.findings))
    cli.findings = (Finding("xendomains-save", "warn", "snow01", "saves domains", "run `snow ha check --fix`"),)
    ended = cli.snow("check", "--fix")
    assert ended.exit_code == 4, ended.output
    assert "duplicate-mac" in ended.output
    assert "▸ Configure block script, dom0's weight" in ended.output


def test_what_an_images_verb_does_to_a_server_is_in_the_log(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's volumes would be gone, and nothing say who removed them, when, and with which command."""

    def discard(context: SiteContext, name: str, reporter: Reporter, *, now: bool) -> None:
        context.first.run(["lvremove", "--yes", f"snow_vg/{name}-disk"])

    monkeypatch.setattr(image_verbs, "discard", discard)
    ended = cli.images("discard", "deploy01", "--yes")
    assert ended.exit_code == 0, ended.output
    assert cli.world.log == [("snow01", "lvremove snow_vg/deploy01-disk")]
    log = cli.snow("log", "--commands").output
    assert "snow01$ lvremove --yes snow_vg/deploy01-disk" in log
    assert "images.discard done" in log
    cli.machine("there")
    assert "lvremove --yes snow_vg/deploy01-disk" in cli.snow("log", "--commands").output
    ended = cli.images("discard", "deploy01", "--yes")
    assert ended.exit_code == 0 and len(cli.world.log) == 2, "it is done each time that it is asked for"


def test_an_images_verb_needs_no_password(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy goes back into its volume also where the BMCs' passwords are not at hand."""

    def refuse(*words: object, **more: object) -> dict[str, str]:
        raise InputError("no such file")

    monkeypatch.setattr(connect, "passwords", refuse)
    monkeypatch.setattr(image_verbs, "verify", lambda context, name, reporter: None)
    assert cli.images("verify", "deploy01").exit_code == 0


@pytest.mark.parametrize("verb", ["verify", "restore", "discard"])
def test_a_verb_about_images_starts_no_domain(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """`restore` wants it off: a domain that was left down would be started, and then be refused since it runs."""
    monkeypatch.setattr(image_verbs, verb, lambda *words, **more: None)
    del cli.world.running["deploy01"]
    left_down.note(cli.hosts[0], left_down.Note("deploy01", f"{DOMAINS}/deploy01.cfg", ()))
    ended = cli.images(verb, "deploy01", *(["--yes"] if verb != "verify" else []))
    assert ended.exit_code == 0, ended.output
    assert "deploy01" not in cli.world.running
    assert left_down.noted(cli.hosts[0])


def test_one_step_alone_does_not_do_what_it_needs(cli: CommandLine) -> None:
    ended = cli.snow("apply", "--only", "images.deploy01", "--yes")
    assert ended.exit_code == 4
    assert "servers.settings.snow01" in ended.output
    assert cli.world.log == []


def test_a_saved_plan_is_done_or_refused(cli: CommandLine) -> None:
    """What was approved would not be what is done."""
    made = cli.snow("plan", "--domain", "deploy01", "--save", "plan.json")
    assert made.exit_code == 0, made.output
    assert "xl shutdown -w deploy01" in made.output and cli.world.log == []
    content, mode = cli.world.shared[f"{DOMAINS}/deploy01.cfg"]
    cli.world.shared[f"{DOMAINS}/deploy01.cfg"] = (content + b"# new\n", mode)
    refused = cli.snow("apply", "--plan", "plan.json", "--yes")
    assert isinstance(refused.exception, SnowError) and refused.exception.exit_code == 4
    assert "deploy01.cfg has changed" in str(refused.exception)
    assert cli.world.log == []
    cli.world.shared[f"{DOMAINS}/deploy01.cfg"] = (content, mode)
    assert cli.snow("apply", "--plan", "plan.json", "--yes").exit_code == 0
    assert [what for _, what in cli.world.log if what.startswith("shutdown")] == ["shutdown deploy01"]


@pytest.mark.parametrize(
    "words", [["plan", "--save", "new.json"], ["apply", "--plan", "plan.json", "--yes"], ["undo", "--yes"]]
)
def test_a_run_reads_the_file_once(cli: CommandLine, words: list[str]) -> None:
    """Somebody who edits it meanwhile would have half of the run done by the old one and half by the new one."""
    cli.snow("plan", "--domain", "deploy01", "--save", "plan.json")
    cli.read = 0
    ended = cli.snow(*words)
    assert ended.exit_code == 0, ended.output
    assert cli.read == 1


def test_another_machine_goes_on_when_the_first_is_lost(cli: CommandLine) -> None:
    """What was done, and what is still owed, would be lost with it."""
    cli.snow("apply", "--domain", "deploy01", "--yes")
    copy = cli.hosts[1].own["/var/lib/snow-ha/journal/snow.sqlite"]
    assert copy[1] == 0o600
    cli.machine("there")
    seen = cli.snow("log")
    assert "images.deploy01 done" in seen.output and "the journal from snow0" in seen.output
    ended = cli.snow("apply", "--domain", "slurm01", "--yes")
    assert ended.exit_code == 0 and "continuing with the journal from snow0" in ended.output
    assert [run["outcome"] for run in json.loads(cli.snow("log", "--json").output)] == ["done", "done"]


def test_the_journal_of_the_site_that_was_named_is_shown(cli: CommandLine) -> None:
    """`log --file` showed what this machine had done to another site, and said nothing of it."""
    cli.snow("apply", "--domain", "deploy01", "--yes")
    here = cli.snow("log", "--file", "ha.toml")
    assert "images.deploy01 done" in here.output and "the journal from" not in here.output
    cli.machine("elsewhere")
    with Journal(cli.folder / "elsewhere/journal.sqlite") as other:
        other.note(other.begin(), "images.of-another-site", "started")
    assert "of-another-site" in cli.snow("log").output
    named = cli.snow("log", "--file", "ha.toml")
    assert "images.deploy01 done" in named.output and "of-another-site" not in named.output
    for host in cli.hosts:
        host.own.clear()
    missing = cli.snow("log", "--file", "ha.toml")
    assert "no server of this site has a journal" in str(missing.exception)


def test_no_password_is_anywhere_that_we_write(cli: CommandLine) -> None:
    """It would be on every server, and in every backup of them."""
    cli.snow("plan", "--save", "plan.json")
    cli.snow("apply", "--until", "pacemaker.fence", "--yes")
    output = cli.snow("log", "--commands").output
    for secret in (SECRET, "Adm;n"):
        assert secret not in output
        assert secret not in (cli.folder / "plan.json").read_text()
        for file in (cli.folder / "here").iterdir():
            assert secret.encode() not in file.read_bytes(), file
        for host in cli.hosts:
            for path, (content, mode) in host.own.items():
                assert secret.encode() not in content or mode == 0o700, path


def test_a_failed_domain_does_not_stop_the_other(cli: CommandLine) -> None:
    cli.world.fail = lambda host, argv: "broken disk" if "copy" in argv and "deploy01" in argv[3] else None
    ended = cli.snow("apply", "--until", "images", "--yes")
    assert ended.exit_code == 5
    assert cli.world.running == {"deploy01": "snow01", "slurm01": "snow01"}
    assert b"block-snow" in cli.world.shared[f"{DOMAINS}/slurm01.cfg"][0]
    with Journal(cli.folder / "here/journal.sqlite") as journal:
        assert {entry.step: entry.what for entry in journal.entries()}["images.deploy01"] == "failed"


def test_warnings_are_said_and_do_not_stop(cli: CommandLine) -> None:
    cli.findings = (Finding("clock", "warn", "snow02", "it is 9 s ahead", "set it"),)
    ended = cli.snow("apply", "--domain", "deploy01", "--yes")
    assert ended.exit_code == 0
    assert "warning: snow02: it is 9 s ahead (clock)" in ended.output
    assert everything(cli.world, cli.hosts)


def test_a_log_of_nothing_is_one_message(cli: CommandLine) -> None:
    ended = cli.snow("log")
    assert isinstance(ended.exception, SnowError) and "no journal" in str(ended.exception)
    missing = cli.snow("apply", "--until", "image.deploy01")
    assert isinstance(missing.exception, SnowError) and "images.deploy01" in missing.exception.remedy


def test_two_machines_at_once_are_one_too_many(cli: CommandLine) -> None:
    before = everything(cli.world, cli.hosts)
    with connect.lock_site(cli.reach(), print):
        cli.machine("laptop")
        ended = cli.snow("apply", "--yes")
        assert isinstance(ended.exception, SnowError)
        assert "another run holds the site lock" in str(ended.exception)
    assert everything(cli.world, cli.hosts) == before


def test_what_another_run_is_just_restarting_is_not_switched_on_by_a_second_one(cli: CommandLine) -> None:
    """The second one would give a server power in the middle of the proof that it has none."""
    with Journal(cli.folder / "here" / "journal.sqlite") as journal:
        journal.note(journal.begin(), f"proofs.fence.{cli.hosts[0].name}", "started")
    before = everything(cli.world, cli.hosts)
    with connect.lock_site(cli.reach(), print):
        ended = cli.snow("apply", "--yes")
        assert "another run holds the site lock" in str(ended.exception)
    assert everything(cli.world, cli.hosts) == before
