"""Domain configs: read as xl reads them, and edited without losing a byte of what the administrator wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.site.domain_config import parse, parse_disk, render_disk, replace_disk, set_value
from snowha.site.model import Disk, Domain, Vif

CONFIG = """\
#
# Configuration file for the Xen instance debian, created
# by xen-tools 4.5 on Fri Oct  2 02:26:29 2015.
#

#
#  Kernel + memory size
#
kernel      = '/boot/vmlinuz-3.16.0-4-amd64'
extra       = 'elevator=noop'
ramdisk     = '/boot/initrd.img-3.16.0-4-amd64'

vcpus       = '1'
memory      = '128'

#
#  Disk device(s).
#
root        = '/dev/xvda2 ro'
disk        = [
                  'phy:/dev/snow_vg/debian-disk,xvda2,w',
                  'phy:/dev/snow_vg/debian-swap,xvda1,w',
              ]

#  Hostname
name        = 'debian'

#  Networking
vif         = [ 'ip=172.16.0.253 ,mac=00:01:02:03:04:05,bridge=xenbr0' ]

#  Behaviour
on_poweroff = 'destroy'
on_crash    = 'restart'
"""
PATH = "/sNow/snow-tools/etc/domains/debian.cfg"


def read(text: str) -> Domain:
    return parse(text, where="debian.cfg", path=PATH)


def test_the_config_of_xen_tools_is_read() -> None:
    assert read(CONFIG) == Domain(
        name="debian",
        config=PATH,
        memory_mib=128,
        vcpus=1,
        type="pv",
        kernel="/boot/vmlinuz-3.16.0-4-amd64",
        ramdisk="/boot/initrd.img-3.16.0-4-amd64",
        disks=(
            Disk("phy:/dev/snow_vg/debian-disk,xvda2,w", "/dev/snow_vg/debian-disk", "xvda2", backend="phy"),
            Disk("phy:/dev/snow_vg/debian-swap,xvda1,w", "/dev/snow_vg/debian-swap", "xvda1", backend="phy"),
        ),
        vifs=(Vif("xenbr0", "00:01:02:03:04:05", "172.16.0.253"),),
        root_vdev="xvda2",
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [("type='pvh'", "pvh"), ('type = "hvm"', "hvm"), ("builder='hvm'", "hvm"), ("builder='generic'", "pv"), ("", "pv")],
)
def test_the_type_is_what_xl_would_build(line: str, kind: str) -> None:
    assert read(f"{CONFIG}{line}\n").type == kind


def test_numbers_need_no_quotes_and_the_last_setting_counts() -> None:
    domain = read(CONFIG + 'memory = 256; vcpus=2\ndisk += ["/dev/vg/home,,xvda3"]\n')
    assert (domain.memory_mib, domain.vcpus, len(domain.disks)) == (256, 2, 3)


def test_a_domain_with_two_cards_and_several_addresses_is_read() -> None:
    text = CONFIG + "vif = [ 'ip=10.0.0.1 10.0.0.2, mac=00:16:3e:00:00:01, bridge=xsnow0', 'bridge=xpub0' ]\n"
    assert read(text).vifs == (Vif("xsnow0", "00:16:3e:00:00:01", "10.0.0.1 10.0.0.2"), Vif("xpub0"))


def test_the_root_device_is_found_in_the_command_line_too() -> None:
    text = CONFIG.replace("root        =", "#").replace("elevator=noop", "quiet root=/dev/xvda2 ro")
    assert read(text).root_vdev == "xvda2"


@pytest.mark.parametrize("key", ["name", "memory", "disk"])
def test_a_config_without_what_a_domain_needs_says_what_is_missing(key: str) -> None:
    with pytest.raises(InputError, match=key):
        read(CONFIG.replace(f"\n{key} ", f"\nnot_{key} "))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("'debian'", "'a;reboot'", 26),
        ("'debian'", "'../../etc'", 26),
        ("'debian'", "'debian", 26),
        ("'debian'", "debian", 26),
        ("'128'", "'many'", 14),
        ("'128'", "'0128'", 14),
        ("'128'", "'128' 'x'", 14),
        ("'/boot/vmlinuz-3.16.0-4-amd64'", "'/boot/../x'", 9),
        ("/dev/snow_vg/debian-swap", "/dev/snow_vg/../sda", 22),
        ("xvda1", "xvda2", 22),
        ("              ]", "", 26),
        ("00:01:02:03:04:05", "00:01", 29),
        ("172.16.0.253", "172.16.0.2530", 29),
        ("bridge=xenbr0", "bridge=$(id)", 29),
        ("on_crash    =", "on_crash", 33),
    ],
)
def test_a_mistake_is_refused_with_file_and_line(old: str, new: str, line: int) -> None:
    assert old in CONFIG
    with pytest.raises(InputError) as caught:
        read(CONFIG.replace(old, new))
    assert caught.value.where == f"debian.cfg:{line}"
    assert caught.value.remedy


def test_a_contradiction_that_xl_refuses_is_refused_before_the_domain_is_shut_down() -> None:
    with pytest.raises(InputError, match="contradicts"):
        read("type='pvh'\nbuilder='generic'\n" + CONFIG)


IMAGE = "/sNow/domains/debian/debian-disk"


@pytest.mark.parametrize(
    ("spec", "backend"),
    [
        (f"phy:{IMAGE},xvda2,w", "phy"),
        (f"file:{IMAGE},xvda2,w", "file"),
        (f"tap:aio:{IMAGE},xvda2,w", "tap"),
        (f"raw:{IMAGE},xvda2,w", ""),
        (f"{IMAGE},raw,xvda2,rw", ""),
        (f"{IMAGE},,xvda2", ""),
        (f"format=raw, vdev=xvda2, access=rw, target={IMAGE}", ""),
        (f"vdev=xvda2,backendtype=qdisk,target={IMAGE}", "qdisk"),
        (f"{IMAGE},vdev=xvda2,format=raw,w", ""),
    ],
)
def test_every_spelling_of_a_disk_is_the_same_disk(spec: str, backend: str) -> None:
    assert parse_disk(spec) == Disk(spec, IMAGE, "xvda2", backend=backend)


def test_the_block_script_and_other_words_are_carried_over() -> None:
    disk = parse_disk(f"discard,format=raw,vdev=xvda2,access=ro,script=block-snow,target={IMAGE}")
    assert (disk.script, disk.access, disk.options) == ("block-snow", "r", ("discard",))
    assert render_disk(disk) == f"format=raw,vdev=xvda2,access=ro,discard,script=block-snow,target={IMAGE}"


def test_an_empty_cd_drive_is_no_missing_volume() -> None:
    assert parse_disk(",,hdc:cdrom").target == ""
    assert "cdrom" in parse_disk("/root/image.iso,,hdc,cdrom").options


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "phy:/dev/vg/x",
        "/x,raw,xvda2,rw,extra",
        "phy:vg/x,xvda2,w",
        "iscsi:iqn.x,xvda2,w",
        "/x,raw,xvda2,sometimes",
        "/x,floppy,xvda2,w",
        "vdev=xvda2,tarjet=/x",
        "vdev=xvda2,vdev=xvda3,target=/x",
        "vdev=xvda2,target=/x,w",
        "vdev=xvda2,target=/a b",
        "vdev=x;y,target=/x",
        "vdev=xvda2,script=../../x,target=/x",
        "vdev=xvda2,script=-x,target=/x",
        ",,xvda2,w",
    ],
)
def test_a_disk_that_xl_would_refuse_or_read_otherwise_is_refused(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_disk(spec, where="x.cfg:3")
    assert caught.value.where == "x.cfg:3"


@given(
    target=st.from_regex(r"\A(?:/[a-z0-9_-]{1,8}){1,4}\Z"),
    vdev=st.sampled_from(["xvda", "xvda2", "hdc", "sdb1"]),
    access=st.sampled_from(["r", "w"]),
    script=st.sampled_from([None, "block-snow"]),
    backend=st.sampled_from(["", "qdisk"]),
)
def test_a_rendered_disk_is_the_disk(target: str, vdev: str, access: str, script: str | None, backend: str) -> None:
    disk = Disk("", target, vdev, "r" if access == "r" else "w", backend=backend, script=script)
    spec = render_disk(disk)
    assert parse_disk(spec) == replace(disk, spec=spec)


def test_the_migration_changes_one_line_for_a_disk_and_adds_one_for_the_type() -> None:
    old = "phy:/dev/snow_vg/debian-disk,xvda2,w"
    new = f"format=raw,vdev=xvda2,access=rw,script=block-snow,target={IMAGE}"
    edited = set_value(replace_disk(CONFIG, old, new), "type", "pvh")
    assert edited == CONFIG.replace(old, new).replace("kernel      =", "type        = 'pvh'\nkernel      =")
    assert read(edited).type == "pvh"
    assert replace_disk(edited, old, new) == edited
    assert set_value(edited, "type", "pvh") == edited


def test_a_commented_disk_is_not_the_one_replaced() -> None:
    old = "phy:/dev/snow_vg/debian-disk,xvda2,w"
    text = f"# disk = [ '{old}' ]\n{CONFIG}"
    edited = replace_disk(text, old, "phy:/dev/snow_vg/new,xvda2,w")
    assert edited.startswith(f"# disk = [ '{old}' ]\n")
    assert read(edited).disks[0].name == "new"


def test_a_disk_that_is_gone_is_not_replaced_silently() -> None:
    with pytest.raises(InputError):
        replace_disk(CONFIG, "phy:/dev/vg/other,xvda2,w", "phy:/dev/vg/new,xvda2,w")


@pytest.mark.parametrize("front", ["builder='generic'\n", "builder = 'generic'\ntype = 'pv'\n", "type='pv'\n"])
def test_the_type_can_be_changed_without_a_contradiction(front: str) -> None:
    edited = set_value(front + CONFIG, "type", "pvh")
    assert read(edited).type == "pvh"
    assert edited.endswith(CONFIG)
    assert set_value(edited, "type", "pvh") == edited


def test_windows_line_endings_and_a_missing_last_one_survive() -> None:
    text = CONFIG.replace("\n", "\r\n").rstrip()
    assert read(text) == read(CONFIG)
    assert set_value(text, "memory", 256) == text.replace("'128'", "'256'")
    assert set_value(text, "type", "pvh") == text.replace("kernel  ", "type        = 'pvh'\r\nkernel  ")


LINES = st.sampled_from(
    ["# don't = [", "", "a = 'x'", "b=2 # c", "disk = [ 'p,q', # r\n 'd' ]", "c = [ ]", '\td = "\'";e=1']
)


@given(
    before=st.lists(LINES),
    after=st.lists(LINES),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    old=st.sampled_from(["'x'", '"y"', "17", "'it\\'s'"]),
)
def test_bytes_outside_the_value_never_change(before: list[str], after: list[str], value: str, old: str) -> None:
    head, tail = "".join(f"{line}\n" for line in before), "".join(f"\n{line}" for line in after)
    edited = set_value(f"{head}extra = {old}{tail}", "extra", value)
    assert edited.startswith(f"{head}extra = ")
    assert edited.endswith(tail)
    assert set_value(edited, "extra", value) == edited
    minimal = f"{edited}\nname='n'\nmemory=1\ndisk=['/x,,xvda']\n"
    assert read(minimal).name == "n"


@given(st.text(st.sampled_from("a='\"[],#;\n \\+1"), max_size=40))
def test_no_file_makes_the_reader_loop_or_crash(text: str) -> None:
    with pytest.raises(InputError):
        read(text)
