"""Records that are lost, left behind or half written, and storage that is full or forgets locks: the real program and real locks.

What only a kernel with Xen has (a domain's devices) is put in the place of the program's own part.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from lease_servers import BOOT, Servers
from test_server_program import FENCED, stamp

FULL = {"an error": "trap '' XFSZ; ulimit -f 0;", "the end of the process": "ulimit -f 0;"}
"""What makes every write to a file fail, or end the process in the middle of it."""


def record_of(image: Path) -> Path:
    return Path(f"{image}.lease")


def beside(image: Path) -> list[str]:
    """Files of the record, and of what was to become one."""
    return sorted(path.name for path in image.parent.glob(f"{image.name}.lease*"))


@pytest.mark.parametrize("limit", FULL.values(), ids=FULL)
def test_a_first_record_is_whole_or_not_there(servers: Servers, limit: str) -> None:
    """On storage that is full an empty record stayed: nobody could attach the image, nor write another record."""
    fresh = servers.folder / "fresh"
    fresh.write_bytes(bytes(4096))
    script = servers.folder / "limited"
    script.write_text(f'#!/bin/sh\n{limit} exec {servers.program} "$@"\n')
    script.chmod(0o755)
    failed = servers.run("snow01", "new", str(fresh), name="limited")
    assert failed.code not in (0, 2)
    assert not record_of(fresh).exists()
    assert servers.run("snow01", "new", str(fresh)).code == 0
    assert record_of(fresh).stat().st_size == 1024
    again = servers.run("snow02", "new", str(fresh))
    assert again.code == 7 and "is there already" in again.err


def test_nothing_is_left_beside_a_record_that_could_not_be_made(servers: Servers) -> None:
    """The folder of the images would fill with files that nobody knows."""
    fresh = servers.folder / "fresh"
    fresh.write_bytes(bytes(4096))
    script = servers.folder / "limited"
    script.write_text(f'#!/bin/sh\n{FULL["an error"]} exec {servers.program} "$@"\n')
    script.chmod(0o755)
    assert "cannot be written" in servers.run("snow01", "new", str(fresh), name="limited").err
    assert servers.run("snow01", "new", str(fresh)).code == 0
    assert servers.run("snow01", "new", str(fresh)).code == 7
    assert beside(fresh) == ["fresh.lease"]


@pytest.mark.parametrize("limit", FULL.values(), ids=FULL)
def test_a_lease_that_cannot_be_written_is_nobodys(servers: Servers, limit: str) -> None:
    """A server would have an image of which the record says that it is free, or the record be lost."""
    with servers.copying("snow01", servers.image, limit=limit) as (taken, _):
        assert taken.code != 0
        assert servers.record().state == "free"
    with servers.taken("snow02") as other:
        assert other.code == 0, other.err


def test_a_record_that_is_replaced_while_its_lock_is_waited_for_is_read_anew(servers: Servers) -> None:
    """The lease would be written into a file that nobody reads any more, and a second server take it from the new one."""
    record = record_of(servers.image)
    replacing = f"""
    my $flock = \\&Snow::Record::_open_there; my $times = 0;
    *Snow::Record::_open_there = sub {{
        my $file = $flock->(@_);
        if (!$times++) {{ rename '{record}', '{record}.old'; Snow::Record::create('{servers.image}') }}
        return $file;
    }};"""
    with servers.image.open("r+b") as file:
        code = "Snow::Record::with($ARGV[0], 5, sub { $_[1]->(%{Snow::Disk::me()}, state => 'held') }); exit 0;"
        done = servers.perl("snow01", replacing + code, str(servers.image))
        assert done.code == 0, done.err
        assert file.readable() and servers.record("snow02").server == "snow01"


def test_a_server_is_seen_to_be_fenced_though_the_storage_takes_no_new_file(servers: Servers) -> None:
    """Storage that is full when a server is lost: its domains would stay down, since "now" is the time of a new file there.

    Here its name would be too long."""
    long = servers.folder / ("x" * 245)
    with servers.taken("snow01"):
        pass
    record_of(servers.image).rename(record_of(long))
    servers.image.rename(long)
    servers.says("stonith_admin", FENCED.format(action="off", target="snow01", status="success", when=stamp()))
    done = servers.run("snow02", "fenced", str(long))
    assert (done.code, done.out) == (0, "gone: snow01\n")


# copies


def test_a_copy_that_was_killed_is_told_and_freed_on_its_own_server(servers: Servers) -> None:
    """The record said for ever that the image is being copied, and no other server could have it."""
    with servers.copying("snow01", servers.image) as (taken, process):
        assert taken.code == 0, taken.err
        assert servers.record("snow01").process == "alive" and not servers.record("snow01").is_left
        refused = servers.run("snow01", "give", str(servers.image))
        assert refused.code == 7 and f"a copy (process {process.pid}) of this server has it open" in refused.err
        process.kill()
        process.wait()
        assert servers.record("snow01").is_left
    assert not servers.record("snow02").is_left  # another server cannot tell
    with servers.taken("snow02") as other:
        assert other.code == 7
        assert f"if that copy has ended: snow-lease give {servers.image}, on snow01" in other.err
    elsewhere = servers.run("snow02", "give", str(servers.image))
    assert elsewhere.code == 7 and "snow01 has it open for a copy" in elsewhere.err
    assert servers.run("snow01", "give", str(servers.image)).code == 0
    with servers.taken("snow02") as taken:
        assert taken.code == 0, taken.err


def test_a_copy_has_what_it_has_copied_already(servers: Servers) -> None:
    """A copy of several images renames each when it is done, and then locks it no more: a second copy on the same server took it,
    and lost it when the first one gave its own back."""
    with servers.copying("snow01", servers.image) as (taken, process):
        assert taken.code == 0, taken.err
        fresh = servers.folder / "fresh"
        fresh.write_bytes(bytes(4096))
        fresh.rename(servers.image)
        assert not locked(servers.image)
        with servers.taken("snow01") as second:
            assert second.code == 7 and f"a copy (process {process.pid}) of this server" in second.err
        assert servers.record("snow01").process == "alive"


def locked(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_copy_by_an_older_program_is_known_by_its_lock(servers: Servers) -> None:
    """Its record names no process; while an update is under way it must not be taken for one that has ended."""
    with servers.taken("snow01"):
        pass
    older = "Snow::Record::with($ARGV[1], 5, sub { $_[1]->(disk => '') }); exit 0;"
    assert servers.perl("snow01", older, "list", str(servers.image)).code == 0
    with servers.image.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert servers.record("snow01").process == "alive"
        assert servers.run("snow01", "give", str(servers.image)).code == 7
    assert servers.record("snow01").process == "gone"
    assert servers.run("snow01", "give", str(servers.image)).code == 0


def test_of_several_images_none_is_kept_if_one_is_refused(servers: Servers) -> None:
    """The engine ended, and the record of the first said for ever that it is being copied."""
    first = servers.folder / "first"
    first.write_bytes(bytes(4096))
    assert servers.run("snow02", "new", str(first)).code == 0
    with servers.taken("snow01"), first.open("r+b") as one, servers.image.open("r+b") as two:
        fds = (one.fileno(), two.fileno())
        words = [str(first), "--fd", str(fds[0]), str(servers.image), "--fd", str(fds[1])]
        both = servers.run("snow02", "take", *words, fds=fds)
    assert both.code == 7 and "snow01 has it open" in both.err
    assert 'state": "free"' in servers.run("snow01", "list", str(first)).out


def test_a_copy_says_when_a_lost_server_has_the_lock_still(servers: Servers) -> None:
    """Its record said that it has the lock, and it had none."""
    with servers.taken("snow01"):
        pass
    servers.says("stonith_admin", FENCED.format(action="off", target="snow01", status="success", when=stamp()))
    with servers.image.open("r+b") as lost:
        fcntl.flock(lost, fcntl.LOCK_EX)
        with servers.taken("snow02") as taken:
            assert taken.code == 0, taken.err
            assert (servers.record().server, servers.record().lock) == ("snow02", "pending")


# disks

HELD = "Snow::Record::create($ARGV[1], %{Snow::Disk::me()}, state => 'held', kind => 'disk', lock => 'yes', disk => '3-51714');"


def test_a_lock_that_the_storage_has_forgotten_is_told(servers: Servers) -> None:
    """Two servers would be kept apart by a record alone, and nobody know."""
    record_of(servers.image).unlink()
    assert servers.perl("snow01", HELD, "list", str(servers.image)).code == 0
    with servers.image.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert servers.record("snow02").locked == ""
    assert servers.record("snow02").locked == "no"
    assert servers.record("snow01").locked == ""  # its own lock says nothing of the storage


def devices(image: Path, *, suspended: bool = False, loop: str = "") -> str:
    """A domain's disk as this kernel would show it."""
    return f"""
    *Snow::Mapper::status = sub {{ return {{ flags => 0 }} }};
    *Snow::Mapper::is_suspended = sub {{ return {int(suspended)} }};
    *Snow::Loop::all = sub {{ return {{ loop7 => '{loop or image}' }} }};
    Snow::Common::make_run('disks');
    Snow::Disk::note({{ id => '3-51714', image => '{image}', domain => 'deploy01', mode => 'w', loop => 'loop7',
        dm => 'snow-3-51714' }});
    """


