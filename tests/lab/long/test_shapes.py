"""Domains of shapes that sites have, on real Xen: moved to images, started from them, and taken back."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import re
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path

from conftest import Administrator, on, shell, wait_until
from test_3_one_image import answers_since

from snowha.hosts.local import LocalHost
from snowha.lab import domain_probe, first_boot, layout, records

sys.path[:0] = [str(Path(__file__).parents[2] / "unit")]
machine = import_module("machine")
machine.widen_path()

CONFIG = "/sNow/etc/domains/deploy01.cfg"
GRUB = """\
set default=0
set timeout=0
menuentry 'Debian' {
    linux /boot/vmlinuz root=/dev/xvda2 ro console=hvc0 quiet
    initrd /boot/initrd.img
}
"""


def runs() -> bool:
    return "deploy01" in on("snow01", "xl", "list")


def answers() -> bool:
    address = shell("snow01", f"sed -n 's/.*ip=\\([0-9.]*\\).*/\\1/p' {CONFIG} | head -n 1").strip()
    return "1 received" in on("snow01", "ping", "-c", "1", "-W", "2", address, check=False)


def sha256(path: str) -> str:
    return on("snow01", "sha256sum", path).split()[0]


def with_second_disk() -> None:
    """A volume of the same name in another volume group: the images must not be one."""
    shell("snow01", "truncate -s 256M /root/hdd.img && vgcreate hdd_vg $(losetup --find --show /root/hdd.img)")
    on("snow01", "lvcreate", "--yes", "--size", "64M", "--name", "deploy01-disk", "hdd_vg")
    shell("snow01", "dd if=/dev/urandom of=/dev/hdd_vg/deploy01-disk bs=1M count=64 conv=fsync")
    shell("snow01", f"echo \"disk += [ 'phy:/dev/hdd_vg/deploy01-disk,xvdb,w' ]\" >> {CONFIG}")


def with_kernel_in_its_disk() -> None:
    """The kernel that the server had, in the domain's own disk; pygrub reads it there."""
    shell("snow01", "mount /dev/snow_vg/deploy01-disk /mnt && mkdir -p /mnt/boot/grub")
    for key, name in (("kernel", "vmlinuz"), ("ramdisk", "initrd.img")):
        shell("snow01", f"cp $(sed -n \"s/^{key} *= *'\\(.*\\)'/\\1/p\" {CONFIG}) /mnt/boot/{name}")
    shell("snow01", f"cat > /mnt/boot/grub/grub.cfg <<'END'\n{GRUB}END\numount /mnt")
    shell("snow01", f"sed -i '/^kernel/d; /^ramdisk/d; /^root/d; /^extra/d' {CONFIG}")
    shell("snow01", f"echo \"bootloader = 'pygrub'\" >> {CONFIG}; echo \"bootloader_args = [ '-q' ]\" >> {CONFIG}")


def test_pygrub_and_two_disks_of_one_name_there_and_back(fresh: Administrator) -> None:
    """With our script libxl attaches the image to the server itself while pygrub looks for the kernel: whether that works, and
    whether the lease is free again for the domain, is seen nowhere else."""
    on("snow01", "xl", "shutdown", "-w", "deploy01", timeout=600)
    with_second_disk()
    with_kernel_in_its_disk()
    on("snow01", "xl", "create", CONFIG, timeout=300)
    wait_until(answers, timeout=300, what="deploy01 to answer, started by pygrub from its volume")
    before = shell("snow01", f"cat {CONFIG}")
    second = sha256("/dev/hdd_vg/deploy01-disk")

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01")
    assert ended.code == 0 and "stays PV" in ended.output, ended.output
    now = shell("snow01", f"cat {CONFIG}")
    assert now.count("script=block-snow") == 3 and "bootloader = 'pygrub'" in now
    assert runs()
    wait_until(answers, timeout=300, what="deploy01 to answer, started by pygrub from its image")
    assert sha256("/sNow/domains/deploy01/deploy01-disk-xvdb") == second
    assert shell("snow01", "ls /run/snow-lease/disks | grep '^0-' || true") == "", (
        "nothing is left attached to the server"
    )

    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    assert shell("snow01", f"cat {CONFIG}") == before and runs()
    assert sha256("/dev/hdd_vg/deploy01-disk") == second
    wait_until(answers, timeout=300, what="deploy01 to answer, started by pygrub from its volume again")


PROXY = "/sNow/etc/domains/proxy01.cfg"
IMAGES = "/sNow/domains/proxy01"
FILES = 3_000_000
"""Bytes of the file that each file system has."""


