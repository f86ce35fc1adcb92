"""Rules about the servers themselves: systems, versions, clocks, names, logins, what starts at boot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from snowha.checks.catalogue import found
from snowha.checks.facts import Facts, ServerFacts
from snowha.errors import SiteError
from snowha.provision.packages import server_packages
from snowha.provision.servers import settings
from snowha.site.model import Site
from snowha.site.rules import Finding

CLOCK_LIMIT = 1.0
"""Seconds that two clocks may differ."""
_UNDER_DOMAINS = ("xen-hypervisor-common", "xen-utils-common", "corosync", "pacemaker")
"""Packages whose replacement takes domains down, or fences their server. One of each kind."""
_LOOPBACK = "127."


def rules(site: Site, facts: Facts) -> Iterator[Finding]:
    """Everything about the servers, unreachable ones first."""
    for server in facts.servers:
        if not server.answers:
            yield found("unreachable", server.name, server.trouble, remedy=server.remedy)
    for server in facts.answering:
        yield from _release(server)
    yield from _differences(facts)
    yield from _clocks(facts)
    yield from _names(site, facts)
    yield from _logins(facts)
    for server in facts.answering:
        yield from _boot(server)
        yield from _upgrades(server)


def _upgrades(server: ServerFacts) -> Iterator[Finding]:
    """What apt would replace, and needrestart restart, under running domains, with nobody there."""
    # an interval in days, or with a unit; apt.systemd.daily looks at Enable first
    is_on = re.search(r'^APT::Periodic::Unattended-Upgrade "(?:0*[1-9]|always)', server.upgrades, re.MULTILINE)
    if is_on and not re.search(r'^APT::Periodic::Enable "0"', server.upgrades, re.MULTILINE):
        spared = re.findall(r'^Unattended-Upgrade::Package-Blacklist:: "(.*)";$', server.upgrades, re.MULTILINE)
        touched = [name for name in _UNDER_DOMAINS if not any(_matches(pattern, name) for pattern in spared)]
        if touched:
            message = f"unattended-upgrades would replace {', '.join(touched)} under running domains"
            yield found("unattended-upgrades", server.name, message)
    # the last setting counts
    restarts = re.findall(r"^\s*\$nrconf\{['\"]?restart['\"]?\}\s*=\s*['\"](\w)", server.upgrades, re.MULTILINE)
    if restarts[-1:] == ["a"]:
        yield found(
            "unattended-upgrades",
            server.name,
            "needrestart restarts services by itself: Corosync, Pacemaker and Xen's daemons with them",
            remedy="write $nrconf{restart} = 'l'; into a file in /etc/needrestart/conf.d",
        )


def _matches(pattern: str, name: str) -> bool:
    """As unattended-upgrades does (``re.match``)."""
    try:
        return re.match(pattern, name) is not None
    except re.error:
        return False


def _release(server: ServerFacts) -> Iterator[Finding]:
    try:
        server_packages(server.release)
    except SiteError as error:
        named = f"Debian {server.release}" if server.release else "/etc/os-release does not name a Debian release"
        message = f"{named} was not tested with snow-ha" if server.release else named
        yield found("release", server.name, message, remedy=error.remedy)


def _differences(facts: Facts) -> Iterator[Finding]:
    releases = {server.name: server.release for server in facts.answering if server.release}
    if len(set(releases.values())) > 1:
        yield found("release-differs", ", ".join(releases), _table(releases))
        return  # every version differs then
    for package in ("corosync", "pacemaker"):
        versions = {server.name: server.packages[package] for server in facts.answering if package in server.packages}
        if len(set(versions.values())) > 1:
            yield found("version-differs", ", ".join(versions), f"{package} is {_table(versions)}")
    hypervisors = {server.name: server.xen.version for server in facts.answering if server.xen}
    if len(set(hypervisors.values())) > 1:
        oldest, newest = sorted(set(hypervisors.values()), key=_version)[:: len(set(hypervisors.values())) - 1]
        yield found(
            "version-differs",
            ", ".join(hypervisors),
            f"Xen is {_table(hypervisors)}: domains can be migrated from {oldest} to {newest}, but not back",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _table(values: dict[str, str]) -> str:
    return ", ".join(f"{value} on {name}" for name, value in values.items())


def _clocks(facts: Facts) -> Iterator[Finding]:
    """Two clocks differ for certain only by what their intervals do not have in common."""
    known = [(server.name, server.clock) for server in facts.answering if server.clock]
    for number, (name, (low, high)) in enumerate(known):
        for other, (other_low, other_high) in known[:number]:
            apart = max(low - other_high, other_low - high)
            if apart > CLOCK_LIMIT:
                ahead, behind = (name, other) if low > other_high else (other, name)
                yield found("clock", f"{other}, {name}", f"{ahead} is at least {apart:.1f} s ahead of {behind}")


def _names(site: Site, facts: Facts) -> Iterator[Finding]:
    own = {
        server.name: {server.address, *server.links, *facts.server(server.name).addresses} for server in site.servers
    }
    storage: dict[str, dict[str, str]] = {}
    for server in facts.answering:
        for name, address in server.names.items():
            if name == server.name and (not address or address.startswith(_LOOPBACK)):
                continue  # Debian's 127.0.1.1: only the others need the name
            if not address:
                yield found("name-unknown", server.name, f"it cannot resolve {name}")
            elif name in own and address not in own[name] and facts.server(name).answers:
                yield found(
                    "name-differs", server.name, f"{name} resolves to {address} there, which {name} does not have"
                )
            elif name not in own:
                storage.setdefault(name, {})[server.name] = address
    for name, seen in storage.items():
        if len(set(seen.values())) > 1:
            yield found("name-differs", ", ".join(seen), f"{name} is {_table(seen)}")


def _logins(facts: Facts) -> Iterator[Finding]:
    """Before there is a cluster the migration sets the logins up: worth knowing, no more."""
    for login in facts.logins:
        if not login.ok:
            yield found(
                "root-ssh",
                login.by,
                f"root cannot log in to {login.to}: {login.said or 'no reason given'}",
                severity=None if facts.has_cluster else "note",
            )


def _boot(server: ServerFacts) -> Iterator[Finding]:
    if server.xendomains is not None and (said := settings.saved_by_xendomains(server.xendomains)):
        yield found("xendomains-save", f"{server.name}:{settings.XENDOMAINS}", said)
    for unit in ("corosync.service", "pacemaker.service"):
        if unit in server.units and server.units[unit].enabled == "enabled":
            yield found("starts-at-boot", server.name, f"{unit.removesuffix('.service')} starts at boot")