def test_a_lost_record_is_written_anew_by_the_server_that_has_the_lock(servers: Servers) -> None:
    """Nothing could mend it: the domain could not be started or migrated any more, and every run reported it."""
    record_of(servers.image).unlink()
    with servers.image.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = servers.perl("snow01", devices(servers.image), "adopt", str(servers.image))
        assert done.code == 0, done.err
        record = servers.record("snow02")
        assert (record.state, record.server, record.boot) == ("held", "snow01", BOOT["snow01"])
        assert (record.domain, record.kind, record.lock) == ("deploy01", "disk", "yes")
        with servers.taken("snow02") as other:
            assert other.code == 7 and "snow01 has it open for deploy01" in other.err
        before = record_of(servers.image).read_bytes()
        assert servers.perl("snow01", devices(servers.image), "adopt", str(servers.image)).code == 0
        assert record_of(servers.image).read_bytes() == before


@pytest.mark.parametrize(
    ("how", "is_locked", "says"),
    [
        ({}, False, "is not locked by this server"),
        ({"suspended": True}, True, "is being migrated: its disk is suspended"),
        ({"loop": "/other"}, True, "is no device of"),
    ],
    ids=["no lock", "a migration", "another device"],
)
def test_a_server_that_proves_nothing_writes_no_record(
    servers: Servers, how: dict[str, object], is_locked: bool, says: str
) -> None:
    """The other server may have the image: two would have it, each with a right to it."""
    record_of(servers.image).unlink()
    with servers.image.open("r+b") as file:
        if is_locked:
            fcntl.flock(file, fcntl.LOCK_EX)
        done = servers.perl("snow01", devices(servers.image, **how), "adopt", str(servers.image))  # type: ignore[arg-type]
    assert done.code == 7 and says in done.err
    assert beside(servers.image) == []


