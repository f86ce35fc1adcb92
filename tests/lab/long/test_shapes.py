"""Domains of shapes that sites have, on real Xen: moved to images, started from them, and taken back."""

from __future__ import annotations

from conftest import Administrator, on, shell, wait_until

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

    ended = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01", "--until", "images")
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


def test_a_disk_that_is_no_image_of_bytes_is_refused_while_its_domain_runs(fresh: Administrator) -> None:
    """Its bytes were copied as they are, and attached as raw."""
    shell("snow01", f"echo \"disk += [ 'format=qcow2,vdev=xvdb,access=rw,target=/root/d.qcow2' ]\" >> {CONFIG}")
    on("snow01", "truncate", "-s", "1M", "/root/d.qcow2")
    ended = fresh.snow("ha", "apply", "--yes", "--domain", "deploy01", "--until", "images")
    assert ended.code != 0 and "qemu-img convert" in ended.output, ended.output
    assert runs()
