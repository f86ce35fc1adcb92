"""Leases that are taken from a server that is gone: what proves that it is, and whose the lock is that is still there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from lease_servers import BOOT, Servers
from test_server_program import FENCED, stamp

ATTACH = """
    $Snow::Disk::RESTART_S = 0;
    Snow::Common::make_run('disks', 'over');
    *Snow::Mapper::status = sub { return };
    *Snow::Mapper::create = sub { return (253, 1) };
    *Snow::Loop::configure = sub { return (undef, 'loop77') };
    my %disk = (id => '5-51714', image => $ARGV[0], mode => 'w', domain => 'deploy01');
    print eval { join ' ', (Snow::Disk::attach(\\%disk))[1, 2] } // '';
    print STDERR $@;
    exit 0;"""
LOST = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("proof", ["fenced before", "fenced, and its time is kept", "booted", "a link"])
def test_a_server_that_is_gone_is_not_the_one_that_has_the_lock(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, proof: str
) -> None:
    """A record came back from a backup in its old file's inode (ext4 reuses it at once), or belongs to a link to the image. It
    names a server that is gone, and the image is open on another one: it was attached twice, with the lock as "pending"."""
    monkeypatch.setitem(BOOT, "snow03", "44444444-4444-4444-4444-444444444444")
    image, record = servers.image, Path(f"{servers.image}.lease")
    with servers.taken("snow01", boot=LOST):
        kept = record.read_bytes()
    servers.says("ssh", f"snow01\n{BOOT['snow01']}")
    with servers.taken("snow02"):
        if proof == "a link":
            image = servers.folder / "link"
            image.symlink_to(servers.image)
            held = "state => 'held', server => 'snow01', boot => $ARGV[1], kind => 'disk'"
            code = f"Snow::Record::create($ARGV[0], {held}); exit 0;"
            assert servers.perl("snow01", code, str(image), LOST).code == 0
            servers.says("stonith_admin", FENCED.format(action="off", target="snow01", status="success", when=stamp()))
        else:
            record.write_bytes(kept)
        if "fenced" in proof:
            event = FENCED.format(action="off", target="snow01", status="success", when=stamp(-60))
            servers.says("stonith_admin", event)
        if "kept" in proof:
            os.utime(record, (time.time() - 120,) * 2)
        servers.run("snow03", "fenced", str(image))
        with image.open("r+b") as file:
            done = servers.run("snow03", "take", str(image), "--fd", str(file.fileno()), fds=(file.fileno(),))
        assert done.code == 7, done.err
        attached = servers.perl("snow03", ATTACH, str(image))
        assert "it is locked, and its record says something else: snow01 has it open" in attached.err
    assert servers.perl("snow03", ATTACH, str(image)).out == "inherit yes"


def test_a_target_that_was_fenced_is_gone_though_its_source_has_ended_since(servers: Servers) -> None:
    """It lost its power with the lease half handed over. What the source wrote when it ended looked like a later claim of the
    target: the domain could be started nowhere until that server had booted again."""
    half = """
    my %half = (state => 'tentative', to => 'snow02', toboot => $ARGV[1], disk => '7-51714', lock => 'yes', claim => time - 80);
    Snow::Record::with($ARGV[0], 5, sub { $_[1]->(%{Snow::Disk::me()}, %half, domain => 'deploy01') });
    *Snow::Record::_read = do {
        my $read = \\&Snow::Record::_read;
        sub { my $record = $read->(@_); $record->{changed} -= 70; return $record }
    };
    Snow::Disk::release({ id => '3-51714', image => $ARGV[0] });
    exit 0;"""
    assert servers.perl("snow01", half, str(servers.image), BOOT["snow02"]).code == 0
    servers.script("ssh", "exit 255")
    servers.says("stonith_admin", FENCED.format(action="off", target="snow02", status="success", when=stamp(-60)))
    assert "gone: snow02" in servers.run("snow01", "fenced", str(servers.image)).out
    with servers.taken("snow01") as taken:
        assert taken.code == 0, taken.err


def test_a_target_that_was_fenced_before_it_had_the_lease_is_not_gone(servers: Servers) -> None:
    """It has booted since, and has the half of the lease that counts."""
    half = """
    my %half = (state => 'tentative', to => 'snow02', toboot => $ARGV[1], disk => '7-51714', lock => 'yes', claim => time - 80);
    Snow::Record::with($ARGV[0], 5, sub { $_[1]->(%{Snow::Disk::me()}, %half, domain => 'deploy01') });
    Snow::Disk::release({ id => '3-51714', image => $ARGV[0] });
    exit 0;"""
    assert servers.perl("snow01", half, str(servers.image), BOOT["snow02"]).code == 0
    servers.script("ssh", "exit 255")
    servers.says("stonith_admin", FENCED.format(action="off", target="snow02", status="success", when=stamp(-60)))
    assert servers.run("snow01", "fenced", str(servers.image)).code == 1
