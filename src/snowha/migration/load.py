"""From ``ha.toml`` to the ground: the file read, the servers reached, the domain configs parsed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from snowha.errors import InputError
from snowha.hosts.api import Host
from snowha.hosts.many import each
from snowha.hosts.recording import Command, RecordingHost
from snowha.hosts.remember import RememberingHost, ResettableHost, looking
from snowha.hosts.ssh import SshHost
from snowha.migration.ground import Ground, read_domains
from snowha.migration.preflight import read_secret
from snowha.plan.turn import taken
from snowha.site import ha_toml, rules
from snowha.site.ha_file import HaFile
from snowha.site.image_names import check_images
from snowha.site.model import Server
from snowha.site.rules import Finding


def read_ha_file(file: Path) -> HaFile:
    """``ha.toml``, checked. Raises InputError."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise InputError(
            "there is no such file",
            where=str(file),
            remedy="`snow ha init SERVER SERVER…` writes it, --file names another",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error
    return ha_toml.parse(text, where=str(file))


def load(
    file: Path,
    *,
    remember: bool = False,
    record: Callable[[Command], None] | None = None,
    questions: Mapping[str, Sequence[Sequence[str]]] | None = None,
    found: list[Finding] | None = None,
) -> Ground:
    """The site of ``file``, with its servers to talk to. Raises InputError, UnreachableError.

    ``remember``: ask each server the same thing only once, until the first step is carried out.
    ``record`` is told of every command that may change something on a server.
    ``questions``: what an earlier run asked each server, and so is asked at once.
    ``found`` gets what two domains must not share, for whoever wants to see it beside other findings; else it is an error.
    """
    ha = read_ha_file(file)
    connected: dict[str, ResettableHost] = {**_over_ssh(ha)}
    if record is not None:
        connected = {name: RecordingHost(host, record) for name, host in connected.items()}
    hosts: dict[str, Host] = dict(connected)
    if remember:
        remembering = {name: RememberingHost(host) for name, host in connected.items()}
        asked = questions or {}
        each(list(remembering.values()), lambda host: host.ask(asked.get(host.name, ())))
        hosts = {**remembering}
    with looking():
        domains = read_domains(hosts[ha.servers[0].name], ha.paths.domain_configs, ha.domains)
    ours = {domain.config for domain in domains if domain.name in ha.domains}
    shared = [
        finding
        for finding in (*rules.check_domains(domains), *check_images(domains, ha.paths.images))
        if ours & set(finding.where.split(", "))
    ]
    if found is None:
        rules.raise_on_stop(shared)
    else:
        found += shared
        domains = tuple({domain.name: domain for domain in reversed(domains)}.values())
    return Ground(ha_toml.compose(ha, domains, where=str(file)), hosts)


@dataclass(frozen=True)
class Reach:
    """The servers that ``ha.toml`` names and the way to them, before anything is asked. Nothing is noted of what they are."""

    name: str
    """The cluster's."""
    servers: tuple[Server, ...]
    hosts: Mapping[str, ResettableHost]


def reach(file: Path) -> Reach:
    """How to get at the servers of the site of ``file``. Raises InputError."""
    ha = read_ha_file(file)
    return Reach(ha.name, ha.servers, _over_ssh(ha))


def turn(file: Path, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """To be the only run on the site of ``file`` (see plan/turn.py)."""
    return taken({**reach(file).hosts}, say)


def _over_ssh(ha: HaFile) -> dict[str, SshHost]:
    return {server.name: SshHost(server.name, server.address, ha.ssh) for server in ha.servers}


def passwords(ground: Ground, file: Path, *, all_fenced: bool = True) -> dict[str, str]:
    """The BMCs' passwords by server, from their files beside ``file``. Raises InputError, also for a server without a fence
    device unless not ``all_fenced``."""
    found = {}
    for server in ground.site.servers:
        if server.fence is None and not all_fenced:
            continue
        if server.fence is None:
            raise InputError(
                f"{server.name} has no fence device",
                where=str(file),
                remedy="add `fence = {…}` to its [[server]]: without one, two servers can end up writing one image",
            )
        found[server.name] = read_secret(server.fence.secret, base=file.resolve().parent)
    return found
