"""The insides of the lab's domains: the service, an initramfs, a busybox root, a full Debian root.

Every function writes below a folder that it is given and runs natively, as root. Nothing here starts a machine.
What ends up in a script or a unit is checked first: names and addresses are data.
"""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
import lzma
import os
import random
import re
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path

from snowha.errors import CommandError, InputError
from snowha.lab.records import RECORDS_BYTES, RECORDS_FILE, STALE_BYTES, STALE_FILE

GUEST = Path(__file__).parent / "guest"
BUSYBOX = Path("/bin/busybox")
SERVICE = "usr/sbin/lab-service"
PORT = 7000
MODULES = ("xen-blkfront", "xen-netfront", "ext4")
"""What a domain cannot do without; what its kernel has built in is left out."""

INITRAMFS_APPLETS = (
    "cat", "cttyhack", "findfs", "insmod", "ls", "mount", "reboot", "setsid", "sh", "switch_root", "usleep",
)  # fmt: skip
ROOT_APPLETS = (
    "arping", "halt", "hostname", "init", "ip", "killall", "pidof", "poweroff", "reboot", "sh", "swapoff", "swapon",
)  # fmt: skip
SYSTEM_APPLETS = {"halt", "init", "poweroff", "reboot"}
"""Those that the kernel, or a person used to it, looks for in /sbin."""

QUIET_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "logrotate.timer", "man-db.timer", "systemd-timesyncd.service",
    # Nothing in the lab needs these, and under emulation each costs a second or more at boot.
    "getty@tty1.service", "ldconfig.service", "networking.service", "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service", "systemd-firstboot.service", "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service", "systemd-modules-load.service", "systemd-networkd.service",
    "systemd-networkd-wait-online.service", "systemd-networkd.socket", "systemd-pcrphase.service",
    "systemd-pstore.service", "systemd-update-done.service", "systemd-update-utmp.service",
    "dev-hugepages.mount", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
)  # fmt: skip

COLDPLUG = """\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=net
ExecStart=-udevadm trigger --type=devices --action=add --sysname-match=hvc0 --sysname-match=ttyS0
"""
COLDPLUG_FILE = "etc/systemd/system/systemd-udev-trigger.service.d/lab.conf"
"""Only the disks, cards and consoles that machines and domains have. All else that a kernel knows (64
terminals, every function of the chipset) is asked for nothing, for most of a minute under emulation."""

SAME_ADDRESSES = "kernel.randomize_va_space = 0\n"
"""For sysctl.d(5) of machines and domains. What an emulator has translated it finds again by its address: programs that begin at
another address each time are translated anew each time, which doubles the time of every command."""

KIB, MIB = 1 << 10, 1 << 20


