"""What the steps that touch the real thing would do, told without doing it: nothing to rehearse there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from snowha.cluster import cib, cib_live
from snowha.migration import pacemaker
from snowha.migration.ground import Ground
from snowha.operations import live
from snowha.plan.change import Change, FileChange, HostCommand

_NO_CIB = b"<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>"


def descriptions(ground: Ground) -> Mapping[str, Callable[[], Change]]:
    """By the id of the step."""
    site = ground.site
    found: dict[str, Callable[[], Change]] = {
        "pacemaker.start": partial(_start, ground),
        "pacemaker.cib": partial(_cib, ground),
        "placement.spread": partial(_spread, ground),
        "proofs.migration": lambda: Change(
            notes=("each domain that was not live-migrated by then is moved to another server",), complete=False
        ),
    }
    if site.floating_ip:
        address = site.floating_ip.address
        found["proofs.floating-ip"] = lambda: Change(
            notes=(f"{address} is moved to another server and back, and pinged from the other one",)
        )
    for server in site.servers:
        found[f"proofs.fence.{server.name}"] = partial(_fence, server.name)
    for server in ground.new_servers:
        found[f"servers.kernels.{server.name}"] = partial(_kernels, ground, server.name)
    return found


def _start(ground: Ground) -> Change:
    commands = []
    for name in ground.hosts:
        commands += [
            HostCommand(name, f"chown -R hacluster:haclient {pacemaker.STATE}"),
            HostCommand(name, f"chmod 750 {pacemaker.STATE}"),
            HostCommand(name, "systemctl start corosync pacemaker"),
        ]
    return Change(commands=tuple(commands))


def _cib(ground: Ground) -> Change:
    """The differences from what the cluster has; from nothing where it does not run yet."""
    wanted = cib.compose(ground.site, pacemaker.planned(ground), options=pacemaker.options(ground))
    current = _NO_CIB
    for host in ground.hosts.values():
        if live.state_from(host):
            current = host.run(["cibadmin", "--query"], timeout=60).stdout.encode()
            break
    notes = []
    if current is _NO_CIB:
        notes.append("whether a domain can be live-migrated is asked of every hypervisor again by then")
    command = HostCommand(
        ground.first.name, "cibadmin --replace --scope=configuration --xml-file=/var/lib/snow-ha/cib.xml"
    )
    return Change(commands=(command,), cib=cib_live.differs(current, wanted), notes=tuple(notes))


def _spread(ground: Ground) -> Change:
    plan = pacemaker.planned(ground)
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


def _kernels(ground: Ground, name: str) -> Change:
    """By name alone: reading them all takes as long as copying them."""
    paths = sorted({path for domain in ground.site.domains for path in (domain.kernel, domain.ramdisk) if path})
    about = f"copied from {ground.first.name} if it is not the same"
    return Change(files=tuple(FileChange(name, path, about=about) for path in paths))
