"""A new server set up for the site by the migration's own steps for it, with all that the servers share left alone.

sNow!'s ``snow init`` (share/common.sh of 1.1.16, lib/common.sh of 2.0) has one procedure for the first server and for all others:
on a new server it also writes files that the running site has on its shared storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import dirname, join

from snowha.errors import InputError, SiteError
from snowha.hosts import own
from snowha.hosts.files import absent
from snowha.hosts.host import Host
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext, read_snow_conf
from snowha.plan import plan_text
from snowha.plan.plan import Planned
from snowha.plan.step import Step
from snowha.provision.servers import host_names, mounts
from snowha.site.names import did_you_mean, listed, show, there_are
from snowha.xen import xl

_NODES = "nodes.json"
"""What sNow!'s ``init_check`` takes for the sign that it was initiated."""
_BESIDE = {
    _NODES: "sNow! would give every compute node its default image and template again",
    "snow.conf": "",
    "active-domains.conf": "",
    "domains.conf": "",
    "repositories.json": "",
    "templates.json": "",
}
_SHARED = (
    host_names.SHARED_HOSTS,
    host_names.SHARED_KNOWN_HOSTS,
    "ssh/shosts.equiv",
    "exports.d/snow.exports",
    "exports.d/snow_domains.exports",
)
_OF_NODES = ("/etc/ssh/ssh_config", "/etc/ssh/shosts.equiv", "/root/.shosts")
_WARNING = (
    "sNow! configuration had been initiated before.",
    "Please, do not run this command in a production environment",
)
"""sNow!'s own words, which its guide shows."""


@dataclass(frozen=True)
class InitPlan:
    """``initiated``: sNow! was initiated before, so that its own command would warn. ``left_alone``: files that all servers share
    and that its own command may write, each with what that would do, if it is more than to move or complete it."""

    server: str
    initiated: bool
    left_alone: tuple[tuple[str, str], ...]
    steps: tuple[Planned, ...]

    @property
    def is_due(self) -> bool:
        return any(step.is_due for step in self.steps)


def chosen(ha: HaToml, word: str | None = None) -> str:
    """The new server that the command line means: ``word``, else this machine. Raises InputError. No server is asked."""
    first, *others = ha.content.servers
    names = [server.name for server in others]
    there = there_are(names) if names else ""
    add = f"`snow ha init {first.name} {' '.join([*names, 'SERVER'])} --force` writes {ha.path.name} with one more"
    if word is None:
        word = next((server.name for server in ha.content.servers if own.is_here(server.name, server.links)), None)
    if word is None:
        raise InputError(
            "this machine is not a server of the site, so give the name of the new one",
            where=str(ha.path),
            remedy=f"snow init SERVER: {there or add}",
        )
    if word == first.name:
        raise InputError(
            f"{word} is the first server, which has the domains and is set up already",
            where=str(ha.path),
            remedy=f"give the name of the new one: {there or add}",
        )
    if word not in names:
        if word == "force":
            raise InputError(
                "`snow init force` belongs to sNow!, and rewrites what all servers share: snow-ha never does that",
                remedy=f"give the name of the new server: {there or add}",
            )
        raise InputError(
            f"there is no server {show(word)}{did_you_mean(word, names)}",
            where=str(ha.path),
            remedy=f"{there}; {add}" if there else add,
        )
    return word


def steps_of(steps: Sequence[Step], server: str) -> list[Step]:
    """Those of the migration's ``steps`` that set up ``server``, and nothing else."""
    return [step for step in steps if step.section == "servers" and step.server == server]


def refuse(context: SiteContext, server: str) -> None:
    """Raise SiteError where ``server`` is not new: domains run there, or it has files of its own where the shared ones go."""
    host = context.hosts[server]
    running = xl.running(host) if xl.is_under_xen(host) else {}
    if running:
        raise SiteError(
            f"domains run there: {listed(sorted(running))}",
            where=server,
            remedy="it is not a new server: `snow ha apply` adds what is missing on a server of the site",
        )
    for mount in context.site.mounts:
        if not any(_is_below(path, mount.target) for path in (context.site.paths.snow_conf, context.site.paths.images)):
            continue
        if mounts.mounted(host, mount) is None and _has_files(host, mount.target):
            raise SiteError(
                f"{mount.target} is not mounted from {mount.source}, and has files of its own, which would be hidden",
                where=server,
                remedy=f"check them; if none is needed: mv {mount.target} {mount.target}.local, then run this again",
            )


def plan(context: SiteContext, server: str, steps: tuple[Planned, ...]) -> InitPlan:
    """What is done, and what is left alone. ``steps``: as planned."""
    beside = dirname(context.site.paths.snow_conf)
    conf = read_snow_conf(context.first, context.site.paths.snow_conf)
    files = {join(beside, name): why for name, why in _BESIDE.items()}
    files |= {join(folder, name): "" for folder in conf.shared_folders() for name in _SHARED}
    gone = set(absent(context.first, list(files)))
    left = tuple((path, why) for path, why in files.items() if path not in gone)
    return InitPlan(server, join(beside, _NODES) not in gone, left, steps)


def lines(made: InitPlan) -> Iterator[str]:
    """The plan for a terminal."""
    if made.initiated:
        yield from (f"[W] {line}" for line in _WARNING)
        yield "This is the warning of sNow!'s own command, which would write files that all"
        yield f"servers share. This command sets up {made.server}, and changes nothing else."
        yield ""
    if made.left_alone:
        yield "left alone, since all servers share it:"
        for path, why in made.left_alone:
            yield f"  {path}"
            if why:
                yield f"    ({why})"
    yield f"left alone on {made.server}, since it is about logins of compute nodes:"
    yield f"  {', '.join(_OF_NODES)}"
    yield ""
    yield from plan_text.lines(made.steps, details=False)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _has_files(host: Host, folder: str) -> bool:
    words = ["find", folder, "-mindepth", "1", "-maxdepth", "1", "-print", "-quit"]
    return bool(host.run(words, check=False, timeout=60).stdout.strip())
