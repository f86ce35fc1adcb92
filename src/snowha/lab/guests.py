"""The insides of the lab's domains: the service, a busybox root, a full Debian root.

Every function writes below a folder that it is given and runs natively, as root. Nothing here starts a machine.
What ends up in a script or a unit is checked first: names and addresses are data.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import random
import re
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from snowha.errors import CommandError, InputError
from snowha.lab.busybox import BUSYBOX, applets, check_busybox
from snowha.lab.emulation_tuning import apply_tuning
from snowha.lab.layout import SERVICE_PORT
from snowha.lab.records import RECORDS_BYTES, RECORDS_FILE, STALE_BYTES, STALE_FILE
from snowha.lab.tree import install, link, write

GUEST = Path(__file__).parent / "guest"
SERVICE = "usr/sbin/lab-service"
ROOT_APPLETS = (
    "arping", "halt", "hostname", "init", "ip", "killall", "pidof", "poweroff", "reboot", "sh", "swapoff", "swapon",
)  # fmt: skip
SYSTEM_APPLETS = {"halt", "init", "poweroff", "reboot"}
"""Those that the kernel, or a person used to it, looks for in /sbin."""

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Guest:
    """What a domain's root is made with."""

    name: str
    address: str
    prefixlen: int
    gateway: str
    service: Path
    """The compiled service."""
    swap_uuid: str | None = None
    busybox: Path = BUSYBOX


def compile_service(target: Path) -> None:
    """Compile the service into one static program that runs in any domain.

    Raises InputError if there is no compiler, CommandError if it fails (without libc6-dev, for example).
    """
    words = ["gcc", "-std=gnu11", "-O2", "-static", "-pthread", "-Wall", "-Wextra", "-o", str(target)]
    sources = [str(file) for file in sorted(GUEST.glob("*.c"))]
    try:
        done = subprocess.run([*words, *sources], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError("no C compiler", where="gcc", remedy="apt install gcc libc6-dev") from error
    if done.returncode:
        raise CommandError(f"the domains' service does not compile:\n{done.stderr}", remedy="apt install gcc libc6-dev")


def write_small_root(root: Path, guest: Guest, *, stale: bool) -> None:
    """A root file system of busybox and the service, in the empty folder ``root``.

    ``stale``: the service also checks for lost writes. Raises InputError for a name or address that is none, or a
    busybox without what init and the network need.
    """
    check_busybox(guest.busybox, ROOT_APPLETS)
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
    install(guest.busybox, root, "bin/busybox")
    for applet in applets(guest.busybox) - {"busybox"}:
        link = root / ("sbin" if applet in SYSTEM_APPLETS else "bin") / applet
        link.symlink_to("/bin/busybox")
    _write_common(root, guest)
    write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    write(root, "etc/group", "root:x:0:\n")
    write(root, "etc/shadow", "root:!*:19000::::::\n", 0o600)
    write(root, "etc/fstab", _fstab(guest.swap_uuid))
    words = f"/{SERVICE} --records {RECORDS_FILE} --checkpoint --port {SERVICE_PORT}"
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
    write(root, "etc/inittab", "".join(f"{action}\n" for action in actions))
    for script in ("start", "stop"):
        install(GUEST / f"small-{script}.sh", root, f"etc/init.d/{script}")


def prepare_full_root(root: Path, guest: Guest) -> None:
    """Make an unpacked Debian with systemd into a domain: network, service, console, and nothing that it need not have.

    Raises InputError for a name or address that is none, or a root without an init that can power off.
    """
    for needed in ("sbin/init", "sbin/poweroff"):
        if not os.path.lexists(root / needed):
            raise InputError(f"has no /{needed}", where=str(root), remedy="Include systemd-sysv when it is unpacked.")
    check_busybox(guest.busybox, ("arping", "ip", "sh", "usleep"))
    _write_common(root, guest)
    write(root, "etc/fstab", _fstab(guest.swap_uuid))
    # Without a machine id systemd takes this for its first boot and enables every unit's preset.
    write(root, "etc/machine-id", hashlib.md5(guest.name.encode(), usedforsecurity=False).hexdigest() + "\n", 0o444)
    for file in ("lab-network.service", "lab-service.service"):
        write(root, f"etc/systemd/system/{file}", (GUEST / file).read_text())
        link(root, f"etc/systemd/system/multi-user.target.wants/{file}", f"../{file}")
    link(root, "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    console = "/usr/lib/systemd/system/serial-getty@.service"
    link(root, "etc/systemd/system/getty.target.wants/serial-getty@hvc0.service", console)
    # Nobody has a password, and who has the hypervisor's console has the domain anyway.
    login = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I 115200 vt220\n"
    write(root, "etc/systemd/system/serial-getty@.service.d/lab.conf", login)
    # eth0 stays eth0 with every release's udev (systemd.link(5)).
    link(root, "etc/systemd/network/99-default.link", "/dev/null")
    apply_tuning(root, domain=True, log_mib=8)
    write(root, "etc/systemd/system.conf.d/lab.conf", "[Manager]\nDefaultTimeoutStopSec=20s\n")
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


def _write_common(root: Path, guest: Guest) -> None:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", guest.name):
        raise InputError(
            "cannot be the name of a domain", where=repr(guest.name), remedy="Use letters, digits and hyphens."
        )
    try:
        interface = ipaddress.IPv4Interface(f"{guest.address}/{guest.prefixlen}")
        via = ipaddress.IPv4Address(guest.gateway)
    except ValueError as error:
        raise InputError(f"not an IPv4 address: {error}", where=guest.name) from error
    write(root, "etc/hostname", f"{guest.name}\n")
    write(root, "etc/hosts", f"127.0.0.1\tlocalhost\n{interface.ip}\t{guest.name}\n")
    write(root, "etc/lab.conf", f"ADDRESS={interface.ip}\nPREFIXLEN={guest.prefixlen}\nGATEWAY={via}\n")
    write(root, "usr/lib/lab/network.sh", (GUEST / "network.sh").read_text())
    install(guest.busybox, root, "usr/lib/lab/busybox")
    install(guest.service, root, SERVICE)
    _zeros(root / RECORDS_FILE.lstrip("/"), RECORDS_BYTES)


def _fstab(swap_uuid: str | None) -> str:
    text = "/dev/xvda2 / ext4 errors=remount-ro 0 0\n"
    return text + (f"UUID={uuid.UUID(swap_uuid)} none swap sw,nofail 0 0\n" if swap_uuid else "")


def _lock_root(root: Path) -> None:
    shadow = root / "etc/shadow"
    lines = shadow.read_text().splitlines() if shadow.exists() else ["root::19000:0:99999:7:::"]
    locked = [re.sub(r"^root:[^:]*:", "root:!*:", line) for line in lines]
    write(root, "etc/shadow", "".join(f"{line}\n" for line in locked), 0o640)


def _zeros(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(bytes(MIB))
