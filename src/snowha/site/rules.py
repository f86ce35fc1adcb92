"""What must hold between the parts of a site. Findings are data: a terminal, JSON and a test see the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from snowha.errors import InputError, SnowError
from snowha.site.model import Disk, Domain, Site
from snowha.site.names import comparable, listed, plain_path

Severity = Literal["stop", "warn", "note"]

_MAPPER = re.compile(r"/dev/(?:mapper/|disk/by-id/dm-name-)((?:[^-/]|--)+)-((?:[^-/]|--)+)")


@dataclass(frozen=True)
class Finding:
    """Something that was looked up and is not as it must be."""

    code: str
    """Stable, for scripts and docs, e.g. ``shared-disk``."""
    severity: Severity
    """``stop``: nothing is changed before it is remedied."""
    where: str
    """File, host or domain; several are separated by ``, ``."""
    message: str
    remedy: str


@dataclass(frozen=True)
class _Use:
    """Somebody uses a name, address or image."""

    thing: str
    by: str
    where: str


def check_site(site: Site, domains: Sequence[Domain]) -> tuple[Finding, ...]:
    """Cross checks of a site and every domain config found on it, whether or not the cluster will run the domain."""
    servers = [
        _Use(address, f"server {server.name}", f"server {server.name}")
        for server in site.servers
        for address in sorted({server.address, *server.links})
    ]
    if site.floating_ip:
        servers.append(_Use(site.floating_ip.address, "the floating IP", "floating IP"))
    names = [_Use(server.name, f"server {server.name}", f"server {server.name}") for server in site.servers]
    return check_domains(domains, addresses=servers, names=names)


def check_domains(
    domains: Sequence[Domain], *, addresses: Iterable[_Use] = (), names: Iterable[_Use] = ()
) -> tuple[Finding, ...]:
    """Two domains with one name, image, MAC or IP address, vifname or UUID. Each finding names all configs concerned."""
    own_names = [_Use(domain.name, f"domain {domain.name}", domain.config) for domain in domains]
    macs = [_Use(mac, f"domain {domain.name}", domain.config) for domain in domains for mac in _macs(domain)]
    ips = [_Use(address, f"domain {domain.name}", domain.config) for domain in domains for address in domain.addresses]
    cards = [_Use(name, f"domain {domain.name}", domain.config) for domain in domains for name in domain.vifnames]
    uuids = [_Use(domain.uuid, f"domain {domain.name}", domain.config) for domain in domains if domain.uuid]
    return (
        *_duplicates(
            [*names, *own_names],
            str.lower,
            "duplicate-name",
            "the name {thing} is used {count} times",
            "rename all but one, or move the config that is not used out of the folder",
        ),
        *_shared_disks(domains),
        *_duplicates(
            macs,
            str.lower,
            "duplicate-mac",
            "the MAC address {thing} is used {count} times ({by})",
            "give each virtual network interface its own MAC address",
        ),
        *_duplicates(
            cards,
            str,
            "duplicate-vifname",
            "the vifname {thing} is used {count} times ({by})",
            "give each network card a vifname of its own, or none",
        ),
        *_duplicates(
            uuids,
            str,
            "duplicate-uuid",
            "the uuid {thing} is used {count} times ({by})",
            "remove the lines with uuid: Xen gives each domain one of its own",
            severity="warn",
        ),
        *_duplicates(
            [*addresses, *ips],
            comparable,
            "duplicate-ip",
            "the IP address {thing} is used {count} times ({by})",
            "give each its own address",
        ),
    )


def raise_on_stop(
    findings: Iterable[Finding], kind: Callable[[Finding], type[SnowError]] = lambda _: InputError
) -> None:
    """One error for all findings that forbid going on, of the ``kind`` of the first one: a single one with its place and
    remedy, several as ``lines``."""
    stops = [finding for finding in findings if finding.severity == "stop"]
    if not stops:
        return
    first, *others = stops
    data = [asdict(finding) for finding in stops]
    if not others:
        raise kind(first)(first.message, where=first.where, remedy=first.remedy, findings=data)
    text = "\n".join([f"{len(stops)} findings prevent this run", *lines(stops)])
    raise kind(first)(text, remedy="correct these; `snow ha check` checks again", findings=data)


def lines(findings: Iterable[Finding]) -> list[str]:
    """Findings for a terminal: what, where, what to do."""
    text = []
    for finding in findings:
        text += [
            f"{finding.severity.upper():4}  {finding.code}  {finding.where}",
            f"      {finding.message}",
            f"      → {finding.remedy}",
        ]
    return text


def image_key(target: str) -> str:
    """One spelling for a volume or image: ``/dev/mapper/vg-lv--x`` is ``/dev/vg/lv-x`` (lvm(8)), and so is udev's link
    ``/dev/disk/by-id/dm-name-vg-lv--x``."""
    path = plain_path(target)
    if match := _MAPPER.fullmatch(path):
        group, volume = (part.replace("--", "-") for part in match.groups())
        return f"/dev/{group}/{volume}"
    return path


def _macs(domain: Domain) -> list[str]:
    """Of its network cards. One on two bridges is seen once on either: bonded cards may be so."""
    bridges: dict[str, list[str]] = {}
    for vif in domain.vifs:
        if vif.mac:
            bridges.setdefault(vif.mac.lower(), []).append(vif.bridge)
    return [mac for mac, found in bridges.items() for _ in range(len(found) - len(set(found)) + 1)]


def _shared_disks(domains: Sequence[Domain]) -> Iterable[Finding]:
    uses = [(domain, disk) for domain in domains for disk in domain.disks if disk.target]
    # The same domain in two folders is a duplicate name already, said once.
    seen: dict[str, list[tuple[Domain, Disk]]] = {}
    for domain, disk in uses:
        seen.setdefault(image_key(disk.target), []).append((domain, disk))
    for target, users in seen.items():
        names = [domain.name for domain, _ in users]
        configs = list(dict.fromkeys(domain.config for domain, _ in users))
        # An image that nobody writes can be shared, a CD too.
        if len(users) < 2 or all(disk.access == "r" or "cdrom" in disk.options for _, disk in users):
            continue
        if len({name.lower() for name in names}) == 1 and len(configs) > 1:
            continue
        yield Finding(
            code="shared-disk",
            severity="stop",
            where=", ".join(configs),
            message=f"{target} is a disk of {listed(names)}: two writers destroy the file system",
            remedy="give each domain its own disk",
        )


def _duplicates(
    uses: Iterable[_Use],
    key: Callable[[str], str],
    code: str,
    message: str,
    remedy: str,
    *,
    severity: Severity = "stop",
) -> Iterable[Finding]:
    seen: dict[str, list[_Use]] = {}
    for use in uses:
        seen.setdefault(key(use.thing), []).append(use)
    for users in seen.values():
        if len(users) > 1:
            yield Finding(
                code=code,
                severity=severity,
                where=", ".join(dict.fromkeys(use.where for use in users)),
                message=message.format(
                    thing=users[0].thing, count=len(users), by=", ".join(dict.fromkeys(use.by for use in users))
                ),
                remedy=remedy,
            )
