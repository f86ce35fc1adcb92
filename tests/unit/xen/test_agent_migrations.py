"""What the agent makes of a live migration that breaks: what is certain it does, what is not it leaves to Pacemaker."""

from __future__ import annotations

import json
import shutil
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


def test_a_domain_whose_disk_is_suspended_for_good_is_restarted(servers: Servers) -> None:
    """The process that hands its lease over was killed in a migration, after it had suspended the disk, or before it had resumed
    it. The domain was said to run, and waited for its disk for ever."""
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
