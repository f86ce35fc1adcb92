"""What the lab needs of the machine it runs on: root, two Python packages that only it needs, and Debian's packages."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec

from snowha.errors import InputError, SiteError
from snowha.hosts.local import LocalHost

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "lvm": "lvm2",
    "mkfs.ext4": "e2fsprogs",
    "sfdisk": "fdisk",
    "losetup": "mount",
    "apt-ftparchive": "apt-utils",
    "dpkg": "dpkg",
    "depmod": "kmod",
    "cpio": "cpio",
    "busybox": "busybox-static",
    "gcc": "gcc",
    "ar": "binutils",
    "ipmitool": "ipmitool",
    "xz": "xz-utils",
    "zstd": "zstd",
    "lz4": "lz4",
}
"""Command to Debian package."""

PYTHON_PACKAGES = {"pyghmi": "pyghmi", "qemu": "qemu.qmp"}
"""Module to Python package: the extra ``lab`` of pyproject.toml."""

ALSO = ("libc6-dev", "seabios", "debian-archive-keyring")


def packages() -> tuple[str, ...]:
    """The Debian packages that `make` installs."""
    return (*dict.fromkeys(PACKAGES.values()), *ALSO)


def may_begin() -> None:
    """Raise SiteError without root, InputError without the Python packages. To be asked before anything is written."""
    if os.geteuid() != 0:
        raise SiteError("the lab needs root: it makes a network namespace and loop devices", remedy="run it with sudo")
    absent = [package for module, package in PYTHON_PACKAGES.items() if find_spec(module) is None]
    if absent:
        raise InputError(
            f"the lab needs Python packages that are not installed: {', '.join(absent)}",
            remedy=f"{sys.executable} -m pip install {' '.join(absent)}",
        )


def check() -> None:
    """Raise SiteError in one line when the lab cannot run here."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for command, package in PACKAGES.items() if not shutil.which(command, path=path)})
    if missing:
        raise SiteError(f"missing on this machine: {', '.join(missing)}", remedy=f"apt-get install {' '.join(missing)}")


def missing() -> tuple[str, ...]:
    """The packages that are not installed here, by dpkg's word."""
    wanted = packages()
    words = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted]
    lines = LocalHost().run(words, check=False).stdout.splitlines()
    installed = {line.split()[0] for line in lines if line.endswith(" installed")}
    return tuple(name for name in wanted if name not in installed)


def main() -> None:
    """``python -m snowha.lab.requirements [--missing]``: package names in one line, for make."""
    print(" ".join(missing() if "--missing" in sys.argv[1:] else packages()))


if __name__ == "__main__":
    main()
