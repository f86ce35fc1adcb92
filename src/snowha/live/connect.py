"""From ``ha.toml`` to the context: the file read, the servers reached, the domain configs parsed.

For verbs that change something, and so need every server. Verbs that only look see what there is to see: ``view.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from snowha.errors import InputError
from snowha.hosts import own, user_file
from snowha.hosts.caching import CachingHost, ResettableHost, for_prefetch
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.host import Host
from snowha.hosts.local import LocalHost
from snowha.hosts.parallel import each
from snowha.hosts.recording import Command, RecordingHost
from snowha.hosts.ssh import SshHost
from snowha.images import bundle
from snowha.live import definition
from snowha.live.bmc_passwords import kept_password, read_secret
from snowha.live.context import SiteContext, read_domains_and_errors
from snowha.plan.lock import site_lock
from snowha.site import definition as copies
from snowha.site import ha_toml, rules
from snowha.site.ha_file import HaFile
from snowha.site.image_names import check_images
from snowha.site.model import Domain, Server, Ssh
from snowha.site.rules import Finding

_AS_OVER_SSH = {"LC_ALL": "C", "LANG": "C"}
"""What a command over ssh runs with, and so one on this machine."""
_NO_FILE = (
    "`snow ha init SERVER SERVER…` writes it; --file names another; --site SERVER uses the one that a server keeps"
)


@dataclass
class Chosen:
    """What the command line says for all servers. ``ssh_config``: an OpenSSH configuration in place of the one in ha.toml."""

    ssh_config: str = ""


chosen = Chosen()


@dataclass(frozen=True)
class HaToml:
    """``ha.toml`` as a run has read it, once: whoever changes it meanwhile changes nothing for this run."""

    path: Path
    digest: str
    """Of its text, without the first line that a copy on a server has."""
    content: HaFile


def read(file: Path) -> HaToml:
    """``ha.toml``, checked. Raises InputError."""
    text = user_file.read(file, remedy=_NO_FILE)
    ha = ha_toml.parse(text, where=str(file))
    is_sites = str(file) == copies.PATH or copies.read(text) is not None
    if is_sites or chosen.ssh_config:
        # the path of the configuration is that of the machine from which the file was applied
        ha = replace(ha, ssh=Ssh(ha.ssh.user, chosen.ssh_config))
    ha = replace(ha, definition=copies.Definition(copies.copy_of(text, file.stat().st_mtime), is_sites))
    return HaToml(file, copies.digest(copies.body(text)), ha)


def of_site(ha: HaFile, configs: Sequence[Domain]) -> tuple[Finding, ...]:
    """What two domains must not share, if one of them is named in ``ha.toml``."""
    ours = {domain.config for domain in configs if domain.name in ha.domains}
    shared = (*rules.check_domains(configs), *check_images(configs, ha.paths.images))
    return tuple(finding for finding in shared if ours & set(finding.where.split(", ")))


def left_alone(error: InputError) -> Finding:
    """A config that cannot be used, of a domain that ``ha.toml`` does not name."""
    remedy = error.remedy or "correct it, or move it out of the folder"
    return Finding("config-left-alone", "note", error.where, error.message, remedy)


def load(
    given: HaToml,
    *,
    remember: bool = False,
    record: Callable[[Command], None] | None = None,
    questions: Mapping[str, Sequence[Sequence[str]]] | None = None,
    found: list[Finding] | None = None,
) -> SiteContext:
    """The site of ``given``, with its servers to talk to. Raises InputError; UnreachableError, which names every server that
    does not answer: all are waited for at once.

    ``remember``: ask each server the same thing only once, until the first step is carried out.
    ``record`` is told of every command that may change something on a server.
    ``questions``: what an earlier run asked each server, and so is asked at once.
    ``found`` gets what two domains must not share, for whoever wants to see it beside other findings; else it is an error. It
    gets which configs are left alone, too.
    """
    ha = given.content
    guard, connected = _guarded(ha)
    if record is not None:
        connected = {name: RecordingHost(host, record) for name, host in connected.items()}
    hosts: dict[str, Host] = dict(connected)
    asked = (questions or {}) if remember else {}
    if remember:
        hosts = {name: CachingHost(host) for name, host in connected.items()}
    first = ha.servers[0].name

    def ask(host: Host) -> tuple[tuple[Domain, ...], tuple[InputError, ...]]:
        if isinstance(host, CachingHost):
            host.prefetch(asked.get(host.name, ()))
        if ha.definition.is_sites:
            definition.refuse_older(host, ha.definition.text, str(given.path))
        if host.name == first:
            with for_prefetch():
                return read_domains_and_errors(host, ha.paths.domain_configs, ha.domains)
        if not asked.get(host.name):
            host.run(["true"], timeout=30)
        return (), ()

    domains, left = each(list(hosts.values()), ask)[first]
    shared = of_site(ha, domains)
    if found is None:
        rules.raise_on_stop(shared)
    else:
        found += [*shared, *map(left_alone, left)]
        domains = tuple({domain.name: domain for domain in reversed(domains)}.values())
    return SiteContext(ha_toml.compose(ha, domains, where=str(given.path)), hosts, guard, definition=ha.definition)


@dataclass(frozen=True)
class Connections:
    """The servers that ``ha.toml`` names and the way to them, before anything is asked. Nothing is noted of what they are."""

    name: str
    """The cluster's."""
    servers: tuple[Server, ...]
    hosts: Mapping[str, ResettableHost]
    guard: Guard
    definition: copies.Definition = field(default_factory=copies.Definition)
    """The ha.toml that says so."""

    @property
    def first(self) -> Host:
        return self.hosts[self.servers[0].name]

    @property
    def restarted(self) -> Collection[str]:
        """None yet."""
        return ()


