"""What every step of the migration stands on: the site as it is described, and the hosts as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from snowha.errors import InputError, SiteError
from snowha.hosts.caching import CachingHost
from snowha.hosts.files import read_folder, read_text
from snowha.hosts.guarded import Guard
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.site import domain_config, snow_conf
from snowha.site.definition import Definition
from snowha.site.model import Domain, Server, Site
from snowha.site.snow_conf import SnowConf

T = TypeVar("T")


@dataclass(frozen=True)
class SiteContext:
    """The site, and a host per server by its name. The first server is the one that runs the domains today."""

    site: Site
    hosts: dict[str, Host]
    guard: Guard | None = None
    """The lock without which nothing is changed on them, once it was taken."""
    restarted: set[str] = field(default_factory=set)
    """Servers that this run is restarting now; no domain runs there."""
    definition: Definition = field(default_factory=Definition, repr=False)
    """The ha.toml that says so."""

    @property
    def first(self) -> Host:
        return self.hosts[self.site.servers[0].name]

    @property
    def new_servers(self) -> tuple[Server, ...]:
        return self.site.servers[1:]

    def on_all(self, function: Callable[[Host], T]) -> dict[str, T]:
        """``function`` on every server at once."""
        return each(list(self.hosts.values()), function)

    def verify_lock(self) -> None:
        """Raise LostLockError if this run had the site's lock and lost it."""
        if self.guard is not None:
            self.guard.verify()

    @contextmanager
    def restarting(self, server: str) -> Iterator[None]:
        """``server``, on which no domain runs, is restarted in this block: it need not be asked whether one does."""
        self.restarted.add(server)
        try:
            yield
        finally:
            self.restarted.discard(server)

    def invalidate(self) -> None:
        """Something is about to be changed: what the servers answered before counts no more."""
        for host in self.hosts.values():
            if isinstance(host, CachingHost):
                host.invalidate()

    def renew(self) -> None:
        """Somebody else may have changed something until now: what the servers answered before counts no more."""
        for host in self.hosts.values():
            if isinstance(host, CachingHost):
                host.renew()

    def asked(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """What each server was asked so far to look at it."""
        return {name: host.asked() for name, host in self.hosts.items() if isinstance(host, CachingHost)}

    def first_missing(
        self, function: Callable[[Host], str | None], servers: Sequence[Server] | None = None
    ) -> str | None:
        """The first thing that is missing on a server, with the server's name; None if nothing is."""
        chosen = servers if servers is not None else self.site.servers
        answers = each([self.hosts[server.name] for server in chosen], function)
        return next((f"{name}: {text}" for name, text in answers.items() if text), None)


def read_config(host: Host, name: str, path: str) -> tuple[str, Domain]:
    """A domain's config as it stands now: its text and what it says. Raises InputError."""
    where = f"{host.name}:{path}"
    text = read_text(host, path)
    if text is None:
        raise InputError(
            f"the config of {name} is gone", where=where, remedy="was the domain removed? Run `snow ha init` again"
        )
    return text, domain_config.parse(text, where=where, path=path)


def read_snow_conf(host: Host, path: str) -> SnowConf:
    """The snow.conf at ``path``; one without a variable if it is not there. Raises InputError, with its line."""
    return parse_snow_conf(host, path, read_text(host, path) or "")


def parse_snow_conf(host: Host, path: str, text: str) -> SnowConf:
    """A snow.conf as a login on ``host`` has it: with sNow! 2.0's variables, and what it sources. Raises InputError."""
    environment = read_text(host, snow_conf.ENVIRONMENT) or ""
    return snow_conf.parse(
        text, where=f"{host.name}:{path}", environment=environment, read=lambda file: read_text(host, file)
    )


@dataclass(frozen=True)
class Unusable:
    """A config in the folder that cannot be used, and why."""

    error: InputError
    names: frozenset[str]
    """What its domain may be called, in small letters: by the file's name, and by what looks like a setting."""

    def is_of(self, named: Collection[str]) -> bool:
        return bool(self.names & {name.lower() for name in named})


def site_domains(context: SiteContext) -> tuple[Domain, ...]:
    """Every config in the site's folder that can be used, as it stands now. Raises InputError for one of the site's domains
    that cannot."""
    return read_domains(
        context.first, context.site.paths.domain_configs, [domain.name for domain in context.site.domains]
    )


def read_domains(host: Host, folder: str, named: Collection[str] = ()) -> tuple[Domain, ...]:
    """Every domain config in ``folder`` that can be used, as it stands now.

    Raises InputError, naming file and line, for one that cannot and is of a domain that we act on (``named``).
    """
    return read_domains_and_errors(host, folder, named)[0]


def read_domains_and_errors(
    host: Host, folder: str, named: Collection[str] = ()
) -> tuple[tuple[Domain, ...], tuple[InputError, ...]]:
    """The same, with what is wrong with the configs that are left alone."""
    found, unusable = parse_configs(host, read_folder(host, folder, ".cfg"))
    for one in unusable:
        if one.is_of(named):
            raise one.error
    return found, tuple(one.error for one in unusable)


def parse_configs(host: Host, files: Mapping[str, bytes]) -> tuple[tuple[Domain, ...], tuple[Unusable, ...]]:
    """What was read of the folder, by path: the domains, and the configs that cannot be used."""
    found, unusable = [], []
    for path, content in sorted(files.items()):
        try:
            found.append(_parse_config(host, path, content))
        except InputError as error:
            names = {PurePosixPath(path).name.removesuffix(".cfg").lower()} | names_in(content)
            unusable.append(Unusable(error, frozenset(names)))
    return tuple(found), tuple(unusable)


def _parse_config(host: Host, path: str, content: bytes) -> Domain:
    where = f"{host.name}:{path}"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        remedy = "convert it: iconv -f ISO-8859-1 -t UTF-8, or correct this line"
        raise InputError("it is not UTF-8 text", where=f"{where}:{line}", remedy=remedy) from error
    return domain_config.parse(text, where=where, path=path)


def names_in(content: bytes) -> set[str]:
    """What looks like the name of a domain in a config that cannot be read, in small letters."""
    said = re.findall(rb"(?:^|;)[ \t]*name[ \t]*=[ \t]*[\"']([^\"'\n]*)", content, re.MULTILINE)
    return {name.decode("latin-1").lower() for name in said}


def release_of(host: Host) -> str:
    """Debian's code name on ``host``."""
    text = read_text(host, "/etc/os-release") or ""
    for line in text.splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise SiteError("/etc/os-release does not name a Debian release", where=host.name, remedy="use Debian 12 or 13")
