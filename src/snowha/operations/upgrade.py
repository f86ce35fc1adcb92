"""``snow upgrade``: the packages of one server after the other: drained, upgraded, rebooted, proven, taken back.

A server that is being upgraded has a note (``NOTE``) from before it is drained until everything is proven: so the next run goes
on with one that was interrupted, from whichever machine. A server with neither the note nor packages to upgrade is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snowha.errors import SiteError
from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.read_only import read_only_script
from snowha.live import cluster
from snowha.live.context import SiteContext, release_of
from snowha.operations import move_plan
from snowha.operations.moves import Mover
from snowha.plan.step import Reporter
from snowha.provision.servers import debian_release, software

NOTE = "/var/lib/snow-ha/upgrading"
"""On a server that is being upgraded: a ``Note``."""

# apt-get(8): -s needs no lock, and changes nothing
_SIMULATED = read_only_script("apt-get -s -q -o Debug::NoLocking=1 --with-new-pkgs upgrade")
_INST = re.compile(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+)", re.MULTILINE)
_SHOWN = re.compile(r"xen-hypervisor|linux-image|^xen-utils|^corosync$|^pacemaker$")


@dataclass(frozen=True)
class Package:
    """A package that is installed, or installed in a new version."""

    name: str
    before: str
    """Empty: it is new."""
    after: str


@dataclass(frozen=True)
class ServerPlan:
    """What is due on a server. ``moves``: once the servers before it are drained; worked out anew when it is its turn."""

    server: str
    packages: tuple[Package, ...]
    is_begun: bool
    """An earlier run was interrupted there."""
    moves: move_plan.MovePlan | None
    release: str = ""
    """Of Debian, to which it is taken. Empty: it keeps the one that it has."""

    @property
    def is_due(self) -> bool:
        return self.is_begun or bool(self.packages)


def parse_upgrade(text: str) -> tuple[Package, ...]:
    """What ``apt-get -s upgrade`` would install."""
    return tuple(Package(name, before, after) for name, before, after in _INST.findall(text))


def upgradable(host: Host) -> tuple[Package, ...]:
    """Packages of which ``host`` knows a newer version, by its lists as they are. Raises CommandError."""
    return parse_upgrade(host.run(["sh", "-c", _SIMULATED], timeout=120).stdout)


def plan(
    context: SiteContext, mover: Mover, servers: Sequence[str], reporter: Reporter, release: str = ""
) -> tuple[ServerPlan, ...]:
    """Read the package lists of ``servers``; work out what is due: newer packages, or Debian ``release``. Nothing is installed.

    Raises SiteError if a server could not be drained, if the cluster is not healthy before the first one, and if a server cannot
    be taken to that release.
    """
    hosts = [context.hosts[name] for name in servers]
    begun = each(hosts, note_of)
    releases = {name: _release(name, begun[name], release) for name in servers}
    packages = each(hosts, lambda host: _packages(host, releases[host.name], begun[host.name] is not None, reporter))
    return _planned(context, mover, begun, releases, packages)


def plan_again(context: SiteContext, mover: Mover, plans: Sequence[ServerPlan]) -> tuple[ServerPlan, ...]:
    """``plans`` for the site as it is now, with the packages that they have: no list is read again. Raises SiteError as
    ``plan``."""
    begun = each([context.hosts[one.server] for one in plans], note_of)
    releases = {one.server: _release(one.server, begun[one.server], one.release) for one in plans}
    shown = {one.server: one.moves.moves for one in plans if one.moves}
    return _planned(context, mover, begun, releases, {one.server: one.packages for one in plans}, shown)


def _planned(
    context: SiteContext,
    mover: Mover,
    begun: Mapping[str, Note | None],
    releases: Mapping[str, str],
    packages: Mapping[str, tuple[Package, ...]],
    shown: Mapping[str, Sequence[move_plan.Move]] | None = None,
) -> tuple[ServerPlan, ...]:
    """For the servers of ``releases``, in that order. ``shown``: the moves of the plan that was made before."""
    due = [name for name in releases if packages[name] or begun[name] is not None]
    if not due:
        return tuple(ServerPlan(name, (), False, None, release) for name, release in releases.items())
    seen = mover.placement_state()
    drained = [name for name in due if begun[name] is None and cluster.is_standby(seen.cluster, name)]
    if drained:
        raise SiteError(f"{drained[0]} is in standby", where=drained[0], remedy="to use it again: snow undrain")
    # one that an earlier run has taken out is back by the time that the next one is drained
    state = move_plan.with_back(seen, [name for name in due if begun[name] is not None])
    found = []
    for name, release in releases.items():
        moves = None
        if name in due and (begun[name] is None or state.running.get(name)):
            moves = move_plan.drain(state, name, restart=mover.restart, shown=(shown or {}).get(name, ()))
            state = move_plan.after(state, moves.moves)
        found.append(ServerPlan(name, packages[name], begun[name] is not None, moves, release))
    if not any(one.is_begun for one in found):
        problem = cluster_problem(context)
        if problem:
            raise SiteError(f"the cluster is not healthy: {problem}", remedy="see `snow ha status`; correct that first")
    return tuple(found)


def _release(name: str, note: Note | None, wanted: str) -> str:
    """The release to which a server is taken: as it was begun."""
    if note is not None and wanted and note.release != wanted:
        raise SiteError(
            f"an upgrade of it to {note.release or 'newer packages of its own release'} has begun",
            where=name,
            remedy=f"finish that first: snow upgrade {name}",
        )
    return wanted if note is None else note.release


def _packages(host: Host, release: str, is_begun: bool, reporter: Reporter) -> tuple[Package, ...]:
    if not release:
        software.refresh(host, reporter)
        return upgradable(host)
    current = release_of(host)
    if is_begun or (current == release and debian_release.missing(host, release) is None):
        return ()
    if current != release:
        debian_release.check_next(current, release)
    software.refresh(host, reporter)
    return parse_upgrade(debian_release.simulate(host, release, reporter).text)


def lines(plans: Sequence[ServerPlan]) -> list[str]:
    """The plan for a terminal."""
    text = []
    for one in plans:
        if not one.is_due:
            text.append(f"{one.server}: up to date")
            continue
        what = f"{len(one.packages)} packages" + (f" of Debian {one.release}" if one.release else "")
        text.append(f"{one.server}: {'continued' if one.is_begun else what}, then a reboot")
        shown = (package for package in one.packages if _SHOWN.search(package.name))
        text += [f"  {package.name}: {package.before or 'new'} to {package.after}" for package in shown]
        text += [f"  {line}" for line in move_plan.lines(one.moves)] if one.moves else []
    return text


@dataclass(frozen=True)
class Note:
    """What a server has from before it is drained until everything is proven."""

    boot: str
    """Id of the boot that it had before."""
    release: str
    """Of Debian, to which it is taken. Empty: it keeps the one that it has."""


def note_of(host: Host) -> Note | None:
    """None: no upgrade of it is under way."""
    text = read_text(host, NOTE)
    boot, _, release = (text or "").strip().partition("\n")
    return None if text is None else Note(boot, release.strip())


def write_note(host: Host, note: Note) -> None:
    """Its folder must be there."""
    write_file(
        host, NOTE, f"{note.boot}\n{note.release}\n" if note.release else f"{note.boot}\n", mode=0o600, keep=False
    )


def cluster_problem(context: SiteContext, *, but: str = "") -> str | None:
    """Why no server may be taken out now, None if one may: a server other than ``but`` is offline, or something does not run."""
    state = cluster.cluster_state({name: host for name, host in context.hosts.items() if name != but})
    if state is None:
        return "Pacemaker does not run"
    absent = [name for name in context.hosts if name != but and not state.is_online(name)]
    return f"not online: {', '.join(absent)}" if absent else cluster.problem_in(state)
