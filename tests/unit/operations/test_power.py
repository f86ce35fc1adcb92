"""``snow boot``, ``shutdown``, ``reboot``, ``reset``, ``destroy`` from the command line, and when each counts as done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_clusters import failed, options, removed, resource, without_quorum
from everyday_site import EverydaySite
from simulated import World
from view_site import code_of

from snowha.cli import progress
from snowha.errors import InputError, UnreachableError
from snowha.hosts.host import Completed
from snowha.plan import events
from snowha.plan.journal import Journal
from snowha.xen import server_program


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EverydaySite:
    return EverydaySite(tmp_path, monkeypatch)


STOP = "snow02: crm_resource --resource={} --meta --set-parameter=target-role --parameter-value=Stopped"
START = "snow02: crm_resource --resource={} --meta --delete-parameter=target-role"


def test_a_range_is_shut_down_through_pacemaker_and_booted_again(site: EverydaySite) -> None:
    """With xl alone Pacemaker would start each again; and a domain shut down on purpose must stay down."""
    ended = site.run("shutdown", "slurm[01-02]")
    assert ended.exit_code == 0, ended.output
    assert sorted(site.told) == sorted(STOP.format(name) for name in ("slurm01", "slurm02"))
    assert "Shut slurm01 down" in ended.output and "Shut slurm02 down" in ended.output
    assert site.turns == 1, "the site's lock was not taken"
    site.told.clear()
    assert site.run("shutdown", "slurm01").exit_code == 0 and site.told == []

    ended = site.run("boot", "slurm01")
    assert ended.exit_code == 0 and site.told == [START.format("slurm01")], ended.output
    site.told.clear()
    assert site.run("boot", "slurm01", "deploy01").exit_code == 0 and site.told == []
    with Journal(Path("here/journal.sqlite")) as journal:
        done = {(entry.step, entry.what) for entry in journal.entries()}
        assert {("shutdown.slurm01", "done"), ("boot.slurm01", "done"), ("boot.deploy01", "skipped")} <= done
        texts = [command.text for run in journal.runs() for command in journal.commands(run.id)]
    assert "crm_resource --resource=slurm01 --meta --delete-parameter=target-role" in texts


def test_a_domain_that_does_not_answer_is_not_booted(site: EverydaySite) -> None:
    """sNow!'s `snow boot` returned when xl had started it, whatever became of it."""
    site.deaf.add("proxy01")
    ended = site.run("boot", "proxy01", "deploy01", "--timeout", "1")
    assert ended.exit_code == 6
    assert "proxy01 to answer on 192.168.8.12" in ended.output and "Boot deploy01" in ended.output


@pytest.mark.parametrize("ip", ["192.168.8.11/24", "192.168.8.11 192.168.8.11/24", "0.0.0.0", "dhcp", ""])
def test_a_vifs_address_is_asked_without_what_else_stands_there(site: EverydaySite, ip: str) -> None:
    """xl hands `ip=` to a script that takes several addresses and prefix lengths: nobody answers to such a word."""
    vif = f"vif = [ 'ip={ip},mac=00:16:3e:00:00:11,bridge=xsnow0' ]\n"
    site.config("deploy01", f"name = 'deploy01'\nmemory = 256\n{vif}".encode())
    assert site.run("shutdown", "deploy01").exit_code == 0
    ended = site.run("boot", "deploy01", "--timeout", "1")
    assert ended.exit_code == 0, ended.output
    assert site.run("move", "deploy01").exit_code == 0


@pytest.mark.parametrize("folder", ["/sNow/domains", "//sNow//domains/.", "/sNow/./domains"])
def test_it_is_not_shut_down_before_its_images_are_free(site: EverydaySite, folder: str) -> None:
    """The guide's next command after it is `dd`. The kernel and the leases name an image in one way, however a config does."""
    site.hosts["snow01"].install_leases()
    image = "/sNow/domains/deploy01/deploy01-disk"
    target = f"{folder}/deploy01/deploy01-disk"
    spec = f"disk = [ 'format=raw,vdev=xvda2,access=rw,script={server_program.SCRIPT},target={target}' ]\n"
    site.config("deploy01", f"name = 'deploy01'\nmemory = 256\n{spec}".encode())
    site.world.leases.records.add(image)
    site.world.leases.bare.add((image, "snow01"))
    ended = site.run("shutdown", "deploy01", "--timeout", "1")
    assert ended.exit_code == 6 and f"{image} is still attached on snow01" in ended.output
    site.world.leases.bare.clear()
    assert site.run("shutdown", "deploy01").exit_code == 0


def test_what_a_silent_server_may_run_is_not_off(site: EverydaySite) -> None:
    """It would be reported as shut down, and its images copied while they are written."""
    site.lose("snow02")
    ended = site.run("shutdown", "proxy01", "--timeout", "1")
    assert ended.exit_code == 6
    assert "snow02 cannot tell whether it runs there" in ended.output
    assert "continuing without snow02" in ended.output


