"""Everything that is known of one domain, as data and for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from snowha.operations.columns import aligned
from snowha.operations.status import SiteStatus
from snowha.operations.status_text import pacemaker_location
from snowha.site.model import Domain


def facts(domain: Domain, status: SiteStatus, roles: Sequence[str]) -> dict[str, Any]:
    """The domain's config, where it runs, its images with their leases, and what is wrong with it."""
    seen = next(one for one in status.domains if one.name == domain.name)
    return {
        **asdict(seen),
        "roles": list(roles),
        "config": domain.config,
        "type": domain.type,
        "memory_mib": domain.memory_mib,
        "vcpus": domain.vcpus,
        "kernel": domain.kernel,
        "disks": [{"vdev": disk.vdev, "target": disk.target, "access": disk.access} for disk in domain.disks],
        "vifs": [asdict(vif) for vif in domain.vifs],
        "images": [asdict(image) for image in status.images if image.domain == domain.name],
        "findings": [asdict(one) for one in status.findings if _is_about(one.where, domain)],
    }


def lines(facts: Mapping[str, Any]) -> list[str]:
    """``facts`` for a person."""
    state = "off on purpose" if facts["on_purpose"] else facts["state"]
    holders = {image["image"]: image["holder"] or image["state"] for image in facts["images"]}
    rows = [
        ("Domain", facts["name"]),
        ("State", f"{state} {' '.join(facts['servers'])}".strip()),
        ("Pacemaker", pacemaker_location(facts["pacemaker"], managed=facts["managed"])),
        ("Roles", ",".join(facts["roles"]) or "-"),
        ("Config", facts["config"]),
        ("Type", facts["type"]),
        ("Memory", f"{facts['memory_mib']} MiB"),
        ("vCPUs", str(facts["vcpus"])),
        *(("Disk", _disk(disk, holders)) for disk in facts["disks"]),
        *(("Network", " ".join(word for word in (v["bridge"], v["ip"], v["mac"]) if word)) for v in facts["vifs"]),
        *((one["severity"], f"{one['message']} → {one['remedy']}") for one in facts["findings"]),
    ]
    return aligned(rows)


def _disk(disk: Mapping[str, str], holders: Mapping[str, str]) -> str:
    held = f" (lease: {holders[disk['target']]})" if disk["target"] in holders else ""
    return f"{disk['vdev']} {disk['target']}{held}"


def _is_about(where: str, domain: Domain) -> bool:
    return domain.name in where.split(", ") or where in [disk.target for disk in domain.disks if disk.target]
