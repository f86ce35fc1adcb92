"""``snow list`` and ``snow show``: domains and servers, in sNow!'s own form where it has one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.failure import after_the_answer
from snowha.cli.options import FILE, offered_domains
from snowha.errors import SiteError, SnowError, UnreachableError
from snowha.live import connect, roles, view
from snowha.live.view import View
from snowha.operations import domain_list, domain_text, guest_systems, status
from snowha.operations.columns import aligned
from snowha.operations.status import DomainStatus, SiteStatus
from snowha.site import domain_names

_JSON = click.option("--json", "as_json", is_flag=True, help="The same as data.")


@click.command("domains")
@FILE
@_JSON
def domains(file: Path, as_json: bool) -> None:
    """List domains: where each runs, and whether it answers.

    The header and columns are sNow!'s own. The hypervisors are asked. A domain that runs on two servers has two rows. What
    a server that does not answer may run is `unknown`, never `off`. Roles are those of active-domains.conf.

    Exits, after it has shown everything, with 4 if a domain runs twice; else with 3 if a server does not answer, or does not say
    what runs there; else with 2 if a domain's config cannot be read.
    """
    with waiting.shown():
        site, seen = _observe(connect.read(file))
        places = {server.name: [d.name for d in seen.domains if server.name in d.servers] for server in seen.servers}
        systems = guest_systems.ask(site.context.hosts, places, site.known())
        found = domain_list.rows(seen.domains, systems, _roles(site))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found], indent=2))
    else:
        click.echo("\n".join(domain_list.lines(found)))
    _raise_for(site, seen)


@click.command("servers")
@FILE
@_JSON
def servers(file: Path, as_json: bool) -> None:
    """List servers: their state, memory in MiB, and domains.

    Exits with 3, after it has shown everything, if a server does not answer, or does not say what runs there.
    """
    with waiting.shown():
        site, seen = _observe(connect.read(file))
    if as_json:
        data = [
            {**asdict(server), "domains": _running_on(server.name, seen.domains) if server.reachable else None}
            for server in seen.servers
        ]
        click.echo(json.dumps(data, indent=2))
    else:
        rows: list[tuple[str, ...]] = [("Server", "Cluster", "Xen", "Memory", "Free", "Domains")]
        for server in seen.servers:
            memory = (str(amount) if amount else "-" for amount in (server.total_memory_mib, server.free_memory_mib))
            names = " ".join(_running_on(server.name, seen.domains)) if server.reachable else "unknown"
            rows.append((server.name, server.cluster, server.xen or "-", *memory, names or "-"))
        click.echo("\n".join(aligned(rows)))
    with after_the_answer():
        view.raise_for_lost({**_without_answer(seen), **site.lost})


@click.command("domain")
@click.argument("name", metavar="DOMAIN", shell_complete=offered_domains)
@FILE
@_JSON
def domain(name: str, file: Path, as_json: bool) -> None:
    """Show a domain: its config, where it runs, its images.

    With everything that is wrong with it. Exits as `snow list domains` does.
    """
    ha = connect.read(file)
    domain_names.check_one(name, ha.content.domains)
    with waiting.shown():
        site, seen = _observe(ha)
        names = site.chosen([name])
        domain_names.check_one(name, site.names())
        shown = domain_text.facts(site.domain(names[0]), seen, _roles(site).get(names[0], ()))
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(domain_text.lines(shown)))
    _raise_for(site, seen)


def _observe(ha: connect.HaToml) -> tuple[View, SiteStatus]:
    site = view.observe(ha)
    return site, status.status_of(site.context.site, site.context.hosts, domains=site.names(), known=site.findings)


def _roles(site: View) -> dict[str, tuple[str, ...]]:
    """None of any domain if the file cannot be read: what runs is worth more than the roles."""
    if site.reader is None:
        return {}
    try:
        return roles.roles(site.reader, site.context.site.paths.snow_conf)
    except SnowError as error:
        with waiting.paused():
            click.echo(f"warning: no roles are shown: {error}", err=True)
        return {}


def _running_on(server: str, domains: Sequence[DomainStatus]) -> list[str]:
    return sorted(one.name for one in domains if server in one.servers)


def _raise_for(site: View, seen: SiteStatus) -> None:
    """What the answer cannot say, or what is wrong in it, the worst first."""
    with after_the_answer():
        twice = [one for one in seen.domains if len(one.servers) > 1]
        if twice:
            said = "; ".join(f"{one.name} runs on {' and '.join(one.servers)} at once" for one in twice)
            raise SiteError(said, remedy="shut one of them down now: xl shutdown NAME there, and check its file system")
        view.raise_for_lost({**_without_answer(seen), **site.lost})
        site.raise_for_missing()


def _without_answer(seen: SiteStatus) -> dict[str, UnreachableError]:
    """Servers that ssh reaches, and that do not say what runs there: it is not known either."""
    return {
        one.name: UnreachableError(one.trouble, where=one.name, remedy="see `snow status`")
        for one in seen.servers
        if one.trouble
    }
