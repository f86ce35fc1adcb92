"""Debian trees for the lab's machines, made natively with mmdebstrap from the apt sources of the machine we run on."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.lab import guests, layout
from snowha.lab.layout import DOMAINS, MACHINES, Machine
from snowha.migration.packages import server_packages

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
    "domain": ("systemd-sysv", "udev", "iproute2", "kmod", "procps", "e2fsprogs", "openssh-server"),
}

XEN_WORDS = "dom0_mem=1024M,max:1024M spec-ctrl=no sched_ratelimit_us=20000"
"""For Xen. A switch between domains throws away all that the emulator has learnt of their memory: at most one in 20 ms, else
idle domains alone take half a processor."""

KEEP_MEMORY = (
    "GLIBC_TUNABLES=glibc.malloc.trim_threshold=268435456:glibc.malloc.mmap_threshold=33554432:glibc.malloc.top_pad=1048576"
)
"""For environments (glibc's manual, "Memory Allocation Tunables"). Every page that a process gives back and takes again is a
fault, and under Xen a call of the hypervisor: a transfer over ssh spent four fifths of its time in the kernel."""

DOM0_FIRST = "[Service]\nExecStartPre=/usr/sbin/xl sched-credit2 --domain=0 --weight=1024\n"
"""For xendomains. Domains that boot take half of an emulated processor; what attaches the disks of the next one is then not done
within the 40 s that libxl gives it, and that domain stays off."""

PACEMAKER_IPC = "[Service]\nEnvironment=PCMK_ipc_type=socket\n"
"""For Pacemaker's unit. Its daemons ask each other every second whether they live; a connection over a socket costs an emulated
processor a fraction of one with three ring buffers of shared memory."""

QUIET_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "man-db.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "systemd-timesyncd.service",
    "systemd-networkd-wait-online.service",
    "rpc-statd-notify.service",
    "nfs-blkmap.service",
    "systemd-pcrphase.service",
    "grub-common.service",
    "systemd-journald-audit.socket",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-pstore.service",
    "systemd-update-utmp.service",
    "blk-availability.service",
    "dev-mqueue.mount",
    "getty@tty1.service",
    "kmod-static-nodes.service",
    "lvm2-monitor.service",
    "modprobe@configfs.service",
    "sys-kernel-config.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-creds.socket",
    "systemd-fsck-root.service",
    "systemd-hostnamed.socket",
    "systemd-initctl.socket",
    "systemd-journal-flush.service",
    "systemd-random-seed.service",
    "systemd-sysext.socket",
    "systemd-udev-load-credentials.service",
    "tmp.mount",
)
"""What would call out, or only costs time under emulation."""


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
            "--aptopt=Acquire::Languages \"none\"",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            # the root is /dev/vda1, which the kernel makes by itself: udev in the initramfs takes 20 s to find it
            "--dpkgopt=path-exclude=/usr/share/initramfs-tools/hooks/udev",
            "--essential-hook=mkdir -p \"$1/etc/initramfs-tools/conf.d\"",
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


def _write(tree: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _quiet(tree: Path) -> None:
    # the generator loads the kernel's virtual sockets to look whether there is one, for 10 s; the rules start a dozen
    # processes for every card of a domain, to find that no file has anything to say of it
    masked = [
        *(f"etc/systemd/system/{unit}" for unit in QUIET_UNITS),
        "etc/systemd/system-generators/systemd-ssh-generator",
        "etc/udev/rules.d/80-ifupdown.rules",
        "etc/udev/rules.d/60-bridge-network-interface.rules",
    ]
    for name in masked:
        link = tree / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    _write(tree, guests.COLDPLUG_FILE, guests.COLDPLUG)
    _write(tree, "etc/sysctl.d/lab.conf", guests.SAME_ADDRESSES)
    _write(tree, "etc/environment", f"{KEEP_MEMORY}\n")
    _write(tree, "etc/systemd/system.conf.d/lab.conf", f"[Manager]\nDefaultEnvironment={KEEP_MEMORY}\n")
    _write(tree, "etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n")


def configure(tree: Path, machine: Machine, keys: Keys) -> None:
    """Make a Debian tree into ``machine`` of the site."""
    _write(tree, "etc/hostname", f"{machine.name}\n")
    _write(tree, "etc/hosts", hosts_file())
    _write(tree, "etc/resolv.conf", "")
    # what systemd would otherwise work out at the first boot, for half a minute under emulation
    _write(tree, "etc/machine-id", f"{uuid.uuid5(uuid.NAMESPACE_DNS, machine.name + '.lab.example').hex}\n")
    for folder in ("etc", "var"):
        (tree / folder / ".updated").touch()
    _write(tree, "etc/network/interfaces", _interfaces(machine))
    _write(tree, "etc/modules-load.d/lab.conf", "loop\n")
    _write(tree, "root/.ssh/authorized_keys", keys.public, 0o600)
    (tree / "root/.ssh").chmod(0o700)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    host_key = keys.host_keys[machine.name]
    _write(tree, "etc/ssh/ssh_host_ed25519_key", host_key.read_text(), 0o600)
    _write(tree, "etc/ssh/ssh_host_ed25519_key.pub", host_key.with_name(host_key.name + ".pub").read_text())
    _write(tree, "etc/ssh/sshd_config.d/lab.conf", "UseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\n")
    _write(tree, "etc/ssh/ssh_config.d/lab.conf", layout.QUICK_SSH)
    for file in (tree / "etc/update-motd.d").glob("*"):  # run at each login
        file.unlink()
    for tty in ("ttyS0", "hvc0"):
        _write(
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
    _write(tree, "etc/apt/sources.list.d/site.list", "deb [trusted=yes] http://nfs01/debian ./\n")
    _quiet(tree)
    if machine.role == "storage":
        _configure_storage(tree)
    else:
        _configure_server(tree, machine)


def _configure_storage(tree: Path) -> None:
    _write(tree, "etc/fstab", "/dev/vda1 / ext4 errors=remount-ro 0 1\n")
    _write(
        tree,
        "etc/exports",
        "/export/sNow 192.168.8.0/24(rw,no_root_squash,sync,no_subtree_check)\n"
        "/export/home 192.168.8.0/24(rw,no_root_squash,sync,no_subtree_check)\n",
    )
    _write(tree, "etc/nfs.conf.d/lab.conf", "[nfsd]\nvers3=n\nthreads=8\n")
    _write(
        tree,
        "etc/systemd/system/packages.service",
        "[Unit]\nDescription=The site's apt repository\nAfter=network.target\n"
        "[Service]\nExecStart=/bin/busybox httpd -f -p 80 -h /srv/packages\nRestart=always\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    link = tree / "etc/systemd/system/multi-user.target.wants/packages.service"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/systemd/system/packages.service")
    for folder in ("export/sNow", "export/home", "srv/packages/debian"):
        (tree / folder).mkdir(parents=True, exist_ok=True)


def _configure_server(tree: Path, machine: Machine) -> None:
    for unit in ("rpcbind.service", "rpcbind.socket"):  # NFS 4.2 asks nobody for a port
        (tree / f"etc/systemd/system/{unit}").symlink_to("/dev/null")
    _write(tree, "etc/systemd/system/pacemaker.service.d/lab.conf", PACEMAKER_IPC)
    fstab = "/dev/vda1 / ext4 errors=remount-ro 0 1\n"
    if machine.role == "single":
        for name in ("sNow", "home"):
            fstab += f"nfs01:/export/{name} /{name} nfs4 vers=4.2,hard,_netdev 0 0\n"
            (tree / name).mkdir(exist_ok=True)
        _write(tree, "etc/profile.d/00-snow-env.sh", "export SNOW_ROOT=/sNow\nexport SNOW_ETC=$SNOW_ROOT/etc\n")
        _write(tree, "etc/systemd/system/xendomains.service.d/lab.conf", DOM0_FIRST)
        (tree / "etc/xen/auto").mkdir(parents=True, exist_ok=True)
        for domain in DOMAINS:
            link = tree / f"etc/xen/auto/{domain.name}.cfg"
            link.unlink(missing_ok=True)
            link.symlink_to(f"/sNow/etc/domains/{domain.name}.cfg")
        _write(
            tree,
            "etc/default/grub.d/zz-lab.cfg",  # Debian's own xen.cfg makes Xen the default entry: it must stay
            f'GRUB_CMDLINE_XEN="{XEN_WORDS} console=com1 com1=115200,8n1"\n'
            f'GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT="console=hvc0 quiet {layout.QUICK_KERNEL}"\n',
        )
    _write(tree, "etc/fstab", fstab)
    _write(
        tree,
        "etc/default/grub",
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT="quiet {layout.QUICK_KERNEL} console=ttyS0,115200"\n'
        'GRUB_CMDLINE_LINUX=""\nGRUB_TERMINAL=serial\nGRUB_DISABLE_OS_PROBER=true\nGRUB_DISABLE_LINUX_UUID=true\n',
    )


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SiteError(f"no {pattern} in the built tree", where=str(folder), remedy="delete the lab's cache and build again")
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
    _write(tree, "boot/grub/grub.cfg", f"set root=(hd0,msdos1)\nset timeout=0\nmenuentry first {{\n{entry}}}\n")
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


def write_repository(repository: Path, *, trees: list[Path], release: str, sources: Path, work: Path) -> None:
    """An apt repository with every package that the trees lack for being servers of a cluster."""
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    apt = LocalHost()
    options = [
        f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State={work}",
        f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}", f"Dir::Cache::archives={work}/archives",
        "Acquire::Languages=none", "APT::Sandbox::User=root", "Debug::NoLocking=1",
    ]  # fmt: skip
    words = [word for option in options for word in ("-o", option)]
    status = ["-o", f"Dir::State::status={trees[0]}/var/lib/dpkg/status"]
    apt.run(["apt-get", *words, *status, "update"], timeout=300)
    for tree in trees:
        apt.run(
            [
                "apt-get", *words, "-o", f"Dir::State::status={tree}/var/lib/dpkg/status",
                "install", "--download-only", "--no-install-recommends", "-y", *server_packages(release),
            ],
            timeout=900,
        )  # fmt: skip
    repository.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda package: _repacked(package, repository), (work / "archives").glob("*.deb")))
    index = apt.run(["env", "-C", str(repository), "apt-ftparchive", "packages", "."], timeout=300).stdout
    (repository / "Packages").write_text(index)
    release_text = apt.run(["env", "-C", str(repository), "apt-ftparchive", "release", "."], timeout=60).stdout
    (repository / "Release").write_text(release_text)


def _repacked(package: Path, folder: Path) -> None:
    """Write a copy of a .deb to ``folder`` with zstd in place of xz (deb(5)), which an emulated server unpacks for minutes."""
    names = LocalHost().run(["ar", "t", str(package)]).stdout.split()
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        LocalHost().run(["ar", "x", str(package.resolve()), f"--output={work}"], timeout=60)
        for name in names:
            if name.endswith(".xz"):
                LocalHost().run(["xz", "--decompress", f"{work}/{name}"], timeout=120)
                LocalHost().run(["zstd", "--quiet", "--rm", f"{work}/{name.removesuffix('.xz')}"], timeout=120)
        members = [f"{work}/{name.replace('.xz', '.zst')}" for name in names]
        LocalHost().run(["ar", "qcS", str(folder / package.name), *members], timeout=60)


def fetch_domain_kernel(target: Path, *, release: str, sources: Path, work: Path, status_of: Path) -> tuple[str, Path]:
    """Debian's cloud kernel, unpacked below ``target``: its version and its modules. Small, made for virtual machines."""
    options = [
        f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State={work}",
        f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}", "Acquire::Languages=none", "APT::Sandbox::User=root",
        f"Dir::State::status={status_of}/var/lib/dpkg/status",
    ]  # fmt: skip
    words = [word for option in options for word in ("-o", option)]
    apt = LocalHost()
    depends = apt.run(["apt-cache", *words, "depends", "linux-image-cloud-amd64"]).stdout
    match = re.search(r"Depends: (linux-image-(\S+-cloud-amd64))", depends)
    if not match:
        raise SiteError(f"no cloud kernel in {release}", where="linux-image-cloud-amd64", remedy="check the apt sources")
    package, version = match.groups()
    target.mkdir(parents=True, exist_ok=True)
    apt.run(["env", "-C", str(target), "apt-get", *words, "download", package], timeout=300)
    LocalHost().run(["dpkg", "-x", str(next(target.glob("*.deb"))), str(target)], timeout=300)
    modules = next(path for path in (target / "usr/lib/modules", target / "lib/modules") if path.exists())
    LocalHost().run(["depmod", "-b", str(modules.parent.parent), version], timeout=60)
    return version, modules / version
