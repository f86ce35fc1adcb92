"""From ``ha.toml`` to the ground: the file read, the servers reached, the domain configs parsed.

For verbs that change something, and so need every server. Verbs that only look see what there is to see: ``view.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from snowha.errors import InputError
from snowha.hosts import own, user_file
from snowha.hosts.api import Host
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.local import LocalHost
from snowha.hosts.many import each
from snowha.hosts.recording import Command, RecordingHost
from snowha.hosts.remember import RememberingHost, ResettableHost, looking
from snowha.hosts.ssh import SshHost
from snowha.migration import definition, image_engine
from snowha.migration.ground import Ground, read_domains
from snowha.migration.pacemaker import kept_password
from snowha.migration.preflight import read_secret
from snowha.plan.turn import taken
from snowha.site import definition as copies
from snowha.site import ha_toml, rules
from snowha.site.ha_file import HaFile
from snowha.site.model import Domain, Server, Ssh
from snowha.site.rules import Finding

_AS_OVER_SSH = {"LC_ALL": "C", "LANG": "C"}
"""What a command over ssh runs with, and so one on this machine."""
_NO_FILE = (
    "`snow ha init SERVER SERVER…` writes it, --file names another, --site SERVER uses the one that a server keeps"
)


@dataclass
class Chosen:
    """What the command line says for all servers. ``ssh_config``: an OpenSSH configuration in place of the one in ha.toml."""

    ssh_config: str = ""


chosen = Chosen()


def read_ha_file(file: Path) -> HaFile:
    """``ha.toml``, checked. Raises InputError."""
    text = user_file.read(file, remedy=_NO_FILE)
    ha = ha_toml.parse(text, where=str(file))
    is_sites = str(file) == copies.PATH or copies.read(text) is not None
    if is_sites or chosen.ssh_config:
        # the path of the configuration is that of the machine from which the file was applied
        ha = replace(ha, ssh=Ssh(ha.ssh.user, chosen.ssh_config))
    return replace(ha, definition=copies.Definition(copies.copy_of(text, file.stat().st_mtime), is_sites))


def load(
    file: Path,
    *,
    remember: bool = False,
    record: Callable[[Command], None] | None = None,
    questions: Mapping[str, Sequence[Sequence[str]]] | None = None,
    found: list[Finding] | None = None,
) -> Ground:
    """The site of ``file``, with its servers to talk to. Raises InputError; UnreachableError, which names every server that
    does not answer: all are waited for at once.

    ``remember``: ask each server the same thing only once, until the first step is carried out.
    ``record`` is told of every command that may change something on a server.
    ``questions``: what an earlier run asked each server, and so is asked at once.
    ``found`` gets what two domains must not share, for whoever wants to see it beside other findings; else it is an error.
    """
    ha = read_ha_file(file)
    guard, connected = _guarded(ha)
    if record is not None:
        connected = {name: RecordingHost(host, record) for name, host in connected.items()}
    hosts: dict[str, Host] = dict(connected)
    asked = (questions or {}) if remember else {}
    if remember:
        hosts = {name: RememberingHost(host) for name, host in connected.items()}
    first = ha.servers[0].name

    def ask(host: Host) -> tuple[Domain, ...]:
        if isinstance(host, RememberingHost):
            host.ask(asked.get(host.name, ()))
        if ha.definition.is_sites:
            definition.refuse_older(host, ha.definition.text, str(file))
        if host.name == first:
            with looking():
                return read_domains(host, ha.paths.domain_configs)
        if not asked.get(host.name):
            host.run(["true"], timeout=30)
        return ()

    domains = each(list(hosts.values()), ask)[first]
    shared = rules.check_domains(domains)
    if found is None:
        rules.raise_on_stop(shared)
    else:
        found += shared
        domains = tuple({domain.name: domain for domain in reversed(domains)}.values())
    site = ha_toml.compose(ha, domains, where=str(file))
    return Ground(site, hosts, guard, definition=ha.definition)


@dataclass(frozen=True)
class Reach:
    """The servers that ``ha.toml`` names and the way to them, before anything is asked. Nothing is noted of what they are."""

    name: str
    """The cluster's."""
    servers: tuple[Server, ...]
    hosts: Mapping[str, ResettableHost]
    guard: Guard

    @property
    def first(self) -> Host:
        return self.hosts[self.servers[0].name]

    @property
    def restarted(self) -> Collection[str]:
        """None yet."""
        return ()


def reach(file: Path) -> Reach:
    """How to get at the servers of the site of ``file``. Raises InputError."""
    return reach_of(read_ha_file(file))


def reach_of(ha: HaFile) -> Reach:
    """The same of a file that was read."""
    guard, hosts = _guarded(ha)
    return Reach(ha.name, ha.servers, hosts, guard)


def turn(site: Ground | Reach, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """To be the only run on ``site`` (see plan/turn.py). From then on its servers are changed only while that is so."""
    assert site.guard is not None
    return taken(site.guard, say, copies=" ".join(image_engine.argv([])))


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


def passwords(ground: Ground, file: Path, *, all_fenced: bool = True) -> dict[str, str]:
    """The BMCs' passwords by server, from their files beside ``file``; if that is the site's own and none is beside it, as the
    servers have them for Pacemaker. Raises InputError, also for a server without a fence device unless not ``all_fenced``."""
    found = {}
    base = file.resolve().parent
    for server in ground.site.servers:
        if server.fence is None and not all_fenced:
            continue
        if server.fence is None:
            raise InputError(
                f"{server.name} has no fence device",
                where=str(file),
                remedy="add `fence = {…}` to its [[server]]: without one, two servers can end up writing one image",
            )
        is_here = not ground.definition.is_sites or os.path.lexists(base / server.fence.secret)
        found[server.name] = (
            read_secret(server.fence.secret, base=base) if is_here else kept_password(ground.hosts.values(), server)
        )
    return found
