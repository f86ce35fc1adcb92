"""Domain configs: read as xl reads them, and edited without losing a byte of what the administrator wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.site.disk_spec import unmovable
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


@pytest.mark.parametrize("line", ["type=''", "builder=''", "builder='linux'", "type='PV'"])
def test_a_type_that_xl_refuses_or_takes_for_hvm_is_refused(line: str) -> None:
    """A domain whose type was left empty became HVM in xl and PV here."""
    with pytest.raises(InputError, match=r"unknown (type|builder)"):
        read(f"{CONFIG}{line}\n")


def test_numbers_need_no_quotes_and_the_last_setting_counts() -> None:
    domain = read(CONFIG + 'memory = 256; vcpus=2\ndisk += ["/dev/vg/home,,xvda3"]\n')
    assert (domain.memory_mib, domain.vcpus, len(domain.disks)) == (256, 2, 3)


def test_a_domain_with_two_cards_and_several_addresses_is_read() -> None:
    text = CONFIG + "vif = [ 'ip=10.0.0.1 10.0.0.2, mac=00:16:3e:00:00:01, bridge=xsnow0', 'bridge=xpub0' ]\n"
    assert read(text).vifs == (Vif("xsnow0", "00:16:3e:00:00:01", "10.0.0.1 10.0.0.2"), Vif("xpub0"))
    assert read(text).addresses == ("10.0.0.1", "10.0.0.2")


def test_the_root_device_is_found_in_the_command_line_too() -> None:
    text = CONFIG.replace("root        =", "#").replace("elevator=noop", "quiet root=/dev/xvda2 ro")
    assert read(text).root_vdev == "xvda2"


@pytest.mark.parametrize(
    ("lines", "root"),
    [
        ("root = '/dev/xvda1 ro'\nextra = 'quiet'\n", "xvda1"),
        ("root = '/dev/xvda1'\nextra = 'root=/dev/xvda2'\n", "xvda2"),
        ("root = '/dev/xvda1'\ncmdline = 'root=/dev/xvda2 ro'\n", "xvda2"),
        ("extra = 'root=/dev/xvda1 root=UUID=1-2'\n", ""),
        ("root = '/dev/nfs'\nextra = 'nfsroot=10.0.0.1:/r'\n", ""),
        ("root = 'UUID=1-2'\n", ""),
    ],
)
def test_the_root_device_is_the_last_one_of_the_command_line_that_xl_makes(lines: str, root: str) -> None:
    """`snow resize domain` enlarged the disk that a setting named which xl ignores."""
    assert parse(f"name = 'a'\nmemory = 1\n{lines}", where="a.cfg", path="/a.cfg").root_vdev == root


@pytest.mark.parametrize("key", ["name", "memory"])
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


def test_windows_line_endings_are_refused_and_a_missing_last_one_survives() -> None:
    """xl refuses them: a domain whose config was changed with them would stay down."""
    with pytest.raises(InputError, match="Windows"):
        read(CONFIG.replace("\n", "\r\n"))
    text = CONFIG.rstrip()
    assert read(text) == read(CONFIG)
    assert set_value(text, "memory", 256) == text.replace("'128'", "'256'")
    assert set_value(text, "type", "pvh") == text.replace("kernel  ", "type        = 'pvh'\nkernel  ")


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
    head, tail = "".join(f"{line}\n" for line in before), "\n" + "".join(f"{line}\n" for line in after)
    edited = set_value(f"{head}extra = {old}{tail}", "extra", value)
    assert edited.startswith(f"{head}extra = ")
    assert edited.endswith(tail)
    assert set_value(edited, "extra", value) == edited
    minimal = f"{edited}\nname='n'\nmemory=1\ndisk=['/x,,xvda']\n"
    assert read(minimal).name == "n"


@pytest.mark.parametrize(
    ("more", "disks", "vifs"),
    [
        ("root = '/dev/nfs'\nextra = 'nfsroot=10.0.0.1:/r ip=dhcp'\ndisk = [ ]\n", 0, 1),
        ("vif = [ '' ]\n", 2, 1),
        ("vif = [ 'mac=00:16:3e:00:00:01' ]\n", 2, 1),
        ("vif = [ 'ip=10.1.0.5/16' ]\n", 2, 1),
        ("vif = [ 'ip=dhcp, mac=00:16:3e:00:00:01', 'ip=DHCP' ]\n", 2, 2),
        ("vif = [ 'bridge=ovsbr0.100' ]\n", 2, 1),
        ("vif = [ 'bridge=ovsbr0:10:20:30:40,script=vif-openvswitch' ]\n", 2, 1),
        ("vif = [ 'bridge=ovsbr-prod.100:200:300' ]\n", 2, 1),
        ("vif = [ 'bridge=ovsbr-prod01.1000' ]\n", 2, 1),
        ("a.b = 1\nbootloader = 'pygrub'\n", 2, 1),
        ("bootloader = '/usr/bin/pygrub'\n", 2, 1),
        ("firmware = 'uefi'\ntype = 'hvm'\n", 2, 1),
        ("name = 'web_01.example'\n", 2, 1),
        ("disk += [ ',hdc:cdrom,r', 'file:/srv/i.iso,hdd:cdrom,r' ]\n", 4, 1),
        ("memory = '0x100'\n", 2, 1),
    ],
)
def test_shapes_of_the_field_that_xl_takes_are_taken(more: str, disks: int, vifs: int) -> None:
    """One of them would end every verb for its whole site."""
    domain = read(CONFIG + more)
    assert (len(domain.disks), len(domain.vifs)) == (disks, vifs)
    assert len(domain.moved_disks) == min(disks, 2)


@pytest.mark.parametrize(
    ("more", "kernel"),
    [
        ("kernel = '/vmlinuz'\nramdisk = '/initrd.img'\nbootloader = 'pygrub'\n", ""),
        ("kernel = 'vmlinuz'\nbootloader = 'pygrub'\ntype = 'pvh'\n", ""),
        ("kernel = 'hvmloader'\nramdisk = ''\nbuilder = 'hvm'\n", ""),
        ("kernel = '/usr/lib/xen-4.14/boot/hvmloader'\nramdisk = ''\ntype = 'hvm'\n", ""),
        ("kernel = '/boot/vmlinuz'\nramdisk = ''\nbootloader = 'pygrub'\ntype = 'hvm'\n", "/boot/vmlinuz"),
    ],
)
def test_a_kernel_in_the_domains_own_disk_is_none_that_the_server_must_have(more: str, kernel: str) -> None:
    """It was looked for on every server, and the domain could not be moved."""
    domain = read(CONFIG + more)
    assert (domain.kernel, domain.ramdisk) == (kernel, "")


def test_numbers_are_read_as_c_does() -> None:
    assert read(CONFIG + "memory = '0x100'\n").memory_mib == 256
    assert read(CONFIG + "memory = 010\n").memory_mib == 8
    assert read(CONFIG + "memory = ' 0X10'\n").memory_mib == 16
    assert read(CONFIG + "memory = '+256'\n").memory_mib == 256
    with pytest.raises(InputError, match=r"\+="):
        read(CONFIG + "memory += 1\n")


def test_addresses_are_split_once_without_their_prefix_lengths() -> None:
    vif = "vif = [ 'ip=10.1.0.5/16  192.0.2.6', 'ip=0.0.0.0', 'ip=dhcp' ]\n"
    assert read(CONFIG + vif).addresses == ("10.1.0.5", "192.0.2.6")


@pytest.mark.parametrize("mac", ["0:16:3e:1:2:3", "00-16-3e-01-02-03", "00:16:3e:01:02:03"])
def test_a_mac_address_is_read_as_xl_reads_it(mac: str) -> None:
    """Its domain was refused, and two cards with one address would not have been seen."""
    assert read(f"{CONFIG}vif = [ 'bridge=br0, mac={mac}' ]\n").vifs == (Vif("br0", "00:16:3e:01:02:03"),)


@pytest.mark.parametrize("vif", ["bridge = br0", "00:16:3e:00:00:01,bridge=br0", "bridge=br0, ip", "Bridge=br0"])
def test_a_word_of_a_vif_that_xl_ignores_is_refused(vif: str) -> None:
    """The card would be on xl.conf's bridge, and the servers be given another one."""
    with pytest.raises(InputError, match="xl ignores") as caught:
        read(f"{CONFIG}vif = [ '{vif}' ]\n")
    assert caught.value.where == "debian.cfg:34" and caught.value.remedy
    assert read(CONFIG + "vif = [ 'bridge=br0,,mtu=9000, ' ]\n").vifs == (Vif("br0", options=(("mtu", "9000"),)),)