def connect(ha: HaFile) -> Connections:
    """How to get at the servers that ``ha.toml`` names. Raises InputError."""
    guard, hosts = _guarded(ha)
    return Connections(ha.name, ha.servers, hosts, guard, ha.definition)


def lock_site(site: SiteContext | Connections, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """To be the only run on ``site`` (see plan/lock.py). From then on its servers are changed only while that is so."""
    assert site.guard is not None
    return site_lock(site.guard, say, copies=" ".join(bundle.COMMAND))


def _guarded(ha: HaFile) -> tuple[Guard, dict[str, ResettableHost]]:
    """The servers, and the lock without which none is changed once it was taken. The lock has sessions of its own."""
    guard = Guard({**_over_ssh(ha)})
    return guard, {name: GuardedHost(host, guard) for name, host in _over_ssh(ha).items()}


def _over_ssh(ha: HaFile) -> dict[str, SshHost | LocalHost]:
    """The way to each server; to the one that root works on there is none to go. On a server that keeps the file the others are
    known by their names: ``address`` is what the machine needs from which it was applied."""
    here = next((server.name for server in ha.servers if own.is_here(server.name, server.links)), "")
    by_name = bool(here) and ha.definition.is_sites
    is_root = os.geteuid() == 0 and ha.ssh.user in ("", "root")
    return {
        server.name: LocalHost(server.name, environment=_AS_OVER_SSH)
        if server.name == here and is_root
        else SshHost(server.name, server.name if by_name else server.address, ha.ssh)
        for server in ha.servers
    }


def terminal(ha: HaFile, server: str, argv: Sequence[str]) -> list[str]:
    """What runs ``argv`` on a server of ``ha`` with this terminal, to be executed in place of this process."""
    return _over_ssh(ha)[server].terminal(argv)


def known_passwords(ha: HaToml, *, all_fenced: bool = True) -> dict[str, str] | None:
    """The same as ``passwords``, before any server is asked; None if the servers have them. Raises InputError."""
    if ha.content.definition.is_sites:
        return None
    return passwords(connect(ha.content), ha.path, all_fenced=all_fenced)


def passwords(site: SiteContext | Connections, file: Path, *, all_fenced: bool = True) -> dict[str, str]:
    """The BMCs' passwords by server, from their files beside ``file``; if that is the site's own and none is beside it, as the
    servers have them for Pacemaker. Raises InputError, also for a server without a fence device unless not ``all_fenced``."""
    servers = site.site.servers if isinstance(site, SiteContext) else site.servers
    base = file.resolve().parent
    found = {}
    for server in servers:
        if server.fence is None and not all_fenced:
            continue
        if server.fence is None:
            raise InputError(
                f"{server.name} has no fence device",
                where=str(file),
                remedy="add `fence = {…}` to its [[server]]: without one, two servers can write to one image",
            )
        is_here = not site.definition.is_sites or os.path.lexists(base / server.fence.secret)
        if not is_here:
            found[server.name] = kept_password(site.hosts.values(), server)
            continue
        try:
            found[server.name] = read_secret(server.fence.secret, base=base)
        except InputError as error:
            where = f"{error.where} (fence.secret of {server.name} in {file})"
            raise InputError(error.message, where=where, remedy=error.remedy) from error
    return found
