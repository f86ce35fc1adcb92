"""What the agent makes of a domain that ends, reboots, has lost its name, or shares its image; and of a server that is full."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lease_servers import Servers, agent, row, xl_list
from test_agent_migrations import HERE, called, disk_of, domains, xl

from snowha.xen import server_program


@pytest.mark.parametrize("state", ["---sr-", "---sw-", "---sS-", "---s?-"])
def test_a_domain_that_has_shut_down_for_any_reason_is_there_still(servers: Servers, state: str) -> None:
    """xl writes each reason with another letter. A domain with on_watchdog="preserve" was not seen, and so could not be stopped:
    Pacemaker fenced its server."""
    servers.script(
        "xl",
        f"case $1 in list) cat {servers.folder}/domains ;; destroy) sed -i '/ '$2' /d' {servers.folder}/domains ;; esac\n",
    )
    (servers.folder / "domains").write_text(xl_list(row("deploy01", state)) + "\n")
    ended = agent(servers, "monitor")
    assert ended.code == 1 and "deploy01 is ending" in ended.err, ended
    assert agent(servers, "stop", timeout="20000").code == 0
    assert "deploy01" not in (servers.folder / "domains").read_text()


def test_a_server_that_can_note_nothing_is_not_fenced(servers: Servers) -> None:
    """/run is full or read-only. The agent ended with errno, which means something else to Pacemaker (5 is "not installed", 7
    "not running"); and the stop that followed failed in the same way."""
    shutil.rmtree(servers.folder / "run-snow01")
    (servers.folder / "run-snow01").write_text("in the way")
    servers.says("xl", xl_list(row("deploy01", "-b----")))
    assert agent(servers, "monitor").code == 0
    refused = agent(servers, "migrate_to")
    assert refused.code == 1, refused
    assert "ocf-exit-reason:cannot write" in refused.err
    servers.says("xl", xl_list())
    assert agent(servers, "monitor").code == 7
    assert agent(servers, "stop").code == 0


@pytest.mark.parametrize("shown", ["webserver", "(null)", ""])
def test_a_domain_that_has_lost_its_name_is_the_one_whose_disks_it_has(servers: Servers, shown: str) -> None:
    """It was renamed by hand (xl rename), or xenstored was restarted and has lost all names. "Does not run" was said of it; then
    the stop found its disks attached, failed, and its server was fenced."""
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
        argv = ["xl", "-c", f"{does}\nsleep 60 & wait", *words]
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
    """Two configs named one image: the second domain could not be started, its stop failed, and the server of the first was
    fenced, and the next one. What nobody's domain has attached is still a reason."""
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


def test_a_config_that_has_become_another_domains_is_not_started_from(servers: Servers) -> None:
    """Its name was changed while the domain ran. The start made a domain that Pacemaker does not know, and took it for gone; the
    stop that followed found its images attached, and the server was fenced."""
    xl(servers)
    domains(servers)
    (servers.folder / "deploy01.cfg").write_text("name = 'web01'\ndisk = []\n")
    started = agent(servers, "start")
    assert started.code == 1
    assert "deploy01.cfg is the config of web01 now, not of deploy01" in started.err
    assert not [words for words in called(servers) if words.startswith("create")]


XENSTORE = {
    "nothing of it": ("0 => 'Domain-0', 4 => 'web01'", False),
    "another, whose name begins like it": ("0 => 'Domain-0', 4 => 'deploy01b'", False),
    "the domain": ("0 => 'Domain-0', 4 => 'deploy01'", True),
    "what a migration left": ("0 => 'Domain-0', 4 => 'deploy01--migratedaway'", True),
    "what a migration brings": ("0 => 'Domain-0', 4 => 'deploy01--incoming'", True),
    "one without a name": ("0 => 'Domain-0', 4 => undef", True),
    "a xenstore that has lost everything": ("", True),
    "a xenstore that lost this server": ("4 => 'web01'", True),
}


@pytest.mark.parametrize("names", XENSTORE)
def test_xl_is_asked_before_a_start_unless_xenstore_says_that_nothing_of_it_is_here(
    servers: Servers, names: str
) -> None:
    """What is not asked while a lost server's domains are started is downtime saved; a domain that is not seen runs twice."""
    entries, is_asked = XENSTORE[names]
    xl(servers)
    domains(servers)
    (servers.folder / "deploy01.cfg").write_text("name = 'deploy01'\ndisk = []\n")
    start = f"""
    *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Snow::Xenstore' }};
    *Snow::Xenstore::names = sub {{ return {{ {entries} }} }};
    @ENV{{qw(OCF_RESKEY_xmfile OCF_RESKEY_name OCF_RESKEY_CRM_meta_timeout)}}
        = ('{servers.folder}/deploy01.cfg', 'deploy01', 8000);
    exit Snow::Agent::main('start');"""
    servers.perl("snow01", start)
    words = [line.split()[0] for line in called(servers)]
    assert (words[0] == "list") is is_asked
    assert "create" in words


def test_a_disk_that_was_attached_for_it_is_a_reason_to_ask_xl(servers: Servers) -> None:
    """Its name may have been changed by hand, or be lost."""
    xl(servers)
    domains(servers, row("webserver", "-b----"))
    disk_of(servers)
    start = f"""
    *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Snow::Xenstore' }};
    *Snow::Xenstore::names = sub {{ return {{ 0 => 'Domain-0', 3 => 'webserver' }} }};
    @ENV{{qw(OCF_RESKEY_xmfile OCF_RESKEY_name OCF_RESKEY_CRM_meta_timeout)}}
        = ('{servers.folder}/deploy01.cfg', 'deploy01', 8000);
    exit Snow::Agent::main('start');"""
    assert servers.perl("snow01", start).code == 0
    assert not any(line.startswith("create") for line in called(servers))


def test_a_xenstore_that_hangs_is_not_waited_for_longer_than_xl(servers: Servers) -> None:
    """It takes no connection any more, and connect(2) waits for ever: a start ended without a reason when its time was over, and
    each probe of a domain that does not run here, which is what a server is fenced for."""
    address = servers.folder / "socket"
    usual = "'/run/xenstored/socket', '/var/run/xenstored/socket'"
    servers.program.write_text(server_program.text().replace(usual, f"'{address}'").replace("connect(5)", "connect(1)"))
    xl(servers)
    domains(servers)
    (servers.folder / "deploy01.cfg").write_text("name = 'deploy01'\ndisk = []\n")
    waiting = []
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(address))
        hangs.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                waiting[-1].connect(str(address))
        started = agent(servers, "start", timeout="30000")
        servers.script("xl", "exit 1\n")
        probed = agent(servers, "monitor")
    for client in waiting:
        client.close()
    assert called(servers)[0] == "list"
    assert started.code == 1 and "is gone" in started.err
    assert probed.code == 5 and "it is unknown whether deploy01 runs here" in probed.err
