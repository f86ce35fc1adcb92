"""What ``ha.toml`` says, as data, the rules it must keep, and the site it makes together with the domain configs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from snowha.errors import InputError
from snowha.site.address_rules import check_floating_ip, check_links, check_owners
from snowha.site.definition import Definition
from snowha.site.fence_rules import check_fence, outlet
from snowha.site.fstab import comes_at_boot
from snowha.site.model import WARM_FROM_MIB, Alerts, Domain, FloatingIp, Mount, Paths, Server, Site, Ssh
from snowha.site.names import (
    can_be_resource,
    check_address,
    check_domain_name,
    check_ip,
    check_path,
    check_server_name,
    check_word,
    comparable,
    did_you_mean,
    show,
)

_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,14}", re.ASCII)
"""At most 15 characters: what DLM and gfs2 take, should shared storage ever be one of them."""
_MAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)?", re.ASCII)
_MAX_MAIL = 254
"""RFC 5321, 4.5.3.1.3: a path has 256 characters, two of which are its brackets."""
_MOST_MIB = 1 << 40
"""An exbibyte."""
_MAX_LINKS = 8
"""knet (corosync.conf(5)): linknumber 0 to 7."""

At = Callable[..., str]
"""``at("server", 1, "links")`` → ``ha.toml:31``."""


@dataclass(frozen=True)
class HaFile:
    """What ``ha.toml`` says, checked."""

    name: str
    paths: Paths
    servers: tuple[Server, ...]
    domains: tuple[str, ...]
    floating_ip: FloatingIp | None = None
    mounts: tuple[Mount, ...] = ()
    apart: tuple[tuple[str, ...], ...] = ()
    ssh: Ssh = field(default_factory=Ssh)
    token_ms: int = 6000
    warm_from_mib: int = WARM_FROM_MIB
    alerts: Alerts = field(default_factory=Alerts)
    exporter: bool = False
    definition: Definition = field(default_factory=Definition, compare=False, repr=False)
    """The file that it was read from."""


def check(ha: HaFile, *, at: At) -> HaFile:
    """``ha`` if it keeps every rule, else InputError with the line and the remedy."""
    if not _CLUSTER_NAME.fullmatch(ha.name):
        raise InputError(
            f"a cluster cannot have the name {show(ha.name)}",
            where=at("cluster", "name"),
            remedy="use 1 to 15 letters, digits, '-' or '_'",
        )
    if not 1000 <= ha.token_ms <= 300_000:
        raise InputError(
            f"token_ms cannot be {_shown(ha.token_ms)}",
            where=at("cluster", "token_ms"),
            remedy="write milliseconds from 1000 to 300000; the default is 6000",
        )
    if not 0 <= ha.warm_from_mib <= _MOST_MIB:
        raise InputError(
            f"warm_from_mib cannot be {_shown(ha.warm_from_mib)}",
            where=at("images", "warm_from_mib"),
            remedy=f"write MiB; 0 copies every domain while it runs; the default is {WARM_FROM_MIB}",
        )
    for key in ("snow_conf", "domain_configs", "images"):
        check_path(getattr(ha.paths, key), where=at("paths", key))
    _check_ssh(ha.ssh, at=at)
    _check_alerts(ha.alerts, at=at)
    _check_servers(ha.servers, at=at)
    if ha.floating_ip:
        check_floating_ip(ha.floating_ip, ha.servers, at=at)
    for number, mount in enumerate(ha.mounts):
        check_path(mount.target, where=at("mount", number, "target"))
        for key in ("source", "fstype", "options"):
            check_word(getattr(mount, key), where=at("mount", number, key), what=f"{key} of a mount")
        if not comes_at_boot(mount.options.split(",")):
            raise InputError(
                f"nothing mounts {mount.target} after a server was booted: its options say noauto",
                where=at("mount", number, "options"),
                remedy="remove noauto, or add x-systemd.automount",
            )
    _unique(
        [(mount.target.rstrip("/"), at("mount", number, "target")) for number, mount in enumerate(ha.mounts)],
        "two mounts have the target {}",
    )
    _check_domains(ha, at=at)
    return ha


def compose(ha: HaFile, domains: Iterable[Domain], *, where: str = "ha.toml") -> Site:
    """The site: what ``ha.toml`` says, and of its domains what their configs say, in the order of ``ha.toml``.

    Domains that ``ha.toml`` does not name stay out. Raises InputError if one that it names has no config, or two.
    """
    found: dict[str, Domain] = {}
    for domain in domains:
        if domain.name in found and domain.name in ha.domains:
            raise InputError(
                f"two configs are for a domain called {domain.name}",
                where=f"{found[domain.name].config}, {domain.config}",
                remedy="rename one of them, or move it out of the folder",
            )
        found.setdefault(domain.name, domain)
    for name in ha.domains:
        if name not in found:
            raise InputError(
                f"domain {name} has no config{did_you_mean(name, found)}",
                where=where,
                remedy=f"put its config into {ha.paths.domain_configs}, or remove its [[domain]] here",
            )
    return Site(
        name=ha.name,
        paths=ha.paths,
        servers=ha.servers,
        domains=tuple(found[name] for name in ha.domains),
        mounts=ha.mounts,
        floating_ip=ha.floating_ip,
        apart=ha.apart,
        ssh=ha.ssh,
        token_ms=ha.token_ms,
        warm_from_mib=ha.warm_from_mib,
        alerts=ha.alerts,
        exporter=ha.exporter,
    )


def _check_ssh(ssh: Ssh, *, at: At) -> None:
    check_word(ssh.user, where=at("ssh", "user"), what="the ssh user")
    if ssh.config and (ssh.config.startswith("-") or not ssh.config.isprintable()):
        raise InputError(
            f"{show(ssh.config)} cannot be the path of an ssh configuration",
            where=at("ssh", "config"),
            remedy="write the path of a file in the format of ssh_config(5)",
        )


def _check_alerts(alerts: Alerts, *, at: At) -> None:
    if alerts.mail and not (len(alerts.mail) <= _MAX_MAIL and _MAIL.fullmatch(alerts.mail)):
        raise InputError(
            f"{show(alerts.mail)} is not a mail address",
            where=at("alerts", "mail"),
            remedy="write one address, such as admins@example.org, or a user of the servers, such as root",
        )
    if alerts.command:
        check_path(alerts.command, where=at("alerts", "command"))


def _check_servers(servers: tuple[Server, ...], *, at: At) -> None:
    if len(servers) < 2:
        raise InputError(
            "fewer than two servers",
            where=at("server", 0) if servers else at(),
            remedy="add a [[server]] for each sNow! server: a cluster needs at least two",
        )
    for number, server in enumerate(servers):
        check_server_name(server.name, where=at("server", number, "name"))
        check_address(server.address, where=at("server", number, "address"))
        for link in server.links:
            check_ip(link, where=at("server", number, "links"))
        if not 1 <= len(server.links) <= _MAX_LINKS or len(server.links) != len(servers[0].links):
            raise InputError(
                f"{server.name} has {len(server.links)} links"
                + ("" if number == 0 else f", {servers[0].name} has {len(servers[0].links)}"),
                where=at("server", number, "links"),
                remedy=f"give every server the same number of links, 1 to {_MAX_LINKS}, in the same order",
            )
        if server.fence:
            check_fence(server.fence, at=lambda *key, number=number: at("server", number, "fence", *key))
    numbered = list(enumerate(servers))
    _unique([(s.name, at("server", n, "name")) for n, s in numbered], "two servers are called {}")
    _unique([(s.address, at("server", n, "address")) for n, s in numbered], "two servers have the address {}")
    links = [(link, at("server", n, "links")) for n, s in numbered for link in s.links]
    _unique(links, "two links have the address {}")
    check_links(servers, at=at)
    check_owners(servers, at=at)
    # One BMC, or one outlet, for two servers: fencing one would cut the other.
    outlets = [(outlet(s.fence), at("server", n, "fence", "address")) for n, s in numbered if s.fence]
    _unique(outlets, "two servers are fenced through {}")


def _check_domains(ha: HaFile, *, at: At) -> None:
    for number, name in enumerate(ha.domains):
        check_domain_name(name, where=at("domain", number, "name"))
        if not can_be_resource(name):
            raise InputError(
                f"Pacemaker cannot run a domain called {name}: a resource's name begins with a letter",
                where=at("domain", number, "name"),
                remedy="rename the domain, or remove this [[domain]]",
            )
    _unique(
        [(name, at("domain", number, "name")) for number, name in enumerate(ha.domains)], "two domains are called {}"
    )
    servers = {server.name.lower() for server in ha.servers}
    for number, name in enumerate(ha.domains):
        if name.lower() in servers:
            raise InputError(
                f"{name} is a server and a domain",
                where=at("domain", number, "name"),
                remedy="remove this [[domain]]: active-domains.conf lists the servers too",
            )
    for number, group in enumerate(ha.apart):
        where = at("apart", number, "domains")
        for name in group:
            if name not in ha.domains:
                raise InputError(
                    f"there is no domain {show(name)}{did_you_mean(name, ha.domains)}",
                    where=where,
                    remedy="add a [[domain]] for it, or remove it from this group",
                )
        if len(set(group)) < 2 or len(set(group)) != len(group):
            raise InputError(
                "an anti-affinity group needs two different domains", where=where, remedy="list each domain once"
            )


def _unique(things: Iterable[tuple[str, str]], message: str) -> None:
    seen: set[str] = set()
    for thing, where in things:
        key = comparable(thing)
        if key in seen:
            raise InputError(message.format(thing), where=where, remedy="give each its own")
        seen.add(key)


def _shown(number: int) -> str:
    """``number``, or its size where it has more digits than anybody reads (and than Python writes, at 4300)."""
    return str(number) if abs(number) < 10**20 else "a number with more than 20 digits"
