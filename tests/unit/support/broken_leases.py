"""Two servers whose images are leased as they must be, and what makes each finding of it: snow01 has deploy01's image, snow02 has
proxy01's, and slurm01 is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from snowha.xen.leases import Attached, Lease, Leases, Migration

FOLDER = "/sNow/domains"
DEPLOY, PROXY, SLURM = (f"{FOLDER}/{name}/{name}-disk" for name in ("deploy01", "proxy01", "slurm01"))
IMAGES = {DEPLOY: "deploy01", PROXY: "proxy01", SLURM: "slurm01"}
BOOT = {"snow01": "11111111-1111-1111-1111-111111111111", "snow02": "22222222-2222-2222-2222-222222222222"}
SINCE = "2026-11-27T04:55:05Z"


@dataclass(frozen=True)
class Case:
    """What the servers say, and the records as one of them reads them."""

    answers: Mapping[str, Leases | None]
    records: tuple[Lease, ...]


def held(image: str, server: str, /, **changes: str) -> Lease:
    lease = Lease(image, "held", server, BOOT[server], IMAGES[image], "disk", "yes", since=SINCE)
    return replace(lease, **changes)


def attached(image: str, /, **changes: bool | str) -> Attached:
    one = Attached(image, IMAGES[image], "snow-5-51714", is_leased=True, holder_lives=True, is_frozen=False)
    return replace(one, **changes)  # type: ignore[arg-type]


def server(name: str, *disks: Attached, **changes: object) -> Leases:
    return replace(Leases(name, BOOT[name], (), disks), **changes)  # type: ignore[arg-type]


def well() -> Case:
    return case()


def case(*records: Lease, **answers: Leases | None) -> Case:
    """The servers of which nothing is wrong, with other answers or records of an image."""
    usual = {
        "snow01": server("snow01", attached(DEPLOY)),
        "snow02": server("snow02", attached(PROXY)),
    }
    changed = {record.image: record for record in records}
    all_records = (held(DEPLOY, "snow01"), held(PROXY, "snow02"), Lease(SLURM, "free"))
    return Case({**usual, **answers}, tuple(changed.get(record.image, record) for record in all_records))


BARE = attached(DEPLOY, domain="", device="loop3", is_leased=False, holder_lives=False)

CASES: dict[str, Case] = {
    "image-twice": case(snow02=server("snow02", attached(PROXY), attached(DEPLOY))),
    "image-without-lease": case(Lease(DEPLOY, "held", "snow01"), snow01=server("snow01", BARE)),
    "lease-unexplained": case(snow01=server("snow01")),
    "lease-unreadable": case(Lease(SLURM, "unreadable", trouble=f"{SLURM}.lease was replaced, perhaps from a backup")),
    "lease-adopted": case(
        held(DEPLOY, "snow01", kind="adopted"), snow01=server("snow01", attached(DEPLOY, device="loop3"))
    ),
    "lease-pending": case(held(DEPLOY, "snow01", lock="pending")),
    "lease-without-lock": case(held(DEPLOY, "snow01", lock="none")),
    "lease-lock-lost": case(held(DEPLOY, "snow01", locked="no")),
    "lease-left": case(held(SLURM, "snow01", kind="copy", domain="", process="gone")),
    "lease-holder-gone": case(snow01=server("snow01", attached(DEPLOY, holder_lives=False))),
    "image-frozen": case(snow01=server("snow01", attached(DEPLOY, is_frozen=True))),
    "xl-unusable": case(
        snow01=server("snow01", attached(DEPLOY), notes={"deploy01": f"{SINCE} xl cannot be used: xl: not found"})
    ),
    "migration-failed": case(
        snow01=server(
            "snow01",
            attached(DEPLOY),
            notes={"deploy01.migration": f"{SINCE} deploy01 was not migrated to snow02: its lease"},
        )
    ),
    "domain-migrating": case(
        snow01=server(
            "snow01",
            attached(DEPLOY),
            migrations=(Migration("deploy01", "snow02", 21.4, 200 << 20, 9 << 20, 128 << 20),),
        )
    ),
    "domain-paused": case(snow01=server("snow01", attached(DEPLOY), notes={"deploy01": f"{SINCE} deploy01 is paused"})),
}
"""By the code of the finding that it makes, and no other."""
