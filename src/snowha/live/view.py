"""From ``ha.toml`` to what can be seen of the site, whatever server lives, whatever can be read: for verbs that only look, and
for those that must work while a server is lost.

A server that does not answer, or a config that cannot be read, is reported; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from snowha.errors import InputError, SnowError, UnreachableError
from snowha.hosts import one_round
from snowha.hosts.files import read_folder
from snowha.hosts.host import Host
from snowha.hosts.lost import LostHost
from snowha.hosts.parallel import each
from snowha.hosts.recording import Command, RecordingHost
from snowha.hosts.ssh_errors import ConnectionLostError
from snowha.live import connect
from snowha.live.context import SiteContext, Unusable, parse_configs
from snowha.site import domain_names, ha_toml, rules
from snowha.site.ha_file import HaFile
from snowha.site.model import Domain, Paths, Site
from snowha.site.names import did_you_mean
from snowha.site.rules import Finding

T = TypeVar("T")
Questions = Sequence[Sequence[str]]
"""Commands that are asked one after the other."""

_STORAGE_S = 20.0
"""Seconds for the domains' configs: where the storage hangs, whoever looks must hear of it soon."""


@dataclass(frozen=True)
class View:
    """What can be seen of a site."""

    context: SiteContext
    """With the domains whose config could be read. A server that does not answer says so at once when it is asked again."""
    domains: tuple[str, ...]
    """All that ``ha.toml`` names."""
    configs: tuple[Domain, ...]
    """Every config that could be read, also of domains that ``ha.toml`` does not name."""
    reader: Host | None
    """The server that the configs were read from; None if there was none."""
    lost: Mapping[str, UnreachableError]
    """Servers that do not answer."""
    findings: tuple[Finding, ...]
    """What is wrong with the configs."""

    def known(self) -> dict[str, Domain]:
        """Every domain whose config could be read, by its name."""
        return {domain.name: domain for domain in reversed(self.configs)}

    def names(self) -> tuple[str, ...]:
        """Every domain that ``ha.toml`` names or that has a config."""
        return tuple(dict.fromkeys((*self.domains, *(domain.name for domain in self.configs))))

    def chosen(self, words: Sequence[str]) -> tuple[str, ...]:
        """The domains of ``names()`` that ``words`` of the command line mean. Raises InputError."""
        unsure = "" if self.reader else "; no server answers that could say whether there are more"
        return domain_names.chosen(words, self.names(), also=unsure)

    def domain(self, name: str) -> Domain:
        """A domain of ``names()``. Raises InputError, which says what is wrong with its config, if that could not be read."""
        if (found := self.known().get(name)) is not None:
            return found
        rules.raise_on_stop(self._unread())
        raise_for_lost(self.lost)
        raise InputError(f"the config of {name} could not be read", remedy="see `snow ha status`")

    def raise_for_missing(self) -> None:
        """One error for what could not be shown. Raises UnreachableError for a server, InputError for a config."""
        raise_for_lost(self.lost)
        rules.raise_on_stop(self._unread())

    def _unread(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.code in ("config-unreadable", "config-missing")]


def observe(
    given: connect.HaToml,
    *,
    record: Callable[[Command], None] | None = None,
    questions: Callable[[Paths], tuple[Questions, Questions]] | None = None,
) -> View:
    """The site of ``given`` as far as it can be seen; the configs from the first server that answers and has them.

    ``record`` is told of every command that may change something on a server. ``questions``: what each server is asked at once
    (hosts/one_round.py), the configs among it.
    """
    ha, file = given.content, str(given.path)
    reach = connect.connect(ha)
    reached: dict[str, Host] = {**reach.hosts}
    if record is not None:
        reached = {name: RecordingHost(host, record) for name, host in reach.hosts.items()}
    if questions is not None:
        own, shared = questions(ha.paths)
        answered = _ask(
            reached, lambda host: one_round.ask(host, own, shared, limit=_STORAGE_S, timeout=3 * _STORAGE_S)
        )
        hosts, _ = _without_lost(reached, answered)
        reached = {**hosts, **{name: host for name, host in answered.items() if not isinstance(host, SnowError)}}
    asked = _ask(reached, lambda host: read_folder(host, ha.paths.domain_configs, ".cfg", timeout=_STORAGE_S))
    hosts, lost = _without_lost(reached, asked)
    files = {name: answer for name, answer in asked.items() if not isinstance(answer, SnowError)}
    reader = next((hosts[name] for name, found in files.items() if found), None)
    configs: tuple[Domain, ...] = ()
    if reader is None:
        # that no server answers is said of each; what they have mounted is not known then
        findings = [] if len(lost) == len(hosts) else [_nowhere(ha, asked)]
    else:
        configs, unusable = parse_configs(reader, files[reader.name])
        findings = [
            *(_unusable(ha, one) for one in unusable),
            *_missing(ha, configs, unusable, file),
            *connect.of_site(ha, configs),
        ]
    context = SiteContext(_site(ha, configs, file), hosts, reach.guard, definition=ha.definition)
    return View(context, ha.domains, configs, reader, lost, tuple(findings))


