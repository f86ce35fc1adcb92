"""Back to an earlier step, down to the single server with its domains on LVM. Undoing that is ``snow ha apply`` again.

Each undo is a step like any other: it looks, acts, and looks again. What is left on purpose: packages, the new servers'
mounts, host names, bridges and kernels, and Xen on them. Nothing of it changes anything for the single server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from snowha.hosts.pool import Pool
from snowha.live import definition, services
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps, carried_out
from snowha.migration.undo import corosync, images, pacemaker, proofs, servers, snow_conf
from snowha.plan.selection import named
from snowha.plan.step import Reporter, Step


@dataclass(frozen=True)
class Undo:
    """A step that takes back the steps ``of``. ``alone``: it neither needs the one before it nor is needed."""

    step: Step
    of: tuple[str, ...]
    alone: bool = False


def steps(context: SiteContext, passwords: Mapping[str, str], *, to: str = "") -> list[Step]:
    """What takes the site back to what it was after the step or section ``to``; without it, to the single server.

    Every domain's way back is checked here, before the first step of any is carried out: afterwards the cluster is dismantled.
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
    images.check_returns(context, [step.domain for step in found if step.domain])
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
        plain("snow.conf", "Restore snow.conf", "snow.conf", snow_conf.changed, snow_conf.restore, alone=True),
        undo(
            proven,
            "Remove the records of proofs",
            "proofs",
            partial(proofs.recorded, context),
            partial(proofs.remove, context),
            name="proofs",
            alone=True,
        ),
        undo(
            "pacemaker.cib",
            f"Move every domain to {site.servers[0].name}",
            "placement",
            partial(pacemaker.not_on_first, context),
            partial(pacemaker.move_to_first, context),
            name="gather",
            interrupts=tuple(domain.name for domain in site.domains),
        ),
        undo(
            "pacemaker.cib",
            "Remove fencing, floating IP and domains from Pacemaker; the domains keep running",
            "pacemaker",
            partial(pacemaker.configuration_left, context),
            partial(pacemaker.remove_configuration, context, again="pacemaker.start" in left),
        ),
        plain(
            "pacemaker.autostart",
            "Start the domains at boot again",
            "pacemaker",
            pacemaker.autostart_missing,
            pacemaker.restore_autostart,
        ),
        undo(
            "pacemaker.start",
            "Stop Pacemaker on every server",
            "pacemaker",
            partial(services.active, context, "pacemaker"),
            partial(services.stop, context, "pacemaker"),
        ),
        plain(
            "pacemaker.fence",
            "Remove the BMCs' passwords from the servers",
            "pacemaker",
            pacemaker.passwords_left,
            pacemaker.remove_passwords,
        ),
        undo(
            "corosync.start",
            "Stop Corosync on every server",
            "corosync",
            partial(services.active, context, "corosync"),
            partial(services.stop, context, "corosync"),
        ),
        plain(
            "corosync.conf",
            "Move corosync.conf aside",
            "corosync",
            corosync.conf_left,
            corosync.restore_conf,
        ),
        plain("corosync.key", "Move Corosync's key aside", "corosync", corosync.key_left, corosync.remove_key),
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
        plain(
            "servers.ssh",
            "Remove the ssh logins between the servers",
            "servers",
            servers.logins_left,
            servers.remove_logins,
        ),
        *(
            undo(
                f"servers.settings.{server.name}",
                f"Restore the settings of {server.name}",
                "servers",
                partial(servers.settings_left, context.hosts[server.name]),
                partial(servers.restore_settings, context.hosts[server.name]),
                server=server.name,
            )
            for server in site.servers
        ),
        # the last: until then an undo that was interrupted can be gone on with on any server
        plain(definition.STEP, "Remove ha.toml from the servers", "pacemaker", definition.kept, definition.remove),
    ]


def titles(undo_steps: Sequence[Step]) -> list[str]:
    """For a person to read before it begins: only what there is to do."""
    with Pool(8, name="check") as pool:
        reasons = list(pool.map(lambda step: step.check(), undo_steps))
    return [f"{step.title} ({reason})" for step, reason in zip(undo_steps, reasons, strict=True) if reason is not None]
