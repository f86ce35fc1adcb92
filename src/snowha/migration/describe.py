"""What the steps that touch the real thing would do, told without doing it: there is nothing to try there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from snowha.cluster import cib, cib_merge
from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.plan.change import Change, FileChange, HostCommand
from snowha.provision import pacemaker
from snowha.provision.servers import kernels

_NO_CIB = b"<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>"


def descriptions(context: SiteContext) -> Mapping[str, Callable[[], Change]]:
    """By the id of the step."""
    site = context.site
    found: dict[str, Callable[[], Change]] = {
        "pacemaker.start": partial(_start, context),
        "pacemaker.cib": partial(_cib, context),
        "placement.spread": partial(_spread, context),
        "proofs.migration": lambda: Change(
            notes=("each domain that was not live-migrated before is moved to another server",), complete=False
        ),
    }
    if site.floating_ip:
        address = site.floating_ip.address
        found["proofs.floating-ip"] = lambda: Change(
            notes=(f"{address} is moved to another server and back, and pinged from the other one",)
        )
    for server in site.servers:
        found[f"proofs.fence.{server.name}"] = partial(_fence, server.name)
    for server in context.new_servers:
        found[f"servers.kernels.{server.name}"] = partial(_kernels, context, server.name)
    return found


def _start(context: SiteContext) -> Change:
    commands = []
    for name in context.hosts:
        commands += [
            HostCommand(name, f"chown -R hacluster:haclient {pacemaker.STATE}"),
            HostCommand(name, f"chmod 750 {pacemaker.STATE}"),
            HostCommand(name, "systemctl start corosync pacemaker"),
        ]
    return Change(commands=tuple(commands))


def _cib(context: SiteContext) -> Change:
    """The differences from what the cluster has; from nothing where it does not run yet."""
    wanted = cib.compose(context.site, pacemaker.planned(context), options=pacemaker.options(context))
    current = _NO_CIB
    for host in context.hosts.values():
        if cluster.state_from(host):
            current = cluster.configuration(host)
            break
    notes = []
    if current is _NO_CIB:
        notes.append("every hypervisor is then asked again whether a domain can be live-migrated")
    command = HostCommand(
        context.first.name, "cibadmin --replace --scope=configuration --xml-file=/var/lib/snow-ha/cib.xml"
    )
    return Change(commands=(command,), cib=cib_merge.differs(current, wanted), notes=tuple(notes))


def _spread(context: SiteContext) -> Change:
    plan = pacemaker.planned(context)
    return Change(notes=tuple(f"{name} belongs on {server}" for name, server in sorted(plan.items())))


def _fence(name: str) -> Change:
    return Change(
        commands=(HostCommand("another server", f"stonith_admin --fence={name} --timeout=180"),),
        reboots=(name,),
        notes=(
            f"{name} is put in standby, its domains are live-migrated away, its power is cut, confirmed off, and "
            "restored, and the server rejoins the cluster",
        ),
    )


def _kernels(context: SiteContext, name: str) -> Change:
    """By name alone: reading them all takes as long as copying them."""
    paths = kernels.files(context.site)
    about = f"copied from {context.first.name} if it differs"
    return Change(files=tuple(FileChange(name, path, about=about) for path in paths))