def test_a_record_that_is_there_is_not_written_over(servers: Servers) -> None:
    """Whoever holds the lock of an image that was handed over to another server just now would take it back."""
    record_of(servers.image).unlink()
    assert servers.perl("snow02", HELD, "list", str(servers.image)).code == 0
    before = record_of(servers.image).read_bytes()
    with servers.image.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = servers.perl("snow01", devices(servers.image), "adopt", str(servers.image))
    assert done.code == 7 and "has a record: snow02 has it open" in done.err
    assert record_of(servers.image).read_bytes() == before


NO_DEVICE = "*Snow::Mapper::status = *Snow::Mapper::is_suspended = *Snow::Mapper::_ask = sub { return };"


def test_what_a_killed_attachment_has_taken_is_given_back(servers: Servers) -> None:
    """libxl ends a script that is too slow. A lease stayed, or a device that nothing knew, which got this server fenced."""
    attach = (
        NO_DEVICE
        + """
    *Snow::Loop::configure = sub { kill 'KILL', $$ };
    Snow::Common::make_run('disks');
    Snow::Disk::attach({ id => '3-51714', image => $ARGV[0], mode => 'w', domain => 'deploy01' });"""
    )
    killed = servers.perl("snow01", attach, str(servers.image))
    assert killed.code == -9, killed.err
    assert servers.record("snow02").server == "snow01"
    remove = (
        NO_DEVICE
        + """
    exit Snow::Block::_remove('backend', '3-51714');"""
    )
    assert servers.perl("snow01", remove).code == 0
    assert servers.record("snow02").state == "free"
    assert list((servers.folder / "run-snow01/disks").iterdir()) == []


def test_a_refused_attachment_is_not_noted(servers: Servers) -> None:
    """It would be shown as attached, and a stop would wait for it."""
    attach = (
        NO_DEVICE
        + """
    Snow::Common::make_run('disks');
    $Snow::Disk::RESTART_S = 0;
    eval { Snow::Disk::attach({ id => '3-51714', image => $ARGV[0], mode => 'w', domain => 'deploy01' }) };
    print STDERR $@;
    exit 1;"""
    )
    with servers.taken("snow01"):
        refused = servers.perl("snow02", attach, str(servers.image))
    assert "snow01 has it open for a copy" in refused.err and "on snow01" in refused.err
    assert list((servers.folder / "run-snow02/disks").iterdir()) == []


