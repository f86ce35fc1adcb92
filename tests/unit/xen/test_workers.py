"""Processes that are ready for the disks of a domain that arrives: while they are attached, the domain is away."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from lease_servers import Servers, agent, row, two_servers, xl_list

from snowha.xen import server_program

BACKEND = "backend/vbd/{}/51714"
LOOKS_S = 20.0
"""At most: they look every 5 s whether the domain still comes."""


@pytest.fixture
def servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket has up to 107 characters
        made = two_servers(Path(folder))
        yield made
        until(lambda: not any(is_running(int(line[2])) for line in log(made) if line[0] == "attach"))  # it writes there


def program(servers: Servers, attach: str = "return (undef, 'tentative', 'yes', 253, 7)") -> Path:
    """Ours, with a xenstore and devices of the test's; what is done with them is noted in the file ``log``."""
    log = servers.folder / "log"
    code = f"""
        sub noted {{ open(my $log, '>>', '{log}') or die; print {{$log}} "@_\\n"; close $log; return 1 }}
        *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Snow::Xenstore' }};
        *Snow::Xenstore::end = sub {{ 1 }};
        *Snow::Xenstore::read = sub {{ shift; map {{ /params/ ? '{servers.image}' : /mode/ ? 'w' : 'deploy01--incoming' }} @_ }};
        *Snow::Xenstore::write = sub {{
            my (undef, undef, %told) = @_;
            noted($told{{'hotplug-status'}}, $told{{'hotplug-error'}} // '');
        }};
        *Snow::Common::note = sub {{ 1 }};
        *Snow::Disk::attach = sub {{ noted('attach', $_[0]{{id}}, $$); {attach} }};
        *Snow::Holder::stay = sub {{ sysread $_[4], my $nothing, 1; noted('stays', $$) }};"""
    path = servers.folder / "with-devices"
    path.write_text(with_replaced(code))
    path.chmod(0o755)
    script = servers.folder / "block-snow"
    script.unlink(missing_ok=True)
    script.symlink_to(path)
    return path


def with_replaced(code: str) -> str:
    """The program, of which ``code`` replaces functions."""
    replaced = " ".join(sorted(set(re.findall(r"[*](Snow::\w+)::\w+ =", code))))
    begin = "my ($called) ="
    return server_program.text().replace(begin, f"no warnings;\ncompile($_) for qw({replaced});\n{code}\n{begin}")