def compile_service(target: Path) -> None:
    """Compile the service into one static program that runs in any domain.

    Raises InputError if there is no compiler, CommandError if it fails (without libc6-dev, for example).
    """
    words = ["gcc", "-std=gnu11", "-O2", "-static", "-pthread", "-Wall", "-Wextra", "-o", str(target)]
    try:
        done = subprocess.run([*words, str(GUEST / "service.c")], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError("no C compiler", where="gcc", remedy="apt install gcc libc6-dev") from error
    if done.returncode:
        raise CommandError(f"the domains' service does not compile:\n{done.stderr}", remedy="apt install gcc libc6-dev")


def write_initramfs(target: Path, *, modules: Path, busybox: Path = BUSYBOX, names: Iterable[str] = MODULES) -> None:
    """A small initramfs: busybox, what the disk and the network need, and ``guest/initramfs-init.sh``.

    ``modules`` is an unpacked /lib/modules/VERSION with its modules.dep. The same inputs give the same bytes.
    Raises InputError if a module is neither there nor built in, or busybox cannot be used.
    """
    check_busybox(busybox, INITRAMFS_APPLETS)
    entries: list[tuple[str, int, bytes]] = [
        (folder, stat.S_IFDIR | 0o755, b"") for folder in ("bin", "dev", "modules", "proc", "root", "sys")
    ]
    entries.append(("init", stat.S_IFREG | 0o755, (GUEST / "initramfs-init.sh").read_bytes()))
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    entries += [(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox") for name in INITRAMFS_APPLETS]
    order = module_order(modules, names)
    for name in order:
        entries.append((f"modules/{_module_name(name)}.ko", stat.S_IFREG | 0o644, read_module(modules / name)))
    listed = "".join(f"{_module_name(name)}.ko\n" for name in order)
    entries.append(("modules/order", stat.S_IFREG | 0o644, listed.encode()))
    target.write_bytes(gzip.compress(newc(entries), compresslevel=6, mtime=0))


def module_order(modules: Path, names: Iterable[str]) -> list[str]:
    """The files, relative to ``modules``, to load for these modules, each after what it needs (modules.dep(5)).

    Raises InputError for a module that the kernel has neither as a file nor built in.
    """
    needs: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    try:
        for line in (modules / "modules.dep").read_text().splitlines():
            file, _, rest = line.partition(":")
            needs[file] = rest.split()
            files[_module_name(file)] = file
        builtin = {_module_name(line) for line in (modules / "modules.builtin").read_text().split()}
    except OSError as error:
        raise InputError(
            f"not a kernel's module folder: {error.strerror}",
            where=str(error.filename),
            remedy="Give an unpacked /lib/modules/VERSION on which depmod has run.",
        ) from error
    before = _soft_dependencies(modules)
    order: list[str] = []

    def add(name: str, *, required: bool) -> None:
        name = _module_name(name)
        if name in files and files[name] not in order:
            for soft in before.get(name, ()):
                add(soft, required=False)
            for file in reversed(needs[files[name]]):  # "each module after those it needs, last first"
                add(file, required=True)
            if files[name] not in order:
                order.append(files[name])
        elif name not in files and name not in builtin and required:
            raise InputError(
                f"the kernel has no module {name}",
                where=str(modules),
                remedy="Domains need a kernel with Xen's block and network frontends, as every Debian kernel has.",
            )

    for name in names:
        add(name, required=True)
    return order


def read_module(path: Path) -> bytes:
    """A kernel module as busybox's insmod can load it: uncompressed. Raises CommandError if zstd fails."""
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".zst":
            done = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=False)
            if done.returncode:
                raise CommandError(f"zstd cannot read it: {done.stderr.decode()}", where=str(path))
            return done.stdout
        case _:
            return path.read_bytes()


def newc(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive of (name, mode, data), all root's and without times (kernel: Documentation, buffer-format)."""
    archive = bytearray()

    def member(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        archive.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        archive.extend(bytes(-len(archive) % 4))
        archive.extend(data)
        archive.extend(bytes(-len(archive) % 4))

    inode = 0
    for inode, (name, mode, data) in enumerate(entries, start=1):
        member(inode, name, mode, data)
    # The kernel opens it for /init before devtmpfs is mounted: without it, no message of ours would be seen.
    member(inode + 1, "dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))
    member(0, "TRAILER!!!", 0, b"")
    return bytes(archive)


def write_small_root(
    root: Path,
    *,
    name: str,
    address: str,
    prefixlen: int,
    gateway: str,
    service: Path,
    stale: bool,
    swap_uuid: str | None = None,
    busybox: Path = BUSYBOX,
) -> None:
    """A root file system of busybox and the service, in the empty folder ``root``.

    ``stale``: the service also checks for lost writes. Raises InputError for a name or address that is none, or a
    busybox without what init and the network need.
    """
    check_busybox(busybox, ROOT_APPLETS)
    for folder in (
        "bin",
        "dev",
        "etc/init.d",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
        "usr/bin",
        "usr/sbin",
        "var",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    _install(busybox, root / "bin/busybox")
    for applet in applets(busybox) - {"busybox"}:
        link = root / ("sbin" if applet in SYSTEM_APPLETS else "bin") / applet
        link.symlink_to("/bin/busybox")
    _write_common(root, name, address, prefixlen, gateway, service, busybox)
    _write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    _write(root, "etc/group", "root:x:0:\n")
    _write(root, "etc/shadow", "root:!*:19000::::::\n", 0o600)
    _write(root, "etc/fstab", _fstab(swap_uuid))
    words = f"/{SERVICE} --records {RECORDS_FILE} --checkpoint --port {PORT}"
    if stale:
        _zeros(root / STALE_FILE.lstrip("/"), STALE_BYTES)
        words += f" --stale {STALE_FILE}"
    actions = (
        "::sysinit:/etc/init.d/start",
        f"::respawn:{words}",
        "::askfirst:-/bin/sh",
        "::ctrlaltdel:/sbin/reboot",
        "::shutdown:/etc/init.d/stop",
    )
    _write(root, "etc/inittab", "".join(f"{action}\n" for action in actions))
    for script in ("start", "stop"):
        _install(GUEST / f"small-{script}.sh", root / "etc/init.d" / script)


def prepare_full_root(
    root: Path,
    *,
    name: str,
    address: str,
    prefixlen: int,
    gateway: str,
    service: Path,
    swap_uuid: str | None = None,
    busybox: Path = BUSYBOX,
) -> None:
    """Make an unpacked Debian with systemd into a domain: network, service, console, and nothing that it need not have.

    Raises InputError for a name or address that is none, or a root without an init that can power off.
    """
    for needed in ("sbin/init", "sbin/poweroff"):
        if not os.path.lexists(root / needed):
            raise InputError(f"has no /{needed}", where=str(root), remedy="Include systemd-sysv when it is unpacked.")
    check_busybox(busybox, ("arping", "ip", "sh", "usleep"))
    _write_common(root, name, address, prefixlen, gateway, service, busybox)
    _write(root, "etc/fstab", _fstab(swap_uuid))
    # Without a machine id systemd takes this for its first boot and enables every unit's preset.
    _write(root, "etc/machine-id", hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() + "\n", 0o444)
    for file in ("lab-network.service", "lab-service.service"):
        _write(root, f"etc/systemd/system/{file}", (GUEST / file).read_text())
        _link(root, f"etc/systemd/system/multi-user.target.wants/{file}", f"../{file}")
    _link(root, "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    console = "/usr/lib/systemd/system/serial-getty@.service"
    _link(root, "etc/systemd/system/getty.target.wants/serial-getty@hvc0.service", console)
    # Nobody has a password, and who has the hypervisor's console has the domain anyway.
    login = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I 115200 vt220\n"
    _write(root, "etc/systemd/system/serial-getty@.service.d/lab.conf", login)
    # eth0 stays eth0 with every release's udev (systemd.link(5)).
    _link(root, "etc/systemd/network/99-default.link", "/dev/null")
    for unit in QUIET_UNITS:
        _link(root, f"etc/systemd/system/{unit}", "/dev/null")
    _write(root, COLDPLUG_FILE, COLDPLUG)
    _write(root, "etc/sysctl.d/lab.conf", SAME_ADDRESSES)
    _write(root, "etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n")
    _write(root, "etc/systemd/system.conf.d/lab.conf", "[Manager]\nDefaultTimeoutStopSec=20s\n")
    _lock_root(root)


def fill(root: Path, live_mib: int, seed: int) -> dict[str, str]:
    """Write ``live_mib`` MiB of files of all sizes below ``root``, the same for the same seed.

    Returns what is in them: path relative to ``root`` to SHA-256.
    """
    chance = random.Random(seed)
    sums: dict[str, str] = {}
    left = live_mib * MIB
    while left > 0:
        size = min(left, int(KIB * 2 ** chance.uniform(0, 12)))  # 1 KiB to 4 MiB, as many small ones as large ones
        path = f"usr/share/lab/{chance.randrange(40):02d}/{len(sums):05d}"
        # Every third one compresses and has runs of zeros in it, as logs, libraries and databases do.
        if len(sums) % 3:
            data = chance.randbytes(size)
        else:
            piece = b"".join(f"{chance.randrange(10**9)} a line of a log\n".encode() for _ in range(50)) + bytes(
                5 * KIB
            )
            data = (piece * (size // len(piece) + 1))[:size]
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        sums[path] = hashlib.sha256(data).hexdigest()
        left -= size
    return sums


def applets(busybox: Path) -> set[str]:
    """What this busybox can do. Raises InputError if it does not run."""
    try:
        return set(subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split())
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"not a busybox: {error}", where=str(busybox), remedy="apt install busybox-static") from error


def check_busybox(busybox: Path, needed: Iterable[str]) -> None:
    """Raises InputError unless ``busybox`` is static and has the applets ``needed``."""
    missing = sorted(set(needed) - applets(busybox))
    if missing or b"/ld-linux" in busybox.read_bytes():
        reason = f"has no {', '.join(missing)}" if missing else "is not static"
        raise InputError(f"this busybox {reason}", where=str(busybox), remedy="apt install busybox-static")


def _write_common(
    root: Path, name: str, address: str, prefixlen: int, gateway: str, service: Path, busybox: Path
) -> None:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise InputError("cannot be the name of a domain", where=repr(name), remedy="Use letters, digits and hyphens.")
    try:
        interface = ipaddress.IPv4Interface(f"{address}/{prefixlen}")
        via = ipaddress.IPv4Address(gateway)
    except ValueError as error:
        raise InputError(f"not an IPv4 address: {error}", where=name) from error
    _write(root, "etc/hostname", f"{name}\n")
    _write(root, "etc/hosts", f"127.0.0.1\tlocalhost\n{interface.ip}\t{name}\n")
    _write(root, "etc/lab.conf", f"ADDRESS={interface.ip}\nPREFIXLEN={prefixlen}\nGATEWAY={via}\n")
    _write(root, "usr/lib/lab/network.sh", (GUEST / "network.sh").read_text())
    _install(busybox, root / "usr/lib/lab/busybox")
    _install(service, root / SERVICE)
    _zeros(root / RECORDS_FILE.lstrip("/"), RECORDS_BYTES)


def _fstab(swap_uuid: str | None) -> str:
    text = "/dev/xvda2 / ext4 errors=remount-ro 0 0\n"
    return text + (f"UUID={uuid.UUID(swap_uuid)} none swap sw,nofail 0 0\n" if swap_uuid else "")


def _lock_root(root: Path) -> None:
    shadow = root / "etc/shadow"
    lines = shadow.read_text().splitlines() if shadow.exists() else ["root::19000:0:99999:7:::"]
    locked = [re.sub(r"^root:[^:]*:", "root:!*:", line) for line in lines]
    _write(root, "etc/shadow", "".join(f"{line}\n" for line in locked), 0o640)


def _soft_dependencies(modules: Path) -> dict[str, list[str]]:
    """``pre:`` of modules.softdep (modprobe.d(5)): ext4 finds crc32c through it, not through modules.dep.

    It is named by an alias there, which more than one module may have: the plain one and one for some processors.
    """
    aliases: dict[str, list[str]] = {}
    for line in _lines(modules / "modules.alias"):
        match line.split():
            case ["alias", alias, module]:
                aliases.setdefault(_module_name(alias), []).append(module)
    result: dict[str, list[str]] = {}
    for line in _lines(modules / "modules.softdep"):
        found = re.fullmatch(r"softdep\s+(\S+)\s+pre:\s*(.*?)(\s+post:.*)?", line)
        if found:
            for name in found[2].split():
                result.setdefault(_module_name(found[1]), []).extend(aliases.get(_module_name(name), [name]))
    return result


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _module_name(file: str) -> str:
    return re.sub(r"\.ko(\.\w+)?$", "", file.rsplit("/", 1)[-1]).replace("-", "_")


def _write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never through a link, which in another system's tree may point into this one
    path.write_text(text)
    path.chmod(mode)


def _link(root: Path, name: str, target: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _zeros(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(bytes(MIB))