def content(name: str) -> bytes:
    return random.Random(name).randbytes(FILES)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def send(file: Path, path: str) -> None:
    """A file of this machine to snow01, small on the way."""
    words = first_boot.ssh_words("snow01", ["sh", "-c", shlex.quote(f"gzip -dc > {path}")], paths=layout.paths())
    LocalHost().run(words, input=gzip.compress(file.read_bytes(), 1), timeout=300)


def xfs(folder: Path) -> Path:
    """An XFS with two files. Made here: the servers of the lab have no mkfs.xfs."""
    machine.need("mkfs.xfs")
    (folder / "file").write_bytes(content("xfs"))
    lines = ["/none", "0 0", "d--755 0 0"]
    lines += [f"file ---644 0 0 {folder / 'file'}", "sub d--755 0 0", f"again ---644 0 0 {folder / 'file'}", "$", "$"]
    (folder / "proto").write_text("".join(f"{line}\n" for line in lines))
    image = folder / "xfs"
    with image.open("wb") as out:
        out.truncate(64 << 20)
    LocalHost().run(["mkfs.xfs", "--unsupported", "-q", "-p", str(folder / "proto"), str(image)])
    return image


def with_xfs_root() -> None:
    """The system of proxy01 in an XFS, made by a mkfs.xfs that this machine lends to the server."""
    machine.need("mkfs.xfs")
    on("snow01", "mkdir", "-p", "/root/xfsprogs", "/root/old")
    for file in (*machine.program_files("mkfs.xfs"), Path("/lib64/ld-linux-x86-64.so.2")):
        send(file, f"/root/xfsprogs/{file.name}")
    on("snow01", "chmod", "755", "/root/xfsprogs/mkfs.xfs", "/root/xfsprogs/ld-linux-x86-64.so.2")
    volume = "/dev/snow_vg/proxy01-root"
    on("snow01", *["lvcreate", "--yes", "--wipesignatures", "y", "--size", "640M", "--name", "proxy01-root", "snow_vg"])
    loader = "/root/xfsprogs/ld-linux-x86-64.so.2 --library-path /root/xfsprogs"
    shell("snow01", f"{loader} /root/xfsprogs/mkfs.xfs -q {volume}")
    shell("snow01", f"mount -o ro /dev/snow_vg/proxy01-disk /root/old && mount {volume} /mnt")
    shell("snow01", "cp -a /root/old/. /mnt/ && umount /root/old", timeout=900)
    shell("snow01", "sed -i 's,^/dev/xvda2 / ext4 .*,/dev/xvda2 / xfs defaults 0 0,' /mnt/etc/fstab && umount /mnt")
    config = on("snow01", "cat", PROXY).replace("snow_vg/proxy01-disk", "snow_vg/proxy01-root")
    config = config.replace("domain-initrd.img", "domain-initrd-xfs.img").replace(
        "extra       = '", "extra       = 'rootfstype=xfs "
    )
    config = re.sub(r"(?m)^memory .*", "memory = '128'", config)
    assert config.count("xfs") == 2
    words = first_boot.ssh_words("snow01", ["sh", "-c", shlex.quote(f"cat > {PROXY}")], paths=layout.paths())
    LocalHost().run(words, input=config)


def test_a_root_of_xfs_there_and_back(fresh: Administrator) -> None:
    """Its log is not empty when it was not unmounted: a copy that took no account of that would not mount."""
    on("snow01", "xl", "shutdown", "-w", "proxy01", timeout=600)
    with_xfs_root()
    on("snow01", "xl", "create", PROXY, timeout=300)
    started = time.time()
    wait_until(lambda: answers_since("proxy01", started), timeout=300, what="proxy01 to answer from its XFS")
    before = on("snow01", "cat", PROXY)

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "proxy01")
    assert ended.code == 0, ended.output
    assert "xfs used blocks" in shell("snow01", f"grep method {IMAGES}/proxy01-root.manifest")
    moved = time.time()
    wait_until(lambda: answers_since("proxy01", moved), timeout=300, what="proxy01 to answer from its image")
    assert "script=block-snow" in on("snow01", "cat", PROXY)

    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    undone = time.time()
    wait_until(lambda: answers_since("proxy01", undone), timeout=300, what="proxy01 to answer from its volume again")
    assert on("snow01", "cat", PROXY) == before
    on("snow01", "xl", "shutdown", "-w", "proxy01", timeout=600)
    shell("snow01", "mount /dev/snow_vg/proxy01-root /mnt")
    dumped = on("snow01", "base64", f"/mnt{records.RECORDS_FILE}")
    shell("snow01", "umount /mnt")
    found = records.read_records(base64.b64decode(dumped))
    acknowledged = domain_probe.acknowledged(domain_probe.read_log(layout.paths().client_log))["proxy01"]
    assert len(acknowledged) >= 20 and records.compare(acknowledged, found.records) == []