def test_without_pacemaker_it_is_xl_on_the_right_server(site: EverydaySite) -> None:
    """The same words before `apply`."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    assert site.run("shutdown", "deploy01").exit_code == 0
    assert site.told == ["snow01: xl shutdown -w deploy01"]
    ended = site.run("boot", "deploy01")
    assert ended.exit_code == 0, ended.output
    assert ("snow01", "create deploy01") in site.world.log and site.world.running["deploy01"] == "snow01"


def test_a_domain_that_pacemaker_does_not_have_is_asked_where_it_runs(site: EverydaySite) -> None:
    site.changes.append(removed("proxy01"))
    assert site.run("poweroff", "proxy01").exit_code == 0
    assert site.told == ["snow02: xl shutdown -w proxy01"]


def test_what_cuts_power_asks_first_and_tells_pacemaker_first(site: EverydaySite) -> None:
    """Pacemaker would start it again between the two."""
    for verb in ("destroy", "reset"):
        ended = site.run(verb, "proxy01")
        assert code_of(ended) == 4 and site.told == []
    assert site.run("destroy", "proxy01", "--yes").exit_code == 0
    assert site.told[0] == STOP.format("proxy01")
    site.told.clear()
    assert site.run("reset", "deploy01", "--yes").exit_code == 0
    assert [site.told[0], site.told[-1]] == [STOP.format("deploy01"), START.format("deploy01")]
    assert code_of(site.run("reset", "proxy01", "--yes")) == 4, "it is off: there is nothing to reset"


def test_a_reboot_is_done_when_another_one_answers(site: EverydaySite) -> None:
    before = site.domids["proxy01"]
    assert site.run("reboot", "proxy01").exit_code == 0
    assert site.told == ["snow02: xl reboot proxy01"] and site.domids["proxy01"] == before + 1


def test_what_pacemaker_was_told_to_leave_alone_is_refused_at_once(site: EverydaySite) -> None:
    """It would be waited for until the time is up, with the change already made."""
    site.changes.append(resource("proxy01", managed="false"))
    ended = site.run("shutdown", "proxy01")
    assert ended.exit_code == 4 and "proxy01 is not managed by Pacemaker" in ended.output and site.told == []
    site.changes[:] = [options(maintenance_mode="true")]
    assert site.run("shutdown", "deploy01").exit_code == 4 and site.told == []


def test_failures_are_forgotten_before_a_boot(site: EverydaySite) -> None:
    """As sNow! does it: after ten of them Pacemaker starts the domain nowhere."""
    site.run("shutdown", "deploy01")
    site.told.clear()
    site.changes.append(failed("deploy01", "snow01", "start", "no room"))
    assert site.run("boot", "deploy01").exit_code == 0
    assert site.told == ["snow02: crm_resource --cleanup --resource=deploy01", START.format("deploy01")]


def test_a_name_that_is_wrong_stops_all_of_it(site: EverydaySite) -> None:
    ended = site.run("shutdown", "deploy01", "slurm[01-03]")
    assert code_of(ended) == 2 and site.told == []


@pytest.mark.parametrize(
    "verb", ["boot", "shutdown", "poweroff", "reboot", "reset", "destroy", "console", "move", "show"]
)
@pytest.mark.parametrize("lost", [("snow01",), ("snow01", "snow02")])
def test_a_domain_that_there_is_not_is_said_and_not_that_a_server_is_lost(
    site: EverydaySite, verb: str, lost: tuple[str, ...]
) -> None:
    """Whoever mistypes while a server is lost would look for the mistake at the server."""
    site.lose(lost[0])
    site.world.fail = lambda host, argv: fail_of(host) if host in lost else None
    ended = site.run(*(["show", "domain"] if verb == "show" else [verb]), "deploy1")
    assert isinstance(ended.exception, InputError), ended.exception
    assert "there is no domain 'deploy1' (did you mean 'deploy01'?)" in str(ended.exception)
    assert "does not answer" not in ended.output and site.told == []
    unsure = "no server answers that could say whether there are more" in str(ended.exception)
    assert unsure == (len(lost) == 2)


def fail_of(host: str) -> None:
    raise UnreachableError("it does not answer", where=host, remedy="is it switched on?")


def test_the_console_is_opened_where_the_domain_runs(site: EverydaySite, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr("snowha.live.connect.terminal", lambda file, server, argv: [server, *argv])
    monkeypatch.setattr("os.execvp", lambda program, argv: executed.append(argv))
    assert site.run("console", "proxy01").exit_code == 0
    assert executed == [["snow02", "xl", "console", "proxy01"]]
    site.run("shutdown", "proxy01")
    assert code_of(site.run("console", "proxy01")) == 4


@pytest.mark.parametrize("server", ["snow01", "snow02"])
@pytest.mark.parametrize(
    ("words", "said"),
    [(("reboot", "deploy01"), "cannot reboot: "), (("reset", "deploy01", "--yes"), "cannot be reset: ")],
)
def test_a_domain_that_is_being_migrated_is_not_rebooted_and_has_a_console(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch, server: str, words: tuple[str, ...], said: str
) -> None:
    """`snow reboot` asked the half that arrives, which has another name, or ended the migration; `snow reset` destroyed both
    halves; `snow console` said to shut one of the two down."""
    executed: list[list[str]] = []
    monkeypatch.setattr("snowha.live.connect.terminal", lambda file, server, argv: [server, *argv])
    monkeypatch.setattr("os.execvp", lambda program, argv: executed.append(argv))
    other = next(name for name in ("snow01", "snow02") if name != server)
    site.world.running["deploy01"] = server
    site.more[other] = "deploy01--incoming 9 256 1 --p--- 1.0\n"
    ended = site.run(*words)
    assert ended.exit_code == 4 and site.told == [], ended.output
    assert f"deploy01 {said}" in ended.output and "wait until it has arrived" in " ".join(ended.output.split())
    assert site.run("console", "deploy01").exit_code == 0
    assert executed == [[server, "xl", "console", "deploy01"]]


def test_what_pacemaker_may_start_is_not_said_to_be_shut_down(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Pacemaker comes up it says nothing: the domain was "up to date", and Pacemaker started it a moment later."""
    del site.world.running["deploy01"]
    monkeypatch.setattr(World, "crm_mon", lambda world: "")
    ended = site.run("shutdown", "deploy01")
    assert ended.exit_code == 4 and "Pacemaker does not report whether it has deploy01" in ended.output