def answering(hosts: Mapping[str, Host]) -> tuple[dict[str, Host], dict[str, UnreachableError]]:
    """``hosts`` for a run that goes on without those that do not answer, and these. All are waited for at once."""
    return _without_lost(hosts, _ask(hosts, lambda host: host.run(["true"], timeout=30)))


def raise_for_lost(lost: Mapping[str, UnreachableError]) -> None:
    """Raise one UnreachableError that names every server of ``lost``, if there is one."""
    if not lost:
        return
    first, *others = lost.values()
    lines = [first.message, *(f"  also {error.where}: {error.message.splitlines()[0]}" for error in others)]
    raise UnreachableError("\n".join(lines), where=first.where, remedy=first.remedy)


def _ask(hosts: Mapping[str, Host], question: Callable[[Host], T]) -> dict[str, T | SnowError]:
    def one(host: Host) -> T | SnowError:
        try:
            return question(host)
        except ConnectionLostError as error:
            # a connection of before, to a server that has lost its power: what was just asked of it helps nobody
            remedy = f"is it switched on? Check its console, and try: ssh root@{host.name}"
            return UnreachableError("it does not answer any more", where=error.where, remedy=remedy)
        except SnowError as error:
            return error

    return each(list(hosts.values()), one)


def _without_lost(
    hosts: Mapping[str, Host], asked: Mapping[str, object]
) -> tuple[dict[str, Host], dict[str, UnreachableError]]:
    lost = {name: answer for name, answer in asked.items() if isinstance(answer, UnreachableError)}
    return {name: LostHost(name, lost[name]) if name in lost else host for name, host in hosts.items()}, lost


def _nowhere(ha: HaFile, asked: Mapping[str, object]) -> Finding:
    said = [
        f"{name}: {answer.message.splitlines()[0] if isinstance(answer, SnowError) else 'there is no config'}"
        for name, answer in asked.items()
    ]
    return Finding(
        "config-unreadable",
        "stop",
        ha.paths.domain_configs,
        f"no server has the domains' configs ({'; '.join(said)})",
        f"check on a server that answers whether it is mounted: findmnt -T {ha.paths.domain_configs}",
    )


def _unusable(ha: HaFile, config: Unusable) -> Finding:
    """A config that cannot be used: of a domain that ``ha.toml`` names, or of one that is left alone."""
    error = config.error
    if not config.is_of(ha.domains):
        return connect.left_alone(error)
    return Finding("config-unreadable", "stop", error.where, error.message, error.remedy or "correct it")


def _missing(ha: HaFile, configs: Sequence[Domain], unusable: Sequence[Unusable], file: str) -> list[Finding]:
    """Domains of ``ha.toml`` without a config, but for those whose file is there and cannot be used."""
    names = [domain.name for domain in configs]
    return [
        Finding(
            "config-missing",
            "stop",
            file,
            f"domain {name} has no config{did_you_mean(name, names)}",
            f"put its config into {ha.paths.domain_configs}, or remove its [[domain]] here",
        )
        for name in ha.domains
        if name not in names and not any(one.is_of([name]) for one in unusable)
    ]


def _site(ha: HaFile, configs: Sequence[Domain], file: str) -> Site:
    """Of the domains that could be read, the first of each name."""
    known = {domain.name: domain for domain in reversed(configs)}
    names = tuple(name for name in ha.domains if name in known)
    apart = (tuple(name for name in group if name in known) for group in ha.apart)
    readable = replace(ha, domains=names, apart=tuple(group for group in apart if len(group) > 1))
    return ha_toml.compose(readable, known.values(), where=file)