def test_a_domain_that_goes_on_after_a_failed_migration_gets_its_disk_back(servers: Servers) -> None:
    """Its holder died when the record could not say that the lock is there again, and the domain hung for good."""
    record_of(servers.image).unlink()
    go_on = """
    my $changes = 0;
    my $change = \\&Snow::Holder::_change;
    *Snow::Holder::_change = sub { die "no space\\n" if $changes++; return $change->(@_) };
    *Snow::Holder::domain_state = sub { return 'running' };
    *Snow::Disk::freeze = sub { print "frozen\\n" };
    *Snow::Disk::thaw = sub { print "thawed\\n" };
    sysopen(my $file, $ARGV[1], 2) or die;
    Snow::Record::lock_image($file);
    print Snow::Holder::_hand_over({ id => '3-51714', image => $ARGV[1], domain => 'deploy01' }, $file, '/local/domain/3'), "\\n";
    exit 0;"""
    done = servers.perl("snow01", HELD + go_on, "list", str(servers.image))
    assert done.out == "frozen\nthawed\npending\n", done.err
    record = servers.record("snow02")
    assert (record.state, record.server, record.lock) == ("held", "snow01", "pending")


def test_the_record_is_read_while_a_lost_server_has_its_lock(servers: Servers) -> None:
    """Who has an image could not be seen for up to 90 s after a server was lost, and nothing be started that long."""
    with record_of(servers.image).open("r+b") as lost:
        fcntl.flock(lost, fcntl.LOCK_EX)
        assert servers.record("snow02").state == "free"


def test_a_record_that_the_storage_does_not_give_is_not_called_damaged(servers: Servers) -> None:
    """After a server of NFS was replaced (ESTALE), or with a bad block, it was said to be no record, with the command that breaks
    the lease: of an image that another server has."""
    record_of(servers.image).unlink()
    record_of(servers.image).mkdir()  # which can be opened, and not be read
    read = "Snow::Record::_read(Snow::Record::_open_there($ARGV[0], 0), $ARGV[0])"
    done = servers.perl("snow02", f"eval {{ {read} }}; print STDERR $@; exit 1;", str(servers.image))
    assert done.err.endswith("deploy01-disk.lease cannot be read: Is a directory\n"), done.err


def test_the_inode_in_the_record_is_its_own(servers: Servers) -> None:
    """It is linked to its name when it is whole: a record that was not this file would be refused by every server."""
    assert f"self={record_of(servers.image).stat().st_ino} ".encode() in record_of(servers.image).read_bytes()


def test_a_record_is_forgotten_only_if_nobody_has_the_image(servers: Servers) -> None:
    """`snow ha undo` removed the record of an image that a server has open, and the next one attached it as well."""
    with servers.taken("snow01"):
        refused = servers.run("snow02", "forget", str(servers.image))
        assert refused.code == 7 and "snow01 has it open for a copy" in refused.err
        assert record_of(servers.image).exists()
    assert servers.run("snow01", "give", str(servers.image)).code == 0
    assert servers.run("snow02", "forget", str(servers.image)).code == 0
    assert beside(servers.image) == []
    assert servers.run("snow02", "forget", str(servers.image)).code == 0


@pytest.mark.parametrize(("domain", "code"), [("deploy01", "tentative yes"), ("slurm01", "")])
def test_an_image_is_handed_over_to_its_own_domain_only(servers: Servers, domain: str, code: str) -> None:
    """A domain whose config names another one's image, and that is migrated at that moment, got it."""
    record_of(servers.image).unlink()
    offered = HELD.replace("'held'", "'offered', domain => 'deploy01'")
    assert servers.perl("snow01", offered, "list", str(servers.image)).code == 0
    arrive = f"""
    $Snow::Disk::MIGRATION_S = 0;
    my (undef, @found) = eval {{
        Snow::Disk::lease($ARGV[0], id => '4-51714', mode => 'w', incoming => 1, domain => '{domain}') }};
    print "@found"; print STDERR $@; exit 0;"""
    done = servers.perl("snow02", NO_DEVICE + arrive, str(servers.image))
    assert done.out == code, done.err
    assert ("is being handed over for deploy01" in done.err) is (not code)
