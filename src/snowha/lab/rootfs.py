"""Debian trees for the lab's machines, made natively with mmdebstrap from the apt sources of the machine we run on."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.lab import layout
from snowha.lab.emulation_tuning import KEEP_MEMORY, apply_tuning
from snowha.lab.layout import DOMAINS, MACHINES, Machine
from snowha.lab.tree import link, write

RELEASES = ("trixie", "bookworm")
CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "sid")

BASE = ("systemd-sysv", "dbus", "udev", "openssh-server", "iproute2", "kmod", "procps", "iputils-ping", "less")
STANDARD = ("perl", "python3", "openssl", "media-types")
"""Of what Debian's installer puts on a server without being asked ("standard system utilities"), what others here stand on."""
SERVER_BASE = (*BASE, *STANDARD, "ifupdown", "nfs-common", "grub-pc", "linux-image-amd64", "initramfs-tools")
PACKAGES = {
    "single": (*SERVER_BASE, "xen-system-amd64", "lvm2", "bridge-utils", "e2fsprogs"),
    "stock": SERVER_BASE,
    "storage": (*BASE, "ifupdown", "nfs-kernel-server", "linux-image-amd64", "initramfs-tools", "busybox", "e2fsprogs"),
    "domain": ("systemd-sysv", "udev", "iproute2", "kmod", "procps", "e2fsprogs"),
}

XEN_WORDS = "dom0_mem=1024M,max:1024M spec-ctrl=no sched_ratelimit_us=20000"
"""For Xen. A switch between domains throws away all that the emulator has learnt of their memory: at most one in 20 ms, else
idle domains alone take half a processor."""

DOM0_FIRST = "[Service]\nExecStartPre=/usr/sbin/xl sched-credit2 --domain=0 --weight=1024\n"
"""For xendomains. Domains that boot take half of an emulated processor; what attaches the disks of the next one is then not done
within the 40 s that libxl gives it, and that domain stays off."""

PACEMAKER_IPC = "[Service]\nEnvironment=PCMK_ipc_type=socket\n"
"""For Pacemaker's unit. Its daemons ask each other every second whether they live; a connection over a socket costs an emulated
processor a fraction of one with three ring buffers of shared memory."""


@dataclass(frozen=True)
class Keys:
    """The lab's ssh key pair and the machines' host keys, made once a site so that they are known before the first login."""

    private: Path
    host_keys: dict[str, Path]

    @property
    def public(self) -> str:
        return self.private.with_name(self.private.name + ".pub").read_text()


def apt_sources(release: str) -> str:
    """The machine's own Debian sources with the suite names replaced by ``release``."""
    found: list[str] = []
    for file in (*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")):
        if not file.exists():
            continue
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            lines = [line for line in stanza.splitlines() if line.strip() and not line.lstrip().startswith("#")]
            text = "\n".join(lines)
            if not any(code in text for code in CODENAMES) or not re.search(r"/debian(-security)?/?(\s|$)", text):
                continue
            found.append(re.sub(r"\b(" + "|".join(CODENAMES) + r")\b", release, text))
        if found:
            break
    if not found:
        raise SiteError(
            "no Debian package source found",
            where="/etc/apt",
            remedy="the lab builds its machines from the sources of this machine: it must be a Debian with main enabled",
        )
    return "\n\n".join(found) + "\n"


def bootstrap(tree: Path, role: str, release: str, sources: Path) -> None:
    """Unpack a Debian of ``release`` with the packages of ``role`` into the folder ``tree``."""
    shutil.rmtree(tree, ignore_errors=True)
    LocalHost().run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            '--aptopt=Acquire::Languages "none"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            # the root is /dev/vda1, which the kernel makes by itself: udev in the initramfs takes 20 s to find it
            "--dpkgopt=path-exclude=/usr/share/initramfs-tools/hooks/udev",
            '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"',
            "--essential-hook=printf 'MODULES=list\\nCOMPRESS=lz4\\n' > \"$1/etc/initramfs-tools/conf.d/lab\"",
            "--essential-hook=printf 'virtio_pci\\nvirtio_blk\\nvirtio_net\\next4\\n' > \"$1/etc/initramfs-tools/modules\"",
            f"--include={','.join((*PACKAGES[role], 'lz4'))}",
            release,
            str(tree),
            str(sources),
        ],
        timeout=900,
    )