def with_more_volumes(folder: Path) -> None:
    """What sNow!'s own partitions file makes (-home, -var), a volume with LVM in it, one with XFS; and a second card."""
    for name in ("home", "var", "lvm", "xfs"):
        on(
            "snow01",
            "lvcreate",
            "--yes",
            "--wipesignatures",
            "y",
            "--size",
            "64M",
            "--name",
            f"proxy01-{name}",
            "snow_vg",
        )
    for name in ("home", "var"):
        (folder / name).write_bytes(content(name))
        send(folder / name, f"/root/{name}")
        device = f"/dev/snow_vg/proxy01-{name}"
        shell("snow01", f"mkfs.ext4 -q {device} && mount {device} /mnt && cp /root/{name} /mnt/file && umount /mnt")
    # in a file first: LVM on the server does not look into its own volumes
    shell("snow01", "truncate -s 64M /root/inner && losetup --find --show /root/inner > /root/inner.device")
    shell("snow01", "vgcreate inner_vg $(cat /root/inner.device) && lvcreate --yes --size 32M --name data inner_vg")
    shell("snow01", "dd if=/root/home of=/dev/inner_vg/data conv=fsync && vgchange -an inner_vg")
    shell("snow01", "losetup --detach $(cat /root/inner.device)")
    shell("snow01", "dd if=/root/inner of=/dev/snow_vg/proxy01-lvm bs=1M conv=fsync && rm /root/inner")
    send(xfs(folder), "/root/xfs")
    shell("snow01", "dd if=/root/xfs of=/dev/snow_vg/proxy01-xfs bs=1M conv=fsync")
    disks = ", ".join(
        f"'phy:/dev/snow_vg/proxy01-{name},{vdev},w'"
        for name, vdev in {"home": "xvda3", "var": "xvda4", "lvm": "xvdb", "xfs": "xvdc"}.items()
    )
    shell("snow01", f'echo "disk += [ {disks} ]" >> {PROXY}')
    shell("snow01", f"echo \"vif += [ 'mac=00:16:3e:08:00:99,bridge=xsnow0' ]\" >> {PROXY}")
    # its 80 MiB do not do for the rings of so many devices
    shell("snow01", f"sed -i \"s/^memory .*/memory = '128'/\" {PROXY}")


def file_in(path: str, *, options: str = "noload") -> str:
    """The SHA-256 of the file in a file system, mounted without writing anything.

    By a loop device of its own: mount(8) would take that of the domain, which is in use.
    """
    mounted = f"mount -o ro,{options} $loop /mnt && sha256sum < /mnt/file; umount /mnt; losetup --detach $loop"
    return shell("snow01", f"loop=$(losetup --read-only --find --show {path}) && {mounted}").split()[0]


def test_many_volumes_of_many_kinds_and_two_cards_there_and_back(fresh: Administrator, tmp_path: Path) -> None:
    """Each volume is an image of its own, whatever is in it; the kernel finds in it what it had.

    LVM on the server must not activate what is in the image: it would have the image open after the domain is gone, and the way
    back would find it in use.
    """
    with_more_volumes(tmp_path)
    before = shell("snow01", f"cat {PROXY}")
    inner = sha256("/dev/snow_vg/proxy01-lvm")

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "proxy01")
    assert ended.code == 0, ended.output
    now = shell("snow01", f"cat {PROXY}")
    assert now.count("script=block-snow") == 6 and "mac=00:16:3e:08:00:99" in now
    assert "proxy01" in on("snow01", "xl", "list")
    assert len(on("snow01", "xl", "block-list", "proxy01").splitlines()) == 7, (
        "a line for each disk, and one above them"
    )
    assert len(on("snow01", "xl", "network-list", "proxy01").splitlines()) == 3
    assert sha256(f"{IMAGES}/proxy01-lvm") == inner
    assert file_in(f"{IMAGES}/proxy01-home") == digest(content("home"))
    assert file_in(f"{IMAGES}/proxy01-var") == digest(content("var"))
    assert file_in(f"{IMAGES}/proxy01-xfs", options="norecovery,nouuid") == digest(content("xfs"))
    assert "xfs used blocks" in shell("snow01", f"grep method {IMAGES}/proxy01-xfs.manifest")
    assert shell("snow01", "ls /dev/inner_vg 2> /dev/null || true") == "", (
        "LVM on the server has activated the domain's own"
    )

    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    assert shell("snow01", f"cat {PROXY}") == before and "proxy01" in on("snow01", "xl", "list")
    assert sha256("/dev/snow_vg/proxy01-lvm") == inner
    assert file_in("/dev/snow_vg/proxy01-home") == digest(content("home"))
    assert file_in("/dev/snow_vg/proxy01-xfs", options="norecovery,nouuid") == digest(content("xfs"))


