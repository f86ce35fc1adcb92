"""What a command line names (steps, sections, domains), looked up in ``ha.toml`` alone: a typing mistake is told of before any
server is asked."""

from __future__ import annotations

from collections.abc import Sequence

from snowha.errors import InputError, UnreachableError
from snowha.hosts.host import Host
from snowha.hosts.lost import LostHost
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps
from snowha.plan.selection import named, select
from snowha.plan.step import Step
from snowha.site import ha_toml
from snowha.site.ha_file import HaFile
from snowha.site.model import Domain, Site
from snowha.site.names import did_you_mean, show, there_are


def check_selection(
    ha: HaToml, *, until: str = "", only: str = "", domains: Sequence[str] = (), to: str | None = None
) -> None:
    """Whether there are the steps and domains that --until, --only, --domain and --to name. Raises InputError."""
    steps = steps_of(ha.content)
    select(steps, until_step=until, only_step=only, domains=domains, known=ha.content.domains)
    if to is not None:
        named(steps, to, option="--to")


def check_domain(ha: HaToml, name: str) -> None:
    """Whether ``ha.toml`` has this domain. Raises InputError."""
    known = ha.content.domains
    if name not in known:
        raise InputError(
            f"there is no domain {show(name)}{did_you_mean(name, known)}",
            where=str(ha.path),
            remedy=there_are(known) if known else "this file has no [[domain]]: add one, or run `snow ha init`",
        )


def check_server(ha: HaToml, name: str) -> None:
    """Whether ``ha.toml`` has this server. Raises InputError."""
    known = [server.name for server in ha.content.servers]
    if name not in known:
        raise InputError(
            f"there is no server {show(name)}{did_you_mean(name, known)}",
            where=str(ha.path),
            remedy=there_are(known),
        )


def bare_site(ha: HaFile) -> Site:
    """The site as far as ``ha.toml`` knows it: of its domains no more than their names."""
    domains = [
        Domain(name, f"{ha.paths.domain_configs}/{name}.cfg", 0, 1, "pvh", "", "", (), (), "") for name in ha.domains
    ]
    return ha_toml.compose(ha, domains)


def steps_of(ha: HaFile) -> list[Step]:
    """The steps of the migration, as far as ``ha.toml`` says which there are. None of them can look or be carried out."""
    site = bare_site(ha)
    nobody = UnreachableError("no server was asked")
    hosts: dict[str, Host] = {server.name: LostHost(server.name, nobody) for server in ha.servers}
    return all_steps(SiteContext(site, hosts, definition=ha.definition), {})
