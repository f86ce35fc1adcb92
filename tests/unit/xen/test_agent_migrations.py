"""What the agent makes of a live migration that breaks: what is certain it does, what is not it leaves to Pacemaker."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lease_servers import Servers, agent, row, xl_list

HERE, AWAY, INCOMING = (
    row("deploy01", "-b----"),
    row("deploy01--migratedaway", "---ss-"),
    row("deploy01--incoming", "--p---"),
)
GIVEN = "migration sender: Giving target permission to start."


def domains(servers: Servers, *rows: str) -> None:
    """What the hypervisor runs."""
    (servers.folder / "domains").write_text(xl_list(*rows) + "\n")


def xl(servers: Servers, migrate: str = "exit 1") -> None:
    """An xl that lists, destroys, and migrates by ``migrate``, a piece of shell in the folder of the test."""
    text = f"""cd {servers.folder}
echo "$*" >> called
case $1 in
list) cat domains ;;
destroy | shutdown) sed -i "/ $2 /d" domains ;;
migrate) {migrate} ;;
esac
"""
    servers.script("xl", text)
    shutil.copy(shutil.which("sleep") or "/bin/sleep", servers.folder / "bin" / "ssh")  # called ssh, and stays


def disk_of(servers: Servers, *, noted: bool = True) -> Path:
    """The image as a disk of domain 3, as the block script notes it: where that is, or where it would be."""
    folder = servers.folder / "run-snow01" / "disks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "3-51714" if noted else servers.folder / "disk"
    path.write_text(f"image={servers.image}\ndomain=deploy01\nmode=w\nloop=loop77\ndm=\nholder=\n")
    return path


def called(servers: Servers) -> list[str]:
    return (servers.folder / "called").read_text().splitlines()


def breaks_after_go(servers: Servers) -> str:
    disk = disk_of(servers, noted=False)
    renamed = "sed -i 's/^deploy01 /deploy01--migratedaway /; s/-b----/---ss-/' domains"
    return f"cp {disk} run-snow01/disks/3-51714; {renamed}; echo '{GIVEN}'; exit 1"


def test_a_domain_that_has_arrived_was_migrated_whatever_xl_says(servers: Servers) -> None:
    """The connection was lost after the target was told to go, and it went. Pacemaker would shut it down and start it anew."""
    domains(servers, HERE)
    xl(servers, breaks_after_go(servers))
    with servers.taken("snow02"):
        pass
    ended = agent(servers, "migrate_to", timeout="60000")
    assert ended.code == 0, ended
    assert "destroy 3" in called(servers)


def test_a_domain_of_which_nobody_knows_where_it_is_is_left_to_pacemaker(servers: Servers) -> None:
    """Destroyed here, it could be gone on both sides; let go on, it could run twice. Pacemaker stops both, then starts one."""
    domains(servers, HERE)
    xl(servers, breaks_after_go(servers))
    ended = agent(servers, "migrate_to", timeout="10000")
    assert ended.code == 1
    assert "destroy 3" not in called(servers)


@pytest.mark.parametrize("left", [INCOMING, AWAY])
def test_a_copy_that_has_lost_its_leases_is_taken_away(servers: Servers, left: str) -> None:
    """Pacemaker would take it for the domain, and stop the one that runs on the other server as well."""
    domains(servers, left)
    xl(servers)
    disk_of(servers)
    with servers.taken("snow02"):
        pass
    ended = agent(servers, "monitor", timeout="60000")
    assert ended.code == 7, ended
    assert "destroy 3" in called(servers)


def test_a_copy_whose_leases_nobody_else_has_stays(servers: Servers) -> None:
    """It may be the only one."""
    domains(servers, AWAY)
    xl(servers)
    disk_of(servers)
    assert agent(servers, "monitor").code == 1
    assert "destroy 3" not in called(servers)


GIVES_UP = """ssh 600 & wait $!; echo 'Migration failed, resuming at sender.' >&2; exit 1"""


def test_a_migration_that_takes_too_long_is_given_up_and_the_domain_goes_on(servers: Servers) -> None:
    """xl itself ends when it has let the domain go on: killed, it would leave it suspended for ever."""
    domains(servers, HERE)
    xl(servers, GIVES_UP)
    ended = agent(servers, "migrate_to", timeout="20000")
    assert ended.code == 1
    assert "given up after" in ended.err and "goes on here" in ended.err
    assert "resuming at sender" in ended.err


def test_a_migration_whose_target_may_run_is_not_given_up(servers: Servers) -> None:
    """The domain would be let go on here while it runs there."""
    domains(servers, HERE)
    xl(servers, f"echo '{GIVEN}'; {GIVES_UP}")
    ended = agent(servers, "migrate_to", timeout="10000")
    assert ended.code == 1
    assert "given up" not in ended.err and "resuming" not in ended.err


def test_a_migration_under_way_is_listed_with_what_was_sent(servers: Servers) -> None:
    """`status` would say for an hour that a domain is being moved, and nothing else."""
    domains(servers, HERE)
    # asked by xl itself, once the first look is noted, so that it is under way for certain
    look = f"SNOW_SERVER=snow01 SNOW_RUN={servers.folder}/run-snow01 {servers.program} list > listed"
    until = "until grep -q '^sent=[1-9]' run-snow01/migrate/deploy01.progress; do sleep 0.1; done"
    xl(servers, f"ssh 600 & {until}; {look}; kill $!; exit 0")
    ended = agent(servers, "migrate_to", timeout="120000")
    assert ended.code == 0, ended
    (under_way,) = json.loads((servers.folder / "listed").read_text())["migrations"]
    assert (under_way["domain"], under_way["target"], under_way["memory"]) == ("deploy01", "snow02", str(128 << 20))
    assert int(under_way["sent"]) > 0
    assert json.loads(servers.run("snow01", "list").out)["migrations"] == []


@pytest.mark.parametrize("shown", ["webserver", "(null)"])
def test_a_domain_that_has_lost_its_name_is_the_one_whose_disks_it_has(servers: Servers, shown: str) -> None:
    """It was renamed by hand (xl rename), or xenstored was restarted and has lost all names. "Does not run" was said of it; then the
    stop found its disks attached, failed, and its server was fenced."""
    xl(servers)
    domains(servers, row(shown, "-b----"))
    disk_of(servers)
    assert agent(servers, "monitor").code == 0
    assert agent(servers, "start").code == 0
    assert agent(servers, "stop", timeout="20000").code == 0
    assert "shutdown 3" in called(servers)


def test_what_has_the_disks_of_another_domain_is_that_one(servers: Servers) -> None:
    """A row is this domain's by its name, or by the disks that were attached for it: not by the disks of one that is ending."""
    xl(servers)
    domains(servers, row("webserver", "-b----"))
    assert agent(servers, "monitor").code == 7
    disk_of(servers)
    domains(servers, row("(null)", "--ps-d"))
    assert agent(servers, "monitor").code == 7


