"""Back to an earlier step, down to the single server with its domains on LVM. Undoing that is ``snow ha apply`` again.

Each undo is a step like any other: it looks, acts, and looks again. What is left on purpose: packages, the new servers'
mounts, host names, bridges and kernels, and Xen on them. Nothing of it changes anything for the single server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from snowha.hosts.files import exists, kept, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.live import definition
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps, carried_out
from snowha.migration.undo import cluster
from snowha.migration.undo import disks as images
from snowha.migration.undo.files import before_on, without_lines
from snowha.plan.selection import named
from snowha.plan.step import Reporter, Step
from snowha.provision.servers import settings
from snowha.site.model import Server
from snowha.xen import alert_agent, dom0_weight, image_devices, server_program

_AUTHORIZED, _KNOWN = "/root/.ssh/authorized_keys", "/etc/ssh/ssh_known_hosts"


@dataclass(frozen=True)
class Undo:
    """A step that takes back the steps ``of``. ``alone``: it neither needs the one before it nor is needed."""

    step: Step
    of: tuple[str, ...]
    alone: bool = False


def steps(context: SiteContext, passwords: Mapping[str, str], *, to: str = "") -> list[Step]:
    """What takes the site back to what it was after the step or section ``to``; without it, to the single server.

    Every domain's way back is looked at here, before the first step of any is carried out: afterwards the cluster is dismantled.
    Raises InputError for a name that is no step, SnowError for a domain that could not be brought back.
    """
    forward = all_steps(context, passwords)
    place = {step.id: number for number, step in enumerate(forward)}
    last = max(place[name] for name in named(forward, to, option="--to")) if to else -1
    left = {name for name, number in place.items() if number <= last}
    found: list[Step] = []
    previous: tuple[str, ...] = ()
    for undo in _all(context, left):
        if not any(place[name] > last for name in undo.of if name in place):
            continue
        needs = () if undo.alone else previous
        found.append(carried_out(context, replace(undo.step, needs=needs)))
        if not undo.alone:
            previous = (undo.step.id,)
    images.check_ways(context, [step.domain for step in found if step.domain])
    return found


def _all(context: SiteContext, left: set[str]) -> list[Undo]:
    """In the order in which they must be done: the last section first."""
    site = context.site

    def undo(
        of: str | tuple[str, ...],
        title: str,
        section: str,
        check: Callable[[], str | None],
        apply: Callable[[Reporter], None],
        *,
        name: str = "",
        alone: bool = False,
        interrupts: tuple[str, ...] = (),
        server: str = "",
        domain: str = "",
    ) -> Undo:
        ids = (of,) if isinstance(of, str) else of
        name = f"undo.{name or ids[0]}"
        step = Step(name, title, section, check, apply, interrupts=interrupts, server=server, domain=domain)
        return Undo(step, ids, alone)

    def plain(
        of: str,
        title: str,
        section: str,
        check: Callable[[SiteContext], str | None],
        apply: Callable[[SiteContext, Reporter], None],
        *,
        alone: bool = False,
    ) -> Undo:
        return undo(of, title, section, partial(check, context), partial(apply, context), alone=alone)

    proven = ("proofs.floating-ip", *(f"proofs.fence.{server.name}" for server in site.servers), "proofs.migration")
    return [
        plain("snow.conf", "Restore snow.conf", "snow.conf", cluster.conf_missing, cluster.conf_back, alone=True),
        undo(
            proven,
            "Remove the records of proofs",
            "proofs",
            partial(cluster.proofs_missing, context),
            partial(cluster.forget_proofs, context),
            name="proofs",
            alone=True,
        ),
        undo(
            "pacemaker.cib",
            f"Move every domain to {site.servers[0].name}",
            "placement",
            partial(cluster.elsewhere, context),
            partial(cluster.gather, context),
            name="gather",
            interrupts=tuple(domain.name for domain in site.domains),
        ),
        undo(
            "pacemaker.cib",
            "Remove fencing, floating IP and domains from Pacemaker; the domains keep running",
            "pacemaker",
            partial(cluster.cib_missing, context),
            partial(cluster.take_cib, context, again="pacemaker.start" in left),
        ),
        plain(
            "pacemaker.autostart",
            "Start the domains at boot again",
            "pacemaker",
            cluster.links_missing,
            cluster.links_back,
        ),
        undo(
            "pacemaker.start",
            "Stop Pacemaker on every server",
            "pacemaker",
            partial(cluster.active, context, "pacemaker"),
            partial(cluster.stop, context, "pacemaker"),
        ),
        plain(
            "pacemaker.fence",
            "Remove the BMCs' passwords from the servers",
            "pacemaker",
            cluster.scripts_missing,
            cluster.remove_scripts,
        ),
        undo(
            "corosync.start",
            "Stop Corosync on every server",
            "corosync",
            partial(cluster.active, context, "corosync"),
            partial(cluster.stop, context, "corosync"),
        ),
        plain(
            "corosync.conf",
            "Move corosync.conf aside",
            "corosync",
            cluster.corosync_conf_missing,
            cluster.corosync_conf_back,
        ),
        plain("corosync.key", "Move Corosync's key aside", "corosync", cluster.key_missing, cluster.remove_key),
        *(
            undo(
                f"images.{domain.name}",
                f"Move {domain.name} back onto its volumes, with what it wrote since",
                "images",
                partial(images.missing, context, domain.name),
                partial(images.move_back, context, domain.name),
                interrupts=(domain.name,),
                domain=domain.name,
            )
            for domain in site.domains
        ),
        plain("servers.ssh", "Remove the ssh logins between the servers", "servers", _logins_missing, _remove_logins),
        *(
            undo(
                f"servers.settings.{server.name}",
                f"Restore the settings of {server.name}",
                "servers",
                partial(_settings_missing, context.hosts[server.name]),
                partial(_settings_back, context.hosts[server.name]),
                server=server.name,
            )
            for server in site.servers
        ),
        # the last: until then an undo that was interrupted can be gone on with on any server
        plain(definition.STEP, "Remove ha.toml from the servers", "pacemaker", definition.kept, definition.remove),
    ]


# logins


def _pinned_as(server: Server) -> str:
    """The first field of its lines in known_hosts, as ``servers.ssh`` writes them."""
    return ",".join(dict.fromkeys((server.name, server.address, *server.links)))


def _stripped(context: SiteContext, host: Host) -> dict[str, str]:
    """Files on ``host`` with lines for the servers, as they are without those."""
    servers = context.site.servers
    pins = {_pinned_as(server) for server in servers}
    keys = {(read_text(context.hosts[one.name], "/root/.ssh/id_ed25519.pub") or "").strip() for one in servers} - {""}
    there_before = _always_there(host, _AUTHORIZED)
    found = {
        _AUTHORIZED: without_lines(host, _AUTHORIZED, lambda line: line in keys and line not in there_before),
        _KNOWN: without_lines(host, _KNOWN, lambda line: line.split(" ")[0] in pins),
    }
    return {path: text for path, text in found.items() if text is not None}


def _always_there(host: Host, path: str) -> set[str]:
    """Lines that every earlier version of the file had: they were not put there by us, and may be how we got in. All of them, if
    we never changed it."""
    versions = [version.content.decode(errors="replace") for version in kept(host, path)] or [
        read_text(host, path) or ""
    ]
    return set.intersection(*({line.strip() for line in text.splitlines()} for text in versions))


def _logins_missing(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: f"{next(iter(found))} has the servers" if (found := _stripped(context, host)) else None
    )


def _remove_logins(context: SiteContext, reporter: Reporter) -> None:
    for host in context.hosts.values():
        for path, text in _stripped(context, host).items():
            if text:
                write_file(host, path, text)
            else:
                remove_file(host, path)


# settings


def _saves_nothing(text: str) -> bool:
    return not settings.saved_by_xendomains(text)


def _xendomains_before(host: Host) -> str | None:
    """/etc/default/xendomains as it must be again; None if there is nothing to put back."""
    text = read_text(host, settings.XENDOMAINS)
    if text is None or not _saves_nothing(text):
        return None
    original = before_on(host, settings.XENDOMAINS, _saves_nothing)
    if original is None:
        return None
    back = settings.with_save_as_before(text, original)
    return back if back != text else None


_OURS = (
    *server_program.LINKS,
    server_program.PATH,
    server_program.NAME,
    alert_agent.PATH,
    f"{PurePosixPath(dom0_weight.PATH).parent}/multi-user.target.wants/{dom0_weight.UNIT}",
)


def _settings_missing(host: Host) -> str | None:
    for path in (*_OURS, dom0_weight.PATH, image_devices.PATH):
        if exists(host, path):
            return f"{path} is there"
    return "XENDOMAINS_SAVE is empty" if _xendomains_before(host) is not None else None


def _settings_back(host: Host, reporter: Reporter) -> None:
    """dom0 keeps its share of the processors until the next boot: that harms nobody."""
    for path in (*_OURS, dom0_weight.PATH, image_devices.PATH):  # the link before what it points to
        remove_file(host, path)
    text = _xendomains_before(host)
    if text is not None:
        write_file(host, settings.XENDOMAINS, text)


def titles(undo_steps: Sequence[Step]) -> list[str]:
    """For a person to read before it begins: only what there is to do."""
    with ThreadPoolExecutor(8, thread_name_prefix="look") as pool:
        reasons = list(pool.map(lambda step: step.check(), undo_steps))
    return [f"{step.title} ({reason})" for step, reason in zip(undo_steps, reasons, strict=True) if reason is not None]
