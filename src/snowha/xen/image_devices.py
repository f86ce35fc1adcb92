"""What a server's udev makes of the devices behind its domains' images: as little as possible.

What is in an image is the domain's. LVM on a server activates each volume group that appears on a loop device (69-lvm.rules),
also one that a domain made in its disk: it has the image open then, after the domain is gone, and no other server may attach it.
A logical volume that a domain runs from is not looked into (lvm.conf(5), scan_lvs), so this begins with the images.

nfs-common has a program started for every block device that appears, to find out whether it is an NFS mount (nfsrahead(5)): also
while a domain waits for its disks. The device numbers of NFS mounts begin with 0 (Linux fs/nfs/super.c), those of disks do not.
"""

from __future__ import annotations

import re

from snowha.hosts.files import read_text, remove_file, write_file
from snowha.hosts.host import Host

PATH = "/etc/udev/rules.d/59-snow-ha.rules"
"""Before 60-persistent-storage.rules, which has them looked into and links them by what is in them."""
NFS_PATH = "/etc/udev/rules.d/99-nfs.rules"
"""In place of nfs-common's file of the same name (udev(7)), if that has the one rule that is known here."""
_NFS_OF_PACKAGE = "/usr/lib/udev/rules.d/99-nfs.rules"
_NFS_RULE = re.compile(r'SUBSYSTEM=="bdi", ACTION=="add", (PROGRAM="[^"]*/nfsrahead %k", ATTR\{read_ahead_kb\}="%c")')
_OURS = "# Installed and kept alike on all servers by snow-ha: "


def text(images: str) -> str:
    """The rules. ``images``: the site's folder of images.

    The device-mapper devices are those of 70-disk.pl; one of LVM by such a name has a UUID.
    """
    return (
        f"{_OURS}what is in a domain's image is the domain's.\n"
        f'SUBSYSTEM=="block", KERNEL=="loop[0-9]*", ATTR{{loop/backing_file}}=="{images}/*",'
        ' ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"\n'
        'SUBSYSTEM=="block", KERNEL=="dm-[0-9]*", ATTR{dm/name}=="snow-[0-9]*-[0-9]*", ATTR{dm/uuid}=="",'
        ' ENV{DM_UDEV_DISABLE_DISK_RULES_FLAG}="1", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"\n'
    )


def nfs_text(of_package: str) -> str | None:
    """nfs-common's rule, for NFS mounts alone; None for a file that has any other one. ``of_package``: the package's file."""
    lines = [line.strip() for line in of_package.splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    rule = _NFS_RULE.fullmatch(rules[0]) if len(rules) == 1 else None
    if rule is None:
        return None
    return (
        f'{_OURS}nfs-common\'s rule, for NFS mounts alone.\nSUBSYSTEM=="bdi", ACTION=="add", KERNEL=="0:*", {rule[1]}\n'
    )


def missing(host: Host, images: str) -> str | None:
    """What is wrong with the rules on ``host``, None if nothing is."""
    if read_text(host, PATH) != text(images):
        return f"{PATH} is missing or differs"
    wanted, there = _nfs(host)
    if wanted == there:
        return None
    return (
        f"{NFS_PATH} is missing or differs" if wanted else f"{NFS_PATH} replaces rules of nfs-common that have changed"
    )


def install(host: Host, images: str) -> None:
    """Write the rules. udev reads them by itself before its next event."""
    write_file(host, PATH, text(images), mode=0o644, owner="root:root")
    wanted, there = _nfs(host)
    if wanted is not None and wanted != there:
        write_file(host, NFS_PATH, wanted, mode=0o644, owner="root:root")
    elif wanted is None and there is not None:
        remove_file(host, NFS_PATH)


def installed(host: Host) -> list[str]:
    """The files with rules that ``install`` has written on ``host``."""
    return [path for path in (PATH, NFS_PATH) if (read_text(host, path) or "").startswith(_OURS)]


def _nfs(host: Host) -> tuple[str | None, str | None]:
    """What NFS_PATH is to have, and has; nothing twice for a file of the site's own, which stays as it is."""
    there = read_text(host, NFS_PATH)
    if there is not None and not there.startswith(_OURS):
        return None, None
    return nfs_text(read_text(host, _NFS_OF_PACKAGE) or ""), there
