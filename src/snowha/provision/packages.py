"""What a server of the cluster needs installed, by Debian release.

The guide's list (section "Install the required software packages") names ``libqb0``, which is a dependency of corosync under
another name today, and ``drbd-utils``, which nothing here uses: neither is asked for. It uses ``ipmitool`` without naming it.
``crmsh`` and ``jq`` are for sNow! itself: with more than one server in SNOW_NODES, sNow! 1.1.16 boots and shuts down domains with
``crm resource`` and lists them with ``xl list -l NAME | jq`` (its share/common.sh: boot_domain, nshutdown, avail_domains).
"""

from __future__ import annotations

from collections.abc import Iterable

from snowha.errors import SiteError
from snowha.site.model import Domain

_COMMON = (
    "xen-system-amd64",
    "bridge-utils",
    "nfs-common",
    "corosync",
    "pacemaker",
    "pacemaker-cli-utils",
    "resource-agents",
    "ipmitool",
    "iputils-ping",
    "python3",
    "crmsh",
    "jq",
)
CONVERTER = "qemu-utils"
"""What a server needs as well that has a disk which is converted (images/qemu_img.py)."""
EMULATOR, UEFI = "qemu-system-xen", "ovmf"
"""QEMU for Xen and UEFI firmware: xen-utils only recommends the one and suggests the other, and no such package is installed."""
_FENCE_AGENTS = {"bookworm": "fence-agents", "trixie": "fence-agents-ipmilan"}


def server_packages(release: str) -> tuple[str, ...]:
    """Package names for a Debian ``release``, by its code name. Raises SiteError for a release nobody has tried."""
    if release not in _FENCE_AGENTS:
        raise SiteError(
            f"Debian {release} was not tested with snow-ha",
            remedy=f"use one of: {', '.join(_FENCE_AGENTS)}",
        )
    return (*_COMMON, _FENCE_AGENTS[release])


def domain_packages(domains: Iterable[Domain]) -> tuple[str, ...]:
    """What each server needs as well, to start these domains."""
    found = list(domains)
    needed = {EMULATOR: any(one.needs_qemu for one in found), UEFI: any(one.needs_uefi for one in found)}
    return tuple(name for name, is_needed in needed.items() if is_needed)