@contextmanager
def an_xl_that_stays(servers: Servers, does: str, *words: str, log: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process called xl: what waits for a domain's end, and creates the next one if it rebooted."""
    path = servers.folder / (log or "log")
    with path.open("wb") as file:
        argv = ["xl", "-c", f"{does}; sleep 60 & wait", *words]
        with subprocess.Popen(argv, executable="/bin/bash", cwd=servers.folder, stdout=file) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.mark.parametrize("log", ["", "xl-deploy01--incoming.log", "xl-deploy01.log.1"])
def test_a_domain_that_reboots_while_it_is_stopped_is_stopped(servers: Servers, log: str) -> None:
    """xl creates the next one two seconds after the last one has gone. Nothing is there between: the stop succeeded then, and the
    domain ran on where Pacemaker had stopped it."""
    xl(servers)
    domains(servers)
    comes = f"sleep 2; cat > domains <<'END'\n{xl_list(HERE)}\nEND\n"
    words = () if log else ("create", f"{servers.folder}/deploy01.cfg")
    with an_xl_that_stays(servers, comes, *words, log=log):
        stopped = agent(servers, "stop", timeout="30000")
        assert stopped.code == 0, stopped.err
        assert "shutdown 3" in called(servers)
        assert "deploy01" not in (servers.folder / "domains").read_text()


def test_an_xl_that_creates_the_domain_for_ever_is_ended(servers: Servers) -> None:
    """It was left behind by a start that was given up; of another domain's it is none."""
    xl(servers)
    domains(servers)
    with (
        an_xl_that_stays(servers, ":", "create", "/sNow/domains/other.cfg", log="xl-other.log") as other,
        an_xl_that_stays(servers, ":", "create", f"{servers.folder}/deploy01.cfg") as one,
    ):
        assert agent(servers, "stop", timeout="10000").code == 0
        assert one.wait(5) == -9
        assert other.poll() is None


@pytest.mark.parametrize(("rows", "code"), [((row("web01", "-b----"),), 0), ((), 1)])
def test_an_image_that_another_domain_has_ends_in_no_fencing(
    servers: Servers, rows: tuple[str, ...], code: int
) -> None:
    """Two configs named one image: the second domain could not be started, its stop failed, and the server of the first was fenced,
    and the next one. What nobody's domain has attached is still a reason."""
    xl(servers)
    domains(servers, *rows)
    noted = disk_of(servers)
    noted.write_text(noted.read_text().replace("domain=deploy01", "domain=web01"))
    config = servers.folder / "deploy01.cfg"
    config.write_text(f"name = 'deploy01'\ndisk = [ 'script=block-snow,vdev=xvda,target={servers.image}' ]\n")
    stop = f"""
    *Snow::Loop::all = sub {{ return {{ loop77 => '{servers.image}' }} }};
    *Snow::Host::files_of_backends = sub {{ return {{ '{servers.image}' => 3 }} }};
    @ENV{{qw(OCF_RESKEY_xmfile OCF_RESKEY_name OCF_RESKEY_CRM_meta_timeout)}} = ('{config}', 'deploy01', 8000);
    exit Snow::Agent::main('stop');"""
    stopped = servers.perl("snow01", stop)
    assert stopped.code == code, stopped.err
    assert noted.exists()
    assert ("has " in stopped.err) is bool(code)


def test_a_domain_whose_disk_is_suspended_for_good_is_restarted(servers: Servers) -> None:
    """The process that hands its lease over was killed in a migration, after it had suspended the disk, or before it had resumed it.
    The domain was said to run, and waited for its disk for ever."""
    xl(servers)
    domains(servers, HERE)
    noted = disk_of(servers)
    noted.write_text(noted.read_text().replace("dm=", "dm=snow-3-51714"))

    def answer(action: str, suspended: int, *, holder: bool = False) -> int:
        act = f"""
        *Snow::Mapper::is_suspended = sub {{ return {suspended} }};
        {"*Snow::Disk::holder_lives = sub { return 1 };" if holder else ""}
        @ENV{{qw(OCF_RESKEY_xmfile OCF_RESKEY_name)}} = ('{servers.folder}/deploy01.cfg', 'deploy01');
        exit Snow::Agent::main('{action}');"""
        ended = servers.perl("snow01", act)
        assert ended.code == 0 or "is suspended, and the process that would resume it has ended" in ended.err
        return ended.code

    for action in ("monitor", "migrate_from"):
        assert answer(action, 0) == 0
        assert answer(action, 1, holder=True) == 0
        assert answer(action, 1) == 1


def test_a_config_that_has_become_another_domains_is_not_started_from(servers: Servers) -> None:
    """Its name was changed while the domain ran. The start made a domain that Pacemaker does not know, and took it for gone; the stop
    that followed found its images attached, and the server was fenced."""
    xl(servers)
    domains(servers)
    (servers.folder / "deploy01.cfg").write_text("name = 'web01'\ndisk = []\n")
    started = agent(servers, "start")
    assert started.code == 1
    assert "deploy01.cfg is the config of web01 now, not of deploy01" in started.err
    assert not [words for words in called(servers) if words.startswith("create")]
