"""What a server's udev makes of the devices behind its domains' images: nothing.

What is in an image is the domain's. LVM on a server activates each volume group that appears on a loop device (69-lvm.rules),
also one that a domain made in its disk: it has the image open then, after the domain is gone, and no other server may attach it.
A logical volume that a domain runs from is not looked into (lvm.conf(5), scan_lvs), so this begins with the images.
"""

from __future__ import annotations

from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host

PATH = "/etc/udev/rules.d/59-snow-ha.rules"
"""Before 60-persistent-storage.rules, which has them looked into and links them by what is in them."""


def text(images: str) -> str:
    """The rules. ``images``: the site's folder of images.

    The device-mapper devices are those of 70-disk.pl; one of LVM by such a name has a UUID.
    """
    return (
        "# Installed and kept alike on all servers by snow-ha: what is in a domain's image is the domain's.\n"
        f'SUBSYSTEM=="block", KERNEL=="loop[0-9]*", ATTR{{loop/backing_file}}=="{images}/*",'
        ' ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"\n'
        'SUBSYSTEM=="block", KERNEL=="dm-[0-9]*", ATTR{dm/name}=="snow-[0-9]*-[0-9]*", ATTR{dm/uuid}=="",'
        ' ENV{DM_UDEV_DISABLE_DISK_RULES_FLAG}="1", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"\n'
    )


def missing(host: Host, images: str) -> str | None:
    """What is wrong with the rules on ``host``, None if nothing is."""
    return None if read_text(host, PATH) == text(images) else f"{PATH} is not there or differs"


def install(host: Host, images: str) -> None:
    """Write the rules. udev reads them by itself before its next event."""
    write_file(host, PATH, text(images), mode=0o644, owner="root:root")