@pytest.mark.parametrize("second", ["0xca02", "0XCA02", "51714", "d0p2", "xvda2"])
def test_one_device_under_two_names_is_two_disks_on_one(second: str) -> None:
    with pytest.raises(InputError, match="two disks are"):
        read(CONFIG + f"disk += [ '/x,,{second}' ]\n")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("format=qcow2,vdev=xvda2,target=/dev/vg/d1", "qcow2 on a device"),
        ("format=vhd,phy:/dev/vg/d1,xvda2,w", "vhd on a device"),
        ("format=qcow2,vdev=xvda2,target=/srv/d1.qcow2", ""),
        ("format=qcow2,file:/srv/d1.qcow2,xvda2,w", ""),
        ("tap:qcow2:/srv/d1.qcow2,xvda2,w", ""),
        ("vhd:/srv/d1.vhd,xvda2,w", ""),
        ("tap:qcow:/srv/d1.qcow,xvda2,w", "qcow"),
        ("format=qed,/srv/d1,xvda2,w", "qed"),
        ("backend=storage,vdev=xvda2,target=/dev/vg/x", "storage"),
        ("backendtype=standalone,specification=virtio,vdev=xvda2,target=/x", "virtio"),
        ("script=block-dummy,vdev=xvda2,target=/dev/vg/x", "block-dummy"),
        ("drbd:/dev/drbd0,xvda2,w", "block-drbd"),
        ("colo,/dev/vg/x,,xvda2", "COLO"),
        ("phy:/dev/vg/x,xvda2,w", ""),
        ("backend=0,/dev/vg/x,,xvda2", ""),
        ("script=block-snow,vdev=xvda2,target=/x", ""),
        ("format=qcow2,vdev=hdc,cdrom,target=/x", ""),
    ],
)
def test_what_an_image_of_bytes_could_not_stand_for_is_not_moved(spec: str, reason: str) -> None:
    """It would be copied as bytes and attached as raw: the domain's data is not what it was."""
    found = unmovable(parse_disk(spec))
    assert (reason in found[0] and found[1]) if reason and found else found is None