def hosts_file() -> str:
    """/etc/hosts of every machine of the site, and of the namespace."""
    lines = ["127.0.0.1\tlocalhost"]
    for machine in MACHINES:
        lines.append(f"{machine.address}\t{machine.name}")
        if machine.bmc_address:
            lines.append(f"{machine.bmc_address}\t{machine.name}-mgmt")
    lines += [f"{domain.address}\t{domain.name}" for domain in DOMAINS]
    lines.append(f"{layout.SNOW.address(layout.MANAGER_NUMBER)}\t{layout.MANAGER}")
    return "\n".join(lines) + "\n"


def _interfaces(machine: Machine) -> str:
    bridged = machine.role == "single"
    snow = "xsnow0" if bridged else "ens3"
    lines = ["auto lo", "iface lo inet loopback", ""]
    if bridged:
        lines += ["iface ens3 inet manual", ""]
    lines += [f"auto {snow}", f"iface {snow} inet static", f"    address {machine.address}/24"]
    if bridged:
        lines += ["    bridge_ports ens3", "    bridge_stp off", "    bridge_fd 0"]
    lines += ["", "auto ens4", "iface ens4 inet static", f"    address {machine.management_address}/24", ""]
    return "\n".join(lines)


def _quiet(tree: Path) -> None:
    apply_tuning(tree, domain=False, log_mib=16)
    # a dozen processes for every card of a domain, to find that no file has anything to say of it
    for rules in ("80-ifupdown.rules", "60-bridge-network-interface.rules"):
        link(tree, f"etc/udev/rules.d/{rules}", "/dev/null")
    write(tree, "etc/environment", f"{KEEP_MEMORY}\n")
    write(tree, "etc/systemd/system.conf.d/lab.conf", f"[Manager]\nDefaultEnvironment={KEEP_MEMORY}\n")


def configure(tree: Path, machine: Machine, keys: Keys) -> None:
    """Make a Debian tree into ``machine`` of the site."""
    write(tree, "etc/hostname", f"{machine.name}\n")
    write(tree, "etc/hosts", hosts_file())
    write(tree, "etc/resolv.conf", "")
    # what systemd would otherwise work out at the first boot, for half a minute under emulation
    write(tree, "etc/machine-id", f"{uuid.uuid5(uuid.NAMESPACE_DNS, machine.name + '.lab.example').hex}\n")
    for folder in ("etc", "var"):
        (tree / folder / ".updated").touch()
    write(tree, "etc/network/interfaces", _interfaces(machine))
    write(tree, "etc/modules-load.d/lab.conf", "loop\n")
    write(tree, "root/.ssh/authorized_keys", keys.public, 0o600)
    (tree / "root/.ssh").chmod(0o700)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    host_key = keys.host_keys[machine.name]
    write(tree, "etc/ssh/ssh_host_ed25519_key", host_key.read_text(), 0o600)
    write(tree, "etc/ssh/ssh_host_ed25519_key.pub", host_key.with_name(host_key.name + ".pub").read_text())
    write(tree, "etc/ssh/sshd_config.d/lab.conf", "UseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\n")
    write(tree, "etc/ssh/ssh_config.d/lab.conf", layout.QUICK_SSH)
    for file in (tree / "etc/update-motd.d").glob("*"):  # run at each login
        file.unlink()
    for tty in ("ttyS0", "hvc0"):
        write(
            tree,
            f"etc/systemd/system/serial-getty@{tty}.service.d/lab.conf",
            "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I 115200 vt220\n",
        )
    for file in (tree / "etc/apt").glob("sources.list*"):
        if file.is_dir():
            for source in file.iterdir():
                source.unlink()
        else:
            file.unlink()
    write(tree, "etc/apt/sources.list.d/site.list", "deb [trusted=yes] http://nfs01/debian ./\n")
    _quiet(tree)
    if machine.role == "storage":
        _configure_storage(tree)
    else:
        _configure_server(tree, machine)


