"""What the program on the servers reads of a domain's config: an image that it overlooks is started without a proof that nobody
else has it, and one that is another's keeps a stop from ending, for which the server is fenced."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from snowha.site import domain_config
from snowha.xen import server_program

IMAGE = "format=raw,vdev=xvda2,access=rw,script=block-snow,target=/sNow/domains/web/web-disk"
SECOND = "format=raw,vdev=xvdb,access=rw,discard,script=block-snow,target=/sNow/domains/web/data-xvdb"
SHAPES = [
    f"disk = [ '{IMAGE}' ]\n",
    f"disk = [ '{IMAGE}' ]\ndisk += [ '{SECOND}' ]\n",
    f"disk = [ 'phy:/dev/vg/old,xvda2,w' ]\ndisk = [\n  '{IMAGE}', # the first\n  \"{SECOND}\",\n]\n",
    f"extra = 'a#b'; disk = [ '{IMAGE}' ]\n",
    f"# disk = [ '{SECOND}' ]\ndisk = [ '{IMAGE}' ]  # '{SECOND}'\n",
    f"disk = [ '{IMAGE}', ',hdc:cdrom,r', '/srv/i.iso,,hdd,cdrom', 'file:/srv/j.iso,hdb:cdrom,r' ]\n",
    f"disk = [ '{IMAGE}', 'vdev=hdc,devtype=cdrom,target=/srv/a]b.iso' ]\n",
    f"disk = [ '{IMAGE}', 'format=raw,vdev=xvdc,access=ro,script=block-snow,target=/sNow/domains/shared/base' ]\n",
    "disk = [ 'phy:/dev/vg/local,xvda1,w', 'file:/srv/x.img,ioemu:hda,w', '/srv/y.img,raw,xvdd,rw', '/srv/z,,xvde,r' ]\n",
    "disk = [ ]\nroot = '/dev/nfs'\n",
    "",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_finds_the_images_that_the_domain_writes_to_and_no_other(tmp_path: Path, shape: str) -> None:
    config = tmp_path / "web.cfg"
    config.write_text(f'name = "web.example"\nmemory = 128\n{shape}')
    domain = domain_config.parse(config.read_text(), where="web.cfg", path="/web.cfg")
    program, main, _ = server_program.text().rpartition("\npackage main;")
    assert main
    ask = 'my ($read, $why) = Snow::Host::config($ARGV[0]); print join "\\n", $read->{name}, @{ $read->{images} };'
    (tmp_path / "ask.pl").write_text(f"{program}\n{ask}\n")
    words = ["perl", str(tmp_path / "ask.pl"), str(config)]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")
    assert said == ["web.example", *(disk.target for disk in domain.moved_disks if disk.access == "w")]