@given(st.text(st.sampled_from("a='\"[],#;\n \\+1"), max_size=40))
def test_no_file_makes_the_reader_loop_or_crash(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pci = [ '0000:03:00.0' ]", ("pci",)),
        ("pci = []", ()),
        ("gfx_passthru = 0", ()),
        ("p9 = [ 'tag=a,path=/srv/a,security_model=none' ]", ("p9",)),
        ("usbdevice = 'tablet'", ()),
        ("usbdevice = [ 'tablet', 'host:1.2' ]", ("usbdevice",)),
        ("serial = 'pty'", ()),
        ("serial = '/dev/ttyS0'", ("serial",)),
        ("pool = 'Pool-0'", ()),
        ("pool = 'fast'", ("pool",)),
        ("vif = [ 'bridge=br0,backend=net01' ]", ("vif backend",)),
        ("vif = [ 'bridge=br0,backend=Domain-0' ]", ()),
        ("usbdevice = 'disk:/srv/a.img'", ("usbdevice",)),
        ("device_model_override = '/srv/qemu'", ("device_model_override",)),
        ("device_model_args_hvm = [ '-drive', 'file=/dev/vg/more,format=raw' ]", ("device_model_args_hvm",)),
        ("device_model_args = [ '-cdrom', '/srv/a.iso' ]", ("device_model_args",)),
        ("device_model_args = [ '-vga', 'cirrus' ]", ()),
        ("type = 'hvm'\nvnclisten = '192.168.8.11'", ("vnclisten",)),
        ("type = 'hvm'\nvnc = 0\nvnclisten = '192.168.8.11'", ()),
        ("type = 'hvm'\nvnc = 1\nvnclisten = '0.0.0.0:3'", ()),
        ("type = 'hvm'\nspice = 1\nspicehost = '192.168.8.11'", ("spicehost",)),
        ("vnclisten = '192.168.8.11'", ()),
        ("vfb = [ 'type=vnc, vnclisten=192.168.8.11,vncdisplay=2' ]", ("vnclisten",)),
        ("vfb = [ 'vnc=1,vnclisten=127.0.0.1' ]", ()),
    ],
)
def test_what_it_takes_from_its_server_is_seen(line: str, found: tuple[str, ...]) -> None:
    """Another server cannot start it after a loss, and nobody knew."""
    domain = parse(f"name = 'a'\nmemory = 1\n{line}\n", where="a.cfg", path="/sNow/etc/domains/a.cfg")
    assert domain.hardware == found
    assert bool(domain.never_live) == bool(found)


@pytest.mark.parametrize(
    ("value", "never"), [("1", True), ("'1'", True), ("0x1", True), ("0", False), ("'yes'", False)]
)
def test_a_domain_that_must_not_be_migrated_is_not_migrated_live(value: str, never: bool) -> None:
    """nomigrate is set for what does not survive it: its clock jumps, its licence is gone."""
    domain = parse(f"name = 'a'\nmemory = 1\nnomigrate = {value}\n", where="a.cfg", path="/sNow/etc/domains/a.cfg")
    assert bool(domain.never_live) == never


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("type = 'hvm'\nfirmware = '/usr/share/OVMF/OVMF.fd'\n", ("/usr/share/OVMF/OVMF.fd",)),
        ("type = 'hvm'\nbios = 'ovmf'\nbios_path_override = '/srv/fw/OVMF.fd'\n", ("/srv/fw/OVMF.fd",)),
        ("builder = 'hvm'\nsmbios_firmware = '/srv/s'\nacpi_firmware = '/srv/a'\n", ("/srv/s", "/srv/a")),
        ("type = 'pvh'\nkernel = '/k'\npvshim = 1\npvshim_path = '/srv/xen-shim'\n", ("/k", "/srv/xen-shim")),
        ("type = 'hvm'\nfirmware = 'uefi'\n", ()),
        ("kernel = '/k'\nramdisk = '/r'\nbios_path_override = '/x'\n", ("/k", "/r")),
    ],
)
def test_firmware_that_is_a_file_of_the_server_is_needed_on_each(lines: str, files: tuple[str, ...]) -> None:
    """A domain that boots with the file of one server did not start on the other one, when that was all that was left."""
    config = f"name = 'a'\nmemory = 1\n{lines}"
    assert parse(config, where="a.cfg", path="/sNow/etc/domains/a.cfg").server_files == files