@pytest.mark.parametrize(
    ("state", "said"), [("--p---", "it is paused on snow01"), ("----c-", "it has crashed on snow01")]
)
def test_a_domain_that_does_nothing_is_not_booted(site: EverydaySite, state: str, said: str) -> None:
    """Without an address that could be asked a paused domain counted as booted; of one that had crashed it said that it runs."""
    site.config("deploy01", b"name = 'deploy01'\nmemory = 256\n")
    site.states["deploy01"] = state
    ended = site.run("boot", "deploy01", "--timeout", "1")
    assert ended.exit_code == 6 and said in ended.output
    ended = site.run("reboot", "deploy01", "--timeout", "1")
    assert ended.exit_code == 4 and said in ended.output and site.told == []


def test_without_pacemaker_a_domain_that_has_crashed_is_said_with_what_ends_it(site: EverydaySite) -> None:
    """It was waited for ten minutes, with the words that it runs."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    site.states["deploy01"] = "----c-"
    ended = site.run("boot", "deploy01")
    assert ended.exit_code == 4 and "snow destroy deploy01; then: snow boot deploy01" in ended.output


def test_why_nothing_is_started_is_said_while_it_is_waited_for(site: EverydaySite) -> None:
    """Without quorum nothing is started, and ten minutes long it said that the domain is off."""
    site.run("shutdown", "deploy01")
    site.world.running.pop("deploy01", None)
    site.starts = False
    site.changes.append(without_quorum)
    ended = site.run("boot", "deploy01", "--timeout", "1")
    assert ended.exit_code == 6 and "there is no quorum: Pacemaker starts nothing" in ended.output


def test_ctrl_c_during_a_reset_leaves_no_domain_off(site: EverydaySite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stayed off, and kept off; and the same command again was refused, since it is off."""
    answer = site.answer

    def stopping(server: str, words: list[str]) -> str | int | Completed | None:
        if words[:2] == ["xl", "destroy"]:
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(10)
        said: str | int | Completed | None = answer(server, words)
        return said

    stopped, lines_of = threading.Event(), progress.lines_of

    def shown(event: events.Event, left: list[str]) -> Iterator[progress.Line]:
        if isinstance(event, events.RunStopping):
            stopped.set()
        return lines_of(event, left)

    monkeypatch.setattr(progress, "lines_of", shown)
    monkeypatch.setattr(site, "answer", stopping)
    ended = site.run("reset", "deploy01", "--yes")
    assert ended.exit_code == 130, ended.output
    assert site.told[-1] == START.format("deploy01") and site.world.running["deploy01"]


def test_nothing_is_reset_that_could_not_be_started_again(site: EverydaySite) -> None:
    """While another server was lost it was destroyed, kept off, and not started: nobody could say that it is off."""
    site.lose("snow02")
    ended = site.run("reset", "deploy01", "--yes", "--timeout", "1")
    assert ended.exit_code == 4 and site.told == []
    assert "deploy01 is not reset: snow02 does not say whether it runs there" in ended.output


def test_a_reset_that_fails_half_way_does_not_keep_the_domain_off(
    site: EverydaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server was lost in between: Pacemaker was told to keep the domain off, and started it nowhere."""
    answer = site.answer

    def failing(server: str, words: list[str]) -> str | int | Completed | None:
        if words[:2] == ["xl", "destroy"]:
            raise UnreachableError("it does not answer any more", where=server)
        said: str | int | Completed | None = answer(server, words)
        return said

    monkeypatch.setattr(site, "answer", failing)
    ended = site.run("reset", "deploy01", "--yes")
    assert ended.exit_code == 3 and "it does not answer any more" in ended.output
    assert site.told == [STOP.format("deploy01"), START.format("deploy01")]