HVM = """\
name = 'hvm01'
builder = 'hvm'
memory = 64
boot = 'dc'
disk = [ 'phy:/dev/snow_vg/hvm01-disk,hda,w', 'file:/sNow/a disc.iso,hdc:cdrom,r', ',hdd:cdrom,r' ]
vif = [ 'type=ioemu,mac=00:16:3e:08:00:98,bridge=xsnow0' ]
"""


def test_an_hvm_domain_with_cd_drives_that_is_off_is_moved_and_stays_what_and_where_it_is(
    fresh: Administrator,
) -> None:
    """It does not run there: the servers of the lab have no device model. So it is off, on purpose, before and after;
    that its config is one that xl takes is seen, and that its drives are left alone, with a disc or without."""
    on("snow01", "lvcreate", "--yes", "--size", "32M", "--name", "hvm01-disk", "snow_vg")
    shell("snow01", "dd if=/dev/urandom of=/dev/snow_vg/hvm01-disk bs=1M count=32 conv=fsync")
    shell("snow01", "truncate -s 1M '/sNow/a disc.iso'")
    path = "/sNow/etc/domains/hvm01.cfg"
    shell("snow01", f"cat > {path} <<'END'\n{HVM}END")
    volume = sha256("/dev/snow_vg/hvm01-disk")
    fresh.init()
    assert "hvm01" in fresh.ha_toml.read_text()

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "hvm01")
    assert ended.code == 0 and "stays off" in ended.output, ended.output
    image = "format=raw,vdev=hda,access=rw,script=block-snow,target=/sNow/domains/hvm01/hvm01-disk"
    assert shell("snow01", f"cat {path}") == HVM.replace("phy:/dev/snow_vg/hvm01-disk,hda,w", image)
    assert sha256("/sNow/domains/hvm01/hvm01-disk") == volume
    assert "hvm01" not in on("snow01", "xl", "list")

    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    assert shell("snow01", f"cat {path}") == HVM and sha256("/dev/snow_vg/hvm01-disk") == volume
    assert "hvm01" not in on("snow01", "xl", "list")


def test_a_qcow2_and_a_vhd_file_of_a_domain_that_is_off_there_and_back(fresh: Administrator, tmp_path: Path) -> None:
    """The server has no qemu-img before. Its domain is off, on purpose: what serves such disks is not in the lab's servers."""
    on("snow01", "xl", "shutdown", "-w", "proxy01", timeout=600)
    disks = []
    for kind, (driver, vdev) in {"qcow2": ("qcow2", "xvdb"), "vhd": ("vpc", "xvdc")}.items():
        raw, made = tmp_path / kind, tmp_path / f"of-{kind}.{kind}"
        raw.write_bytes(content(kind) + bytes(-FILES % 4096) + bytes(8 << 20))
        options = ["-o", "force_size=on"] if kind == "vhd" else []
        LocalHost().run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, str(raw), str(made)])
        send(made, f"/root/{made.name}")
        disks.append(f"'format={kind},vdev={vdev},access=rw,target=/root/{made.name}'")
    shell("snow01", f'echo "disk += [ {", ".join(disks)} ]" >> {PROXY}')
    before = shell("snow01", f"cat {PROXY}")

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "proxy01")
    assert ended.code == 0 and "stays off" in ended.output, ended.output
    assert shell("snow01", f"cat {PROXY}").count("format=raw") == 4
    for kind in ("qcow2", "vhd"):
        assert sha256(f"{IMAGES}/of-{kind}.raw") == digest((tmp_path / kind).read_bytes())
    written = content("written since")
    (tmp_path / "written").write_bytes(written)
    send(tmp_path / "written", "/root/written")
    shell("snow01", f"dd if=/root/written of={IMAGES}/of-qcow2.raw bs=1M conv=notrunc,fsync")

    ended = fresh.snow("ha", "undo", "--yes")
    assert ended.code == 0, ended.output
    assert shell("snow01", f"cat {PROXY}") == before and "proxy01" not in on("snow01", "xl", "list")
    after = written + (tmp_path / "qcow2").read_bytes()[len(written) :]
    shell("snow01", "qemu-img convert -f qcow2 -O raw /root/of-qcow2.qcow2 /root/seen")
    assert sha256("/root/seen") == digest(after)
    shell("snow01", "qemu-img convert -f vpc -O raw /root/of-vhd.vhd /root/seen")
    assert sha256("/root/seen") == digest((tmp_path / "vhd").read_bytes())