def test_a_domain_with_maxmem_alone_has_that() -> None:
    assert parse("name = 'a'\nmaxmem = 256\n", where="a.cfg", path="/sNow/etc/domains/a.cfg").memory_mib == 256
    assert parse("name = 'a'\nmaxmem = 256\nmemory = 128\n", where="a.cfg", path="/a.cfg").memory_mib == 128


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        *(
            ("", None),
            ("maxmem = 0x100", 256),
            ("maxmem = '010'", 8),
            ("maxmem = 'much'", None),
            ("maxmem = [ ]", None),
        ),
        *(
            ("maxmem = [ '256' ]", None),
            ("maxmem += 256", None),
            ("maxmem = 64\nmaxmem += 256", None),
            ("maxmem = 0", 0),
        ),
    ],
)
def test_a_maxmem_is_what_xl_reads(line: str, wanted: int | None) -> None:
    """xl passes over one that is no number, and starts the domain: it is no reason to refuse its config."""
    domain = parse(f"name = 'a'\nmemory = 128\n{line}\n", where="a.cfg", path="/a.cfg")
    assert (domain.memory_mib, domain.maxmem_mib) == (128, wanted)
    line = line.replace("maxmem", "maxvcpus")
    assert parse(f"name = 'a'\nmemory = 128\n{line}\n", where="a.cfg", path="/a.cfg").max_vcpus == wanted


@pytest.mark.parametrize(
    ("script", "own"),
    [("", ""), ("vif-bridge", ""), ("/etc/xen/scripts/vif-route", ""), ("vif-site", "/etc/xen/scripts/vif-site")]
    + [("/srv/vif-bridge", "/srv/vif-bridge")],
)
def test_a_script_of_a_network_card_that_xen_does_not_bring_is_known(script: str, own: str) -> None:
    text = f"name = 'a'\nmemory = 1\nvif = [ 'bridge=br0{script and ',script=' + script}' ]\n"
    assert parse(text, where="a.cfg", path="/a.cfg").vifs[0].own_script == own


SERVED_BY_QEMU = (
    "type = 'hvm'\n",
    "builder = 'hvm'\n",
    "vfb = [ 'type=vnc,vncunused=1' ]\n",
    "vnc = 1\n",
    "type = 'pvh'\nchannel = [ 'connection=pty,name=org.qemu.guest_agent.0' ]\n",
    "disk += [ ',hdc:cdrom,r' ]\n",
    "disk += [ 'vdev=hdc,devtype=cdrom,target=/srv/debian.iso' ]\n",
)


@pytest.mark.parametrize("more", SERVED_BY_QEMU)
def test_a_domain_that_needs_qemu_is_known(more: str) -> None:
    """A new server gets none with Xen's packages: the domain could be started on the first server alone."""
    assert read(CONFIG + more).needs_qemu


@pytest.mark.parametrize("more", ["", "vnc = 0\n", "sdl = '0'\n", "vfb = [ ]\n", "type = 'pvh'\n"])
def test_a_domain_that_the_kernel_alone_serves_needs_none(more: str) -> None:
    domain = read(CONFIG + more)
    assert not domain.needs_qemu and not domain.needs_uefi


def test_a_number_that_cannot_be_is_told_with_its_bounds_and_an_example_of_its_own() -> None:
    """`write vcpus = 128` is what an administrator would have done."""
    for old, new, example in (("'128'", "'1099511627776'", "memory = 1024"), ("'1'", "'0'", "vcpus = 2")):
        with pytest.raises(InputError, match="from 1 to 999999999") as caught:
            read(CONFIG.replace(old, new, 1))
        assert example in caught.value.remedy


def test_an_hvm_domain_with_uefi_firmware_is_known() -> None:
    assert all(read(f"{CONFIG}type = 'hvm'\n{line}").needs_uefi for line in ("bios = 'ovmf'", "firmware = 'uefi'"))
    assert not any(read(f"{CONFIG}type = 'hvm'\n{line}").needs_uefi for line in ("bios = 'seabios'", ""))
