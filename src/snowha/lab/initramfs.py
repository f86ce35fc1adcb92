"""A small initramfs for the lab's domains: busybox, what the disk and the network need, and a script that mounts the root."""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from snowha.errors import CommandError, InputError
from snowha.lab.busybox import BUSYBOX, check_busybox

INIT = Path(__file__).parent / "guest/initramfs-init.sh"
MODULES = ("xen-blkfront", "xen-netfront", "ext4")
"""What a domain cannot do without; what its kernel has built in is left out."""

APPLETS = (
    "cat", "cttyhack", "findfs", "insmod", "ls", "mount", "reboot", "setsid", "sh", "switch_root", "usleep",
)  # fmt: skip


def write(target: Path, *, modules: Path, busybox: Path = BUSYBOX, names: Iterable[str] = MODULES) -> None:
    """A small initramfs: busybox, what the disk and the network need, and ``guest/initramfs-init.sh``.

    ``modules`` is an unpacked /lib/modules/VERSION with its modules.dep. The same inputs give the same bytes.
    Raises InputError if a module is neither there nor built in, or busybox cannot be used.
    """
    check_busybox(busybox, APPLETS)
    entries: list[tuple[str, int, bytes]] = [
        (folder, stat.S_IFDIR | 0o755, b"") for folder in ("bin", "dev", "modules", "proc", "root", "sys")
    ]
    entries.append(("init", stat.S_IFREG | 0o755, INIT.read_bytes()))
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    entries += [(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox") for name in APPLETS]
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