@dataclass(frozen=True)
class Xl:
    """A process that has workers, and calls the block script as libxl does."""

    servers: Servers
    process: subprocess.Popen[str]

    def add(self, domid: int) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{BACKEND.format(domid)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def receiving(servers: Servers, start: str = "") -> Iterator[Xl]:
    """An xl, whose workers a piece of shell has started: $$ is its number, ``add`` what it answers requests with."""
    script = f"""{start}
while read -r backend; do
    XENBUS_PATH=$backend {servers.folder}/block-snow add < /dev/null > /dev/null 2>&1
    echo $?
done
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(["sh", "-c", script], env=servers.environment("snow01"), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Xl(servers, process)
        finally:
            process.kill()


@contextmanager
def ready(servers: Servers, path: Path, count: int) -> Iterator[Xl]:
    """With ``count`` of them, started as by the server that sends a domain."""
    with receiving(servers, f"({path} workers {count} $$ </dev/null >/dev/null 2>&1 &)") as xl:
        until(lambda: len(sockets(servers)) == 1 and len(workers(servers)) == count)
        yield xl


def sockets(servers: Servers) -> list[Path]:
    return list((servers.folder / "run-snow01" / "workers").glob("*"))


def workers(servers: Servers) -> list[int]:
    """Those of this test that nobody has asked yet: who has the socket open."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    of_test = {f"socket:[{line[6]}]" for line in lines if line[-1].startswith(f"{servers.folder}/")}
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if (
                str(descriptor.readlink()) in of_test
                and b"snow-lease: worker" in (descriptor.parents[1] / "cmdline").read_bytes()
            ):
                found.add(int(descriptor.parts[2]))
        except OSError:
            continue
    return sorted(found)


def is_running(pid: int) -> bool:
    """And is not only left over because nobody asks what became of it, as in a container without init."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def until(condition: Callable[[], bool], limit: float = LOOKS_S) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def log(servers: Servers) -> list[list[str]]:
    path = servers.folder / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_each_disk_of_a_domain_that_arrives_has_a_process_that_was_ready_and_stays(servers: Servers) -> None:
    """Compiling the program twice is as long as attaching them: the domain is away for as long."""
    path = program(servers)
    with ready(servers, path, 2) as xl:
        were_ready = workers(servers)
        assert (xl.add(3), xl.add(4)) == (0, 0)
        until(lambda: len(log(servers)) == 6)
    attached = [line for line in log(servers) if line[0] == "attach"]
    assert [line[1] for line in attached] == ["3-51714", "4-51714"]
    assert sorted(int(line[2]) for line in attached) == sorted(were_ready)
    order = [line[0] for line in log(servers)]
    assert order[0] == "attach" and order.index("connected") < order.index("stays")


def test_a_disk_that_finds_no_process_ready_is_attached_as_well(servers: Servers) -> None:
    """A migration that was typed by hand, a domain with more disks than were told."""
    path = program(servers)
    with ready(servers, path, 1) as xl:
        (only,) = workers(servers)
        assert (xl.add(3), xl.add(4)) == (0, 0)
        until(lambda: len(log(servers)) == 6)
    by = [int(line[2]) for line in log(servers) if line[0] == "attach"]
    assert by[0] == only and by[1] != only


def test_a_domain_that_is_started_meanwhile_does_not_take_what_another_one_needs(servers: Servers) -> None:
    """The holder of its lease would live in the other one's login, and wait for what that one's storage does."""
    path = program(servers)
    with ready(servers, path, 1), receiving(servers) as other:
        (only,) = workers(servers)
        assert other.add(3) == 0
        assert workers(servers) == [only]
    assert str(only) not in [line[-1] for line in log(servers)]


def test_a_process_that_does_not_answer_attaches_nothing_later(servers: Servers) -> None:
    """The image would be attached twice: by the block script, and by the one that it has not waited for."""
    path = program(servers)
    with ready(servers, path, 1) as xl:
        (stopped,) = workers(servers)
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert xl.add(3) == 0
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert xl.add(4) == 0
        until(lambda: len(log(servers)) == 6)
    by = {line[1]: int(line[2]) for line in log(servers) if line[0] == "attach"}
    assert by["3-51714"] != stopped and by["4-51714"] == stopped


def test_a_disk_is_not_attached_a_second_time_when_the_process_dies_over_it(servers: Servers) -> None:
    """Nobody knows how far it came: libxl is told that it failed, and has the disk removed."""
    path = program(servers, attach="kill 9, $$; sleep 10")
    with ready(servers, path, 1) as xl:
        assert xl.add(3) == 1
    said = [" ".join(line) for line in log(servers) if line[0] != "attach"]
    assert [line[0] for line in log(servers)].count("attach") == 1
    why = "the process that was to attach it ended without a word"
    assert said == [f"error {servers.image} is not attached for deploy01: {why}"]


def test_why_a_disk_is_not_attached_is_told_to_libxl(servers: Servers) -> None:
    path = program(servers, attach=r'die "snow02 has it open\n"')
    with ready(servers, path, 1) as xl:
        assert xl.add(3) == 1
    assert " ".join(log(servers)[-1]) == f"error {servers.image} is not attached for deploy01: snow02 has it open"


@pytest.mark.parametrize("is_left", [True, False])
def test_they_end_with_the_xl_that_receives_the_domain(servers: Servers, is_left: bool) -> None:
    """Each migration that breaks would leave some behind."""
    path = program(servers)
    with ready(servers, path, 3) as xl:
        ready_ones = workers(servers)
        if not is_left:
            sockets(servers)[0].unlink()
        xl.process.kill()
        xl.process.wait()
        until(lambda: not any(map(is_running, ready_ones)))
    assert log(servers) == [] and sockets(servers) == []


@pytest.mark.parametrize("left", ["file", "gone", "silent"])
def test_what_is_left_there_keeps_no_disk_waiting(servers: Servers, left: str) -> None:
    """By a process that had the number of this xl, and is gone; or by workers that hang."""
    program(servers)
    folder = servers.folder / "run-snow01" / "workers"
    folder.mkdir(parents=True)
    with receiving(servers) as xl, socket.socket(socket.AF_UNIX) as listener:
        place = folder / str(xl.process.pid)
        if left == "file":
            place.write_text("")
        else:
            listener.bind(str(place))
        if left == "silent":
            listener.listen(0)
        for domid in (3, 4):  # the second one finds the queue full
            assert xl.add(domid) == 0
    assert [line[0] for line in log(servers)].count("connected") == 2


def test_what_an_xl_that_is_gone_has_left_is_removed(servers: Servers) -> None:
    path = program(servers)
    with ready(servers, path, 1) as xl, socket.socket(socket.AF_UNIX) as listener:
        gone = sockets(servers)[0].with_name("4194304")  # more than any process has (proc(5), pid_max)
        listener.bind(str(gone))
        with receiving(servers, f"({path} workers 1 $$ </dev/null >/dev/null 2>&1 &)"):
            until(lambda: not gone.exists() and len(sockets(servers)) == 2)
        assert xl.add(3) == 0


def test_the_server_that_sends_a_domain_has_them_started_on_the_target(servers: Servers) -> None:
    """With the number of its disks; they are children of the xl that receives it, which gets all of the stream."""
    disks = servers.folder / "run-snow01" / "disks"
    disks.mkdir(parents=True, exist_ok=True)
    for device, mode in ((51714, "r"), (51713, "r")):
        lines = f"image={servers.image}\ndomain=deploy01\nmode={mode}\nloop=loop77\ndm=\nholder=\n"
        (disks / f"3-{device}").write_text(lines)
    servers.program.write_text(with_replaced("*Snow::Disk::is_there = sub { 1 };"))
    (servers.folder / "domains").write_text(xl_list(row("deploy01", "-b----")) + "\n")
    # xl runs what is given in place of a server as a line of shell (Xen tools/xl/xl_migrate.c)
    servers.script(
        "xl",
        f"""cd {servers.folder}
case $1 in
list) cat domains ;;
migrate)
    [ "$2$3$4" = -sdeploy01 ] || exit 9
    echo stream | sh -c "$5"
    rm domains; echo > domains ;;
migrate-receive) echo "$$ $*" > receives; cat > stream ;;
esac
""",
    )
    folder = servers.folder
    servers.script(
        "ssh", f'echo "$*" > {folder}/reached; while [ "$1" != snow02 ]; do shift; done; shift; exec sh -c "$*"'
    )
    servers.script(
        "snow-lease",
        f'cat > {folder}/read; echo "$*" > {folder}/workers.new; mv {folder}/workers.new {folder}/workers',
    )
    agent(servers, "migrate_to", timeout="20000")
    until((folder / "workers").exists)
    xl, *words = (folder / "receives").read_text().split()
    assert words == ["migrate-receive"] and (folder / "stream").read_text() == "stream\n"
    assert (folder / "workers").read_text().split() == ["workers", "2", xl] and (folder / "read").read_text() == ""
    assert " snow02 " in (folder / "reached").read_text()