def _configure_storage(tree: Path) -> None:
    write(tree, "etc/fstab", "/dev/vda1 / ext4 errors=remount-ro 0 1\n")
    write(
        tree,
        "etc/exports",
        "/export/sNow 192.168.8.0/24(rw,no_root_squash,sync,no_subtree_check)\n"
        "/export/home 192.168.8.0/24(rw,no_root_squash,sync,no_subtree_check)\n",
    )
    write(tree, "etc/nfs.conf.d/lab.conf", "[nfsd]\nvers3=n\nthreads=8\n")
    write(
        tree,
        "etc/systemd/system/packages.service",
        "[Unit]\nDescription=The site's apt repository\nAfter=network.target\n"
        "[Service]\nExecStart=/bin/busybox httpd -f -p 80 -h /srv/packages\nRestart=always\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    unit = "etc/systemd/system/packages.service"
    link(tree, "etc/systemd/system/multi-user.target.wants/packages.service", f"/{unit}")
    for folder in ("export/sNow", "export/home", "srv/packages/debian"):
        (tree / folder).mkdir(parents=True, exist_ok=True)


def _configure_server(tree: Path, machine: Machine) -> None:
    for unit in ("rpcbind.service", "rpcbind.socket"):  # NFS 4.2 asks nobody for a port
        link(tree, f"etc/systemd/system/{unit}", "/dev/null")
    write(tree, "etc/systemd/system/pacemaker.service.d/lab.conf", PACEMAKER_IPC)
    fstab = "/dev/vda1 / ext4 errors=remount-ro 0 1\n"
    if machine.role == "single":
        for name in ("sNow", "home"):
            fstab += f"nfs01:/export/{name} /{name} nfs4 vers=4.2,hard,_netdev 0 0\n"
            (tree / name).mkdir(exist_ok=True)
        write(tree, "etc/profile.d/00-snow-env.sh", "export SNOW_ROOT=/sNow\nexport SNOW_ETC=$SNOW_ROOT/etc\n")
        write(tree, "etc/systemd/system/xendomains.service.d/lab.conf", DOM0_FIRST)
        for domain in DOMAINS:
            link(tree, f"etc/xen/auto/{domain.name}.cfg", f"/sNow/etc/domains/{domain.name}.cfg")
        write(
            tree,
            "etc/default/grub.d/zz-lab.cfg",  # Debian's own xen.cfg makes Xen the default entry: it must stay
            f'GRUB_CMDLINE_XEN="{XEN_WORDS} console=com1 com1=115200,8n1"\n'
            f'GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT="console=hvc0 quiet {layout.QUICK_KERNEL}"\n',
        )
    write(tree, "etc/fstab", fstab)
    write(
        tree,
        "etc/default/grub",
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT="quiet {layout.QUICK_KERNEL} console=ttyS0,115200"\n'
        'GRUB_CMDLINE_LINUX=""\nGRUB_TERMINAL=serial\nGRUB_DISABLE_OS_PROBER=true\nGRUB_DISABLE_LINUX_UUID=true\n',
    )


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SiteError(
            f"no {pattern} in the built tree", where=str(folder), remedy="delete the lab's cache and build again"
        )
    return found[-1]


def kernel(tree: Path) -> Path:
    """The tree's Linux kernel."""
    return _newest(tree / "boot", "vmlinuz-*")


def initrd(tree: Path) -> Path:
    """The tree's initramfs."""
    return _newest(tree / "boot", "initrd.img-*")


def write_first_grub(tree: Path, machine: Machine) -> tuple[bytes, bytes]:
    """GRUB's modules and a first grub.cfg into the tree; returns the boot sector and the core image for the disk.

    ``grub-install`` cannot be used on an image file (grub-probe maps no loop device), and needs not: a boot.img that finds
    its core in sector 1 and a core.img whose block list starts in sector 2 are what grub-mkimage makes by default.
    ``update-grub`` in the running machine replaces the configuration by its own.
    """
    modules = tree / "boot/grub/i386-pc"
    shutil.copytree(tree / "usr/lib/grub/i386-pc", modules, dirs_exist_ok=True)
    linux, ramdisk = f"/boot/{kernel(tree).name}", f"/boot/{initrd(tree).name}"
    if machine.role == "single":
        hypervisor = _newest(tree / "boot", "xen-*.gz").name
        entry = (
            f"multiboot2 /boot/{hypervisor} placeholder {XEN_WORDS} console=com1 com1=115200,8n1\n"
            f"module2 {linux} placeholder root=/dev/vda1 ro quiet {layout.QUICK_KERNEL} console=hvc0\n"
            f"module2 --nounzip {ramdisk}\n"
        )
    else:
        entry = f"linux {linux} root=/dev/vda1 ro quiet {layout.QUICK_KERNEL} console=ttyS0,115200\ninitrd {ramdisk}\n"
    write(tree, "boot/grub/grub.cfg", f"set root=(hd0,msdos1)\nset timeout=0\nmenuentry first {{\n{entry}}}\n")
    LocalHost().run(
        [
            "chroot", str(tree), "grub-mkimage", "-O", "i386-pc", "-o", "/boot/grub/core-lab.img",
            "-p", "(hd0,msdos1)/boot/grub", "biosdisk", "part_msdos", "ext2",
        ]
    )  # fmt: skip
    core = tree / "boot/grub/core-lab.img"
    sectors = (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes(), core.read_bytes()
    core.unlink()
    return sectors
