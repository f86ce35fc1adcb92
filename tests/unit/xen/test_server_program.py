"""The program on the servers, run as it is by the real perl, with real locks: who may have an image, and what is said of it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path

import pytest
from lease_servers import BOOT, NEXT_BOOT, Servers, agent, row, xl_list

from snowha.hosts.read_only import is_read_only
from snowha.xen import leases, server_program


def test_the_program_has_no_warnings(tmp_path: Path) -> None:
    path = tmp_path / "snow-lease"
    path.write_text(server_program.text())
    done = subprocess.run(["perl", "-wc", str(path)], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == f"{path} syntax OK"


def test_a_mistake_in_a_part_that_is_compiled_later_is_seen_at_once(tmp_path: Path) -> None:
    """Else it is found when a domain has to start."""
    path = tmp_path / "snow-lease"
    path.write_text(server_program.text().replace("sub is_suspended {", "sub is_suspended { $mistyped;", 1))
    done = subprocess.run(["perl", "-wc", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert '"$mistyped" requires explicit package name' in done.stderr
    parts = resources.files("snowha.xen.server")
    line = parts.joinpath("51-mapper.pl").read_text().split("sub is_suspended", 1)[0].count("\n") + 1
    assert f"51-mapper.pl line {line}." in done.stderr


@pytest.mark.parametrize("name", ["$text", "$package", "$names", "$others"])
def test_a_part_sees_no_variable_of_what_compiles_it(tmp_path: Path, name: str) -> None:
    """One that is declared nowhere in a part was taken for that: it is empty, or another text, when a domain has to start."""
    path = tmp_path / "snow-lease"
    path.write_text(server_program.text().replace("sub is_suspended {", f"sub is_suspended {{ print {name};", 1))
    done = subprocess.run(["perl", "-wc", str(path)], capture_output=True, text=True, check=False)
    assert f'"{name}" requires explicit package name' in done.stderr
    assert done.returncode != 0


def test_each_part_compiles_where_no_other_of_its_package_is(tmp_path: Path) -> None:
    """An action compiles those that it calls: what a part has only from another one is missing when a domain has to start."""
    alone = """
    my %texts = map { my $of = $_; map { $_ => [$of, $_] } values %{ $PART{$of} } } keys %PART;
    for my $part (values %texts) {
        my $pid = fork // die;
        if (!$pid) { compile_part(@$part); exit 0 }
        waitpid $pid, 0;
        print $? ? "fails\n" : "compiles\n";
    }"""
    path = tmp_path / "snow-lease"
    path.write_text(server_program.text().replace("exit Snow::Cli::main(@ARGV);", alone))
    done = subprocess.run(["perl", str(path)], capture_output=True, text=True, check=True)
    parts = [part for part in resources.files("snowha.xen.server").iterdir() if part.name.endswith(".pl")]
    assert done.stdout.splitlines() == ["compiles"] * (len(parts) - 3), done.stderr


def test_its_numbers_are_those_of_this_machine(tmp_path: Path) -> None:
    """A wrong one would be another flag: an image that is opened without O_EXCL, or a lock that is waited for."""
    path = tmp_path / "numbers"
    head = resources.files("snowha.xen.server").joinpath("01-parts.pl").read_text()
    names = re.findall(r"\b([A-Z]+_?[A-Z]*) => [0-9]+", head)
    uses = f"use Snow::Linux qw({' '.join(names)});\n"
    prints = "".join(f'print "{name} ", {name}, "\\n";\n' for name in names)
    path.write_text(f"{head}\n{uses}{prints}")
    said = subprocess.run(["perl", str(path)], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        name, number = line.split()
        assert int(number) == next(getattr(module, name) for module in (os, fcntl, errno, socket) if hasattr(module, name)), name
    assert {name.split("_")[0] for name in names} >= {"O", "F", "LOCK", "ENOENT", "SO"}


def test_no_module_but_strict_is_loaded(tmp_path: Path) -> None:
    """Each takes longer to load than Perl takes to start, while a domain is away."""
    path = tmp_path / "snow-lease"
    main = "exit Snow::Cli::main(@ARGV);"
    path.write_text(
        server_program.text().replace(main, 'compile($_) for sort keys %PART; print join " ", sort keys %INC;')
    )
    said = subprocess.run(["perl", str(path)], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["Snow/Linux.pm", "strict.pm"]


def test_what_is_not_there_is_no_silent_nothing(servers: Servers) -> None:
    """A function by a wrong name, of a part that is compiled later and of one that was."""
    for call in ("Snow::Mapper::nothing()", "Snow::Common::now(); Snow::Common::nothing()", "Snow::Nobody::nothing()"):
        program = servers.folder / "wrong"
        main = "exit Snow::Cli::main(@ARGV);"
        program.write_text(server_program.text().replace(main, f"{call};\n{main}"))
        program.chmod(0o755)
        done = servers.run("snow01", "help", name="wrong")
        assert done.code != 0
        assert "nothing" in done.err, done.err


def test_a_program_for_which_no_time_is_left_is_not_started(servers: Servers) -> None:
    """It ran on unwatched: an `xl create` that nobody waits for, behind a start that was told to have failed."""
    code = f"""
        my (undef, $code, $why) = Snow::Common::run(-1, 'touch', '{servers.folder}/started');
        print "$code $why\\n";
        exit 0;"""
    said = servers.perl("snow01", code, "list")
    assert said.out.strip() == "-1 no time is left for touch", said
    assert not (servers.folder / "started").exists()


def test_a_program_that_does_not_end_is_ended_with_what_it_started(servers: Servers) -> None:
    """Also one that was started just before its time was over."""
    code = """
        for (1 .. 20) {
            my (undef, $code) = Snow::Common::run(0.0001, 'sleep', '1000.25');
            die "code $code" if $code != -1;
        }
        exit 0;"""
    said = servers.perl("snow01", code, "list")
    assert said.code == 0, said.err
    until = time.monotonic() + 30
    while any(b"sleep\x001000.25\x00" in _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < until, "a program runs on"
        time.sleep(0.05)


def _lines(path: Path, number: int) -> list[str]:
    """The lines of a file, once it has so many."""
    until = time.monotonic() + 20
    while len(lines := _read(path).decode().splitlines()) < number:
        assert time.monotonic() < until, lines
        time.sleep(0.05)
    return lines


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_disk_keeps_nothing_open_of_the_xl_that_attached_it(servers: Servers) -> None:
    """The process for a disk stays as long as its domain: a login or a lock file that it has would stay as long."""
    inherited, other_end = os.pipe()
    code = f"""
        open(my $image, '<', '{servers.image}') or die;
        open(my $report, '>', '{servers.folder}/report') or die;
        my $kept = fileno $image;
        my $group = getpgrp;
        open(my $say, '>', '{servers.folder}/say.new') or die;
        close $report;
        close $say;
        Snow::Holder::leave_caller($image);
        my @open = grep {{ -e "/proc/self/fd/$_" }} Snow::Common::names('/proc/self/fd');
        Snow::Common::write_file('{servers.folder}/report', join ' ', $kept, ($group == getpgrp ? 'same' : 'own'), @open);
        exit 0;"""
    program = servers.folder / "leaves"
    main = "exit Snow::Cli::main(@ARGV);"
    program.write_text(server_program.text().replace(main, f"{code}\n{main}"))
    program.chmod(0o755)
    done = servers.run("snow01", "list", fds=(inherited, other_end), name="leaves")
    assert done.code == 0, done.err
    kept, group, *descriptors = (servers.folder / "report").read_text().split()
    assert group == "own"
    assert sorted(descriptors, key=int) == sorted({"0", "1", "2", kept}, key=int)


def test_what_hands_a_lease_over_is_compiled_while_the_guest_still_runs(servers: Servers) -> None:
    """Else a domain that migrates is away for longer."""
    code = f"""
        my ($path, $times) = ('/local/domain/3/control/shutdown', 0);
        *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Snow::Xenstore' }};
        *Snow::Xenstore::watch = sub {{ return 1 }};
        *Snow::Xenstore::read = sub {{ return 'suspend' }};
        *Snow::Xenstore::changes = sub {{
            return $path if $times++ < 2;
            Snow::Common::write_file('{servers.folder}/later', join ' ', '-', keys %{{ $PART{{'Snow::Holder'}} }});
            exit 0;
        }};
        open(my $image, '<', '{servers.image}') or die;
        open(my $caller, '<', '/dev/null') or die;
        Snow::Holder::stay({{ id => '3-51714', image => '{servers.image}' }}, $image, 'take', 'yes', $caller);"""
    assert servers.perl("snow01", code).code == 0
    assert (servers.folder / "later").read_text() == "-"


def test_the_process_of_a_disk_that_was_adopted_waits_for_no_block_script(servers: Servers) -> None:
    """It ended at once, without a word: nobody took the lock of a disk of before the leases, or handed its lease over."""
    code = f"""
        *Snow::Xenstore::connect = sub {{ Snow::Common::write_file('{servers.folder}/stays', 'yes'); exit 0 }};
        open(my $image, '<', '{servers.image}') or die;
        Snow::Holder::stay({{ id => '3-51714', image => '{servers.image}' }}, $image, 'adopted', 'pending');"""
    assert servers.perl("snow01", code).code == 0
    assert _read(servers.folder / "stays") == b"yes"


@pytest.mark.parametrize(
    ("state", "server", "ended"), [("held", "snow02", "5 web01--incoming"), ("tentative", "snow02", ""), ("held", "snow01", "")]
)
def test_what_arrived_is_ended_once_the_domain_goes_on_where_it_was(
    servers: Servers, state: str, server: str, ended: str
) -> None:
    """xl ends when its connection is lost: what it leaves has the name that the next migration needs, and the memory."""
    code = f"""
        main::compile($_) for qw(Snow::Xenstore Snow::Record Snow::Disk Snow::Holder Snow::Leftovers);
        my $looks = 0;
        *Snow::Xenstore::watch = sub {{ 1 }};
        *Snow::Xenstore::changes = sub {{ return }};
        *Snow::Xenstore::read = sub {{ return $looks++ < 3 ? 'web01--incoming' : undef }};
        *Snow::Record::read_only = sub {{ return {{ state => '{state}', server => '{server}', disk => '3-51714' }} }};
        *Snow::Disk::cut_off = sub {{ print 'cut off ' }};
        *Snow::Common::note = sub {{ 1 }};
        *Snow::Leftovers::end = sub {{ print "$_[0]{{id}} $_[0]{{name}}" }};
        my $disk = {{ id => '5-51714', image => '/i', domain => 'web01' }};
        my $arrived = Snow::Holder::_wait_until_confirmed(bless({{}}, 'Snow::Xenstore'), '/local/domain/5', $disk);
        exit $arrived;"""
    done = servers.perl("snow01", code)
    assert (done.code, done.out) == (0, ended and f"cut off {ended}")


def test_a_domain_has_its_disk_before_the_process_that_stays_does_anything_else(servers: Servers) -> None:
    """Else a domain that arrives waits for what it does not need."""
    log = servers.folder / "order"
    code = f"""
        sub noted {{ open(my $log, '>>', '{log}') or die; print {{$log}} "$_[0]\\n"; close $log; return 1 }}
        *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Snow::Xenstore' }};
        my %told = ('backend/vbd/3/51714/params' => '{servers.image}', 'backend/vbd/3/51714/mode' => 'w');
        *Snow::Xenstore::read = sub {{ shift; return map {{ $told{{$_}} // 'web01' }} @_ }};
        *Snow::Xenstore::write = sub {{ Snow::Common::pause(0.3); return noted('connected') }};
        *Snow::Disk::attach = sub {{ return (undef, 'take', 'yes', 253, 7) }};
        *Snow::Holder::leave_caller = sub {{ noted('holder'); exit 0 }};
        $ENV{{XENBUS_PATH}} = 'backend/vbd/3/51714';
        exit Snow::Block::main('add');"""
    assert servers.perl("snow01", code).code == 0
    assert _lines(log, 2) == ["connected", "holder"]


@pytest.mark.parametrize(("through", "order"), [("socket", "s1 s2 a1 a2"), ("/dev/xen/xenbus", "s1 a1 s2 a2")])
def test_xenstore_is_asked_at_once_where_it_keeps_what_it_was_asked(servers: Servers, through: str, order: str) -> None:
    """The kernel's device keeps one message: with two under way, a domain gets the image of another one."""
    code = f"""
        main::compile('Snow::Xenstore');
        my @done;
        *Snow::Xenstore::_send = sub {{ push @done, 's' . ++$_[0]{{number}}; return $_[0]{{number}} }};
        *Snow::Xenstore::_answer = sub {{ push @done, "a$_[1]"; return "value $_[1]" }};
        my $xenstore = bless {{ limit => 1, number => 0, one_by_one => {int(through != "socket")} }}, 'Snow::Xenstore';
        print join(',', $xenstore->read('/a', '/b')), ' ', "@done";
        exit 0;"""
    assert servers.perl("snow01", code).out == f"value 1,value 2 {order}"


@pytest.mark.parametrize(
    ("waited", "leaving", "requests", "due"),
    [
        (0.3, 0, 1, "0"),  # xl sends the last pages: what this costs, the domain is away longer
        (2.0, 0, 0, "0"),  # the target starts it
        (2.0, 0, 1, "1"),  # it goes on here, and waits for its disk
        (4.9, 0, 0, "0"),
        (5.0, 0, 0, "1"),  # it goes on here, and waits for a request of before
        (0.3, 1, 0, "0"),  # xl tells the target to let it run
        (1.0, 1, 0, "1"),  # the target has it
    ],
)
def test_a_suspended_domain_does_not_wait_for_who_looks_how_it_goes(
    servers: Servers, waited: float, leaving: int, requests: int, due: str
) -> None:
    code = f"print Snow::Holder::is_look_due({waited}, {leaving}, sub {{ {requests} }}); exit 0;"
    assert servers.perl("snow01", code).out == due


def test_one_server_has_an_image_and_the_other_is_told_who(servers: Servers) -> None:
    """Without it two servers write to one image."""
    with servers.taken("snow01") as first, servers.taken("snow02") as second:
        assert first.code == 0, first.err
        assert second.code == 7
        assert "snow01 has it open" in second.err
        assert servers.record("snow02").server == "snow01"


def test_a_lease_given_back_is_free_for_everybody(servers: Servers) -> None:
    with servers.taken("snow01"):
        pass
    assert servers.run("snow01", "give", str(servers.image)).code == 0
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err


def test_a_process_that_was_killed_keeps_nobody_from_its_own_server(servers: Servers) -> None:
    """The record says that it has the image; its lock is gone with it."""
    with servers.taken("snow01"):
        pass
    with servers.taken("snow01") as again:
        assert again.code == 0, again.err


def test_a_live_process_of_the_same_server_is_not_overlooked(servers: Servers) -> None:
    with servers.taken("snow01"), servers.taken("snow01") as second:
        assert second.code == 7


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("unlink", "there is no record"),
        ("garbage", "cannot be read"),
        ("empty", "cannot be read"),
        ("backup", "was replaced"),
    ],
)
def test_a_record_that_is_lost_or_came_back_is_no_licence(servers: Servers, damage: str, says: str) -> None:
    """A backup of the folder that is put back says who had the image then, not now."""
    record = Path(f"{servers.image}.lease")
    if damage == "unlink":
        record.unlink()
    elif damage == "garbage":
        record.write_bytes(os.urandom(1024))
    elif damage == "empty":
        record.write_bytes(b"")
    else:
        copy = record.with_name("copy")
        copy.write_bytes(record.read_bytes())
        copy.replace(record)
    with servers.taken("snow02") as taken:
        assert taken.code == 7
        assert says in taken.err


def test_a_write_that_broke_off_leaves_the_record_of_before(servers: Servers) -> None:
    """A server loses its power in the middle of a write: nobody may be locked out for ever, or let in."""
    with servers.taken("snow01"):
        pass
    record = Path(f"{servers.image}.lease")
    content = bytearray(record.read_bytes())
    newest = 512 if b"gen=2" in content[512:] else 0
    content[newest + 100 : newest + 200] = bytes(100)
    record.write_bytes(bytes(content))
    assert servers.record().state == "free"


def test_a_record_of_a_later_version_is_not_passed_over(servers: Servers) -> None:
    """Two servers can have programs of two versions for a while: the older one must not go by the older half of the record."""
    with servers.taken("snow01"):
        pass
    record = Path(f"{servers.image}.lease")
    content = record.read_bytes()
    newest = 512 if b"gen=2" in content[512:] else 0
    record.write_bytes(content[:newest] + content[newest:].replace(b"snow-lease 1 ", b"snow-lease 2 ", 1))
    with servers.taken("snow01") as taken:
        assert taken.code == 7
        assert "cannot be read" in taken.err


FENCED = """<pacemaker-result api-version="2.38" request="stonith_admin --history snow01 --output-as=xml">
  <list name="fencing history" count="1">
    <fence_event action="{action}" target="{target}" client="pacemaker-controld.1" origin="snow02" status="{status}"
      delegate="snow02" completed="{when}"/>
  </list>
  <status code="0" message="OK"/>
</pacemaker-result>"""


def stamp(offset: int = 0) -> str:
    done = subprocess.run(
        ["date", "-u", "-d", f"{offset} seconds", "+%F %T.000000Z"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_fenced_server_loses_its_lease(servers: Servers) -> None:
    """Else its domains stay down."""
    with servers.taken("snow01"):
        pass
    servers.says("stonith_admin", FENCED.format(action="reboot", target="snow01", status="success", when=stamp()))
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err
    assert servers.record().server == "snow02"


def test_the_second_fencing_of_a_server_counts_as_the_first_did(servers: Servers) -> None:
    """Its domains stayed down until it had booted: without --verbose stonith_admin prints the oldest fencing alone."""
    with servers.taken("snow01"):
        pass
    event = {"action": "reboot", "target": "snow01", "status": "success"}
    old, both = (FENCED.format(**event, when=stamp(-900)), FENCED.format(**event, when=stamp()))
    servers.script("stonith_admin", f"case $* in *--verbose*) echo '{both}' ;; *) echo '{old}' ;; esac\n")
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err


@pytest.mark.parametrize(
    "event",
    [
        {"status": "failed"},
        {"status": "pending"},
        {"action": "on"},
        {"target": "snow02"},
        {"target": "snow011"},
    ],
)
def test_what_is_no_confirmed_fencing_of_the_holder_takes_nothing_away(servers: Servers, event: dict[str, str]) -> None:
    with servers.taken("snow01"):
        pass
    facts = {"action": "reboot", "target": "snow01", "status": "success", "when": stamp()} | event
    servers.says("stonith_admin", FENCED.format(**facts))
    with servers.taken("snow02") as taken:
        assert taken.code == 7, taken.err


def test_a_fencing_of_before_the_lease_takes_nothing_away(servers: Servers) -> None:
    """The server was fenced, came back, and has the image again: its domain would run twice."""
    servers.says("stonith_admin", FENCED.format(action="reboot", target="snow01", status="success", when=stamp(-60)))
    with servers.taken("snow01"):
        pass
    with servers.taken("snow02") as taken:
        assert taken.code == 7, taken.err


@pytest.mark.parametrize(("zone", "offset"), [("+01:00", 3600), ("-0530", -19800), (" +02:00", 7200)])
def test_a_fencing_is_read_in_any_time_zone(servers: Servers, zone: str, offset: int) -> None:
    """Pacemaker tells it in the server's local time."""
    with servers.taken("snow01"):
        pass
    when = stamp(offset).removesuffix("Z") + zone
    servers.says("stonith_admin", FENCED.format(action="off", target="snow01", status="success", when=when))
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err


def test_a_server_that_has_booted_since_loses_its_lease(servers: Servers) -> None:
    with servers.taken("snow01"):
        pass
    servers.says("ssh", f"snow01\n{NEXT_BOOT}")
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err


def test_a_server_that_answers_from_the_same_boot_keeps_it(servers: Servers) -> None:
    with servers.taken("snow01"):
        pass
    servers.says("ssh", f"snow01\n{BOOT['snow01']}")
    with servers.taken("snow02") as taken:
        assert taken.code == 7


@pytest.mark.parametrize("name", ["snow02", "snow011", "", "snow01 is not known\nsnow02"])
def test_another_machine_under_the_name_of_the_holder_proves_nothing(servers: Servers, name: str) -> None:
    """A wrong line in /etc/hosts took the image from a server that runs: each machine has another boot id."""
    with servers.taken("snow01"):
        pass
    servers.says("ssh", f"{name}\n{NEXT_BOOT}")
    with servers.taken("snow02") as taken:
        assert taken.code == 7


def test_the_next_boot_of_the_holder_itself_has_it_at_once(servers: Servers) -> None:
    with servers.taken("snow01"):
        pass
    with servers.taken("snow01", boot=NEXT_BOOT) as taken:
        assert taken.code == 0, taken.err


def test_a_lease_is_broken_by_hand_only_when_asked_for(servers: Servers) -> None:
    with servers.taken("snow01"):
        pass
    asked = servers.run("snow02", "break", str(servers.image))
    assert asked.code == 7
    assert "no terminal to ask on" in asked.err
    assert servers.record().server == "snow01"
    assert servers.run("snow02", "break", str(servers.image), "--yes").code == 0
    assert servers.record().state == "free"


def test_a_locked_image_gets_no_first_record(servers: Servers) -> None:
    """It was attached by something that knows of no leases."""
    Path(f"{servers.image}.lease").unlink()
    with servers.image.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = servers.run("snow01", "new", str(servers.image))
    assert refused.code == 7
    assert "is locked" in refused.err


def test_the_list_is_json_whatever_a_file_is_called(servers: Servers) -> None:
    strange = servers.folder / 'a "quoted"\\name'
    strange.write_bytes(b"")
    found = json.loads(servers.run("snow01", "list", str(strange)).out)
    assert found["records"] == [{"image": str(strange), "record": None}]


def test_what_is_attached_can_be_asked_where_the_program_is_not_installed(servers: Servers) -> None:
    """For a plan, which leaves nothing on a server."""
    done = subprocess.run(
        ["perl", "-", "list", str(servers.image)],
        input=server_program.text(),
        env=servers.environment("snow03", NEXT_BOOT),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert leases.parse(done.stdout).records == (servers.record(),)
    assert not (servers.folder / "run-snow03").exists()
    words = ["perl", "-", "list", str(servers.image)]
    assert is_read_only(words, server_program.text())
    assert not is_read_only(words, "unlink '/etc/passwd'")
    assert not is_read_only(["perl", "-", "new", str(servers.image)], server_program.text())


# the resource agent


@pytest.mark.parametrize(("state", "code"), [("-b----", 0), ("r-----", 0), ("------", 0), ("--p---", 0), ("----c-", 1)])
def test_monitor_says_what_the_hypervisor_says(servers: Servers, state: str, code: int) -> None:
    servers.says("xl", xl_list(row("deploy01", state)))
    assert agent(servers, "monitor").code == code


def test_monitor_says_not_running_only_when_the_hypervisor_answered(servers: Servers) -> None:
    servers.says("xl", xl_list(row("proxy01", "-b----")))
    assert agent(servers, "monitor").code == 7


@pytest.mark.parametrize(
    "xl", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nexec sleep 600\n", "#!/bin/sh\nexit 0\n", "#!/bin/sh\necho Name ID\n", ""]
)
def test_a_broken_xl_is_never_not_running(servers: Servers, xl: str) -> None:
    """Pacemaker would start the domain on another server while it runs here."""
    if xl:
        (servers.folder / "bin" / "xl").write_text(xl)
        (servers.folder / "bin" / "xl").chmod(0o755)
    for interval in ("0", "60000"):
        ended = agent(servers, "monitor", interval=interval)
        assert ended.code not in (0, 7), ended
        assert "ocf-exit-reason:it is unknown whether deploy01 runs here" in ended.err


def test_a_stop_that_cannot_be_proven_fails(servers: Servers) -> None:
    """Pacemaker fences then, and does not start a domain that may run."""
    (servers.folder / "bin" / "xl").write_text("#!/bin/sh\nexit 1\n")
    (servers.folder / "bin" / "xl").chmod(0o755)
    ended = agent(servers, "stop")
    assert ended.code == 1
    assert "ocf-exit-reason:it is unknown whether deploy01 runs here, so it is not stopped" in ended.err


@pytest.mark.parametrize("spelled", ["/", "//", "/./", "/.///./"])
def test_an_image_that_was_lent_to_a_bootloader_is_taken_back(servers: Servers, spelled: str) -> None:
    """An xl that is killed while pygrub looks for the kernel leaves the image attached to the server itself: the domain could be
    started nowhere, and its stop would end in a fencing."""
    target = f"{servers.folder}{spelled}{servers.image.name}"
    (servers.folder / "deploy01.cfg").write_text(
        f"name = 'deploy01'\nbootloader = 'pygrub'\n"
        f"disk = [ 'format=raw,vdev=xvda,access=rw,script=block-snow,target={target}' ]\n"
    )
    disks = servers.folder / "run-snow01/disks"
    disks.mkdir(parents=True, exist_ok=True)
    for number, image in (("51712", servers.image), ("51728", "/sNow/domains/web/web-disk")):
        note = f"image={image}\ndomain=Domain-0\nmode=w\nloop=\ndm=snow-0-{number}\nholder=\n"
        (disks / f"0-{number}").write_text(note)
    xl = servers.folder / "bin/xl"
    xl.write_text(
        f'#!/bin/sh\n[ "$1" != block-detach ] || {{ rm {disks}/"$2-$3"; exit; }}\ncat <<END\n{xl_list()}\nEND\n'
    )
    xl.chmod(0o755)
    ended = agent(servers, "stop", timeout="20000")
    assert ended.code == 0, ended.err
    assert [path.name for path in disks.iterdir()] == ["0-51728"]


def test_an_image_by_another_spelling_is_the_one_that_is_attached(servers: Servers) -> None:
    """The kernel names a loop device's file without doubled slashes: an attached image would get the record of one that nobody
    has, and one that a config spells so would be one that is not attached."""
    spelled = f"{servers.folder}//./{servers.image.name}"
    loop = f"*Snow::Loop::all = sub {{ return {{ loop7 => '{servers.image}' }} }};"
    (servers.folder / f"{servers.image.name}.lease").unlink()
    for image in (str(servers.image), spelled):
        done = servers.perl("snow01", loop, "new", image)
        assert (done.code, done.err) == (7, f"snow-lease: {servers.image} is attached on this server, by /dev/loop7\n")
    xenstore = f"""
        {{
            package Fake;
            sub read {{ return $_[1] =~ /params/ ? '{spelled}' : $_[1] =~ /mode/ ? 'w' : 'deploy01' }}
        }}
        *Snow::Xenstore::connect = sub {{ return bless {{}}, 'Fake' }};
        print Snow::Block::asked_for(Snow::Xenstore->connect, 'backend/vbd/3/51712', '3-51712')->{{image}}, "\n";
        exit 0;"""
    assert servers.perl("snow01", xenstore).out == f"{servers.image}\n"


def test_half_a_migration_is_not_not_running(servers: Servers) -> None:
    servers.says("xl", xl_list(row("deploy01--incoming", "--p---")))
    ended = agent(servers, "monitor")
    assert ended.code == 1
    assert "deploy01--incoming" in ended.err


def test_the_metadata_are_what_the_api_asks_for(servers: Servers) -> None:
    """Pacemaker refuses a resource whose agent's metadata it cannot read."""
    from lxml import etree

    root = etree.fromstring(agent(servers, "meta-data").out.encode())
    assert [parameter.get("name") for parameter in root.iterfind("parameters/parameter")] == ["xmfile", "name"]
    assert {action.get("name") for action in root.iterfind("actions/action")} >= {
        "start",
        "stop",
        "monitor",
        "migrate_to",
        "migrate_from",
        "meta-data",
        "validate-all",
    }
