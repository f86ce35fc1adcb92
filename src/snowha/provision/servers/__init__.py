"""Servers that can be servers of a cluster (guide: "Install sNow! software in the new sNow! servers", "Install the
required software packages", "Disable auto start", "Xen configuration").
"""

from __future__ import annotations

from functools import partial

from snowha.live.context import SiteContext
from snowha.plan.step import Step
from snowha.provision.packages import CONVERTER, domain_packages
from snowha.provision.servers import boot, exporter, host_names, kernels, logins, mounts, settings, software
from snowha.site.disk_spec import CONVERTED
from snowha.site.model import Server


def steps(context: SiteContext) -> list[Step]:
    """The section's steps."""
    found = []
    for server in context.site.servers:
        found += _server_steps(context, server)
    everywhere = tuple(f"servers.packages.{server.name}" for server in context.site.servers)
    found.append(
        Step(
            id="servers.ssh",
            title="Set up ssh between the servers, with pinned host keys",
            section="servers",
            check=partial(logins.missing, context),
            apply=partial(logins.connect, context),
            needs=tuple(f"servers.xen.{server.name}" for server in context.new_servers) or everywhere,
        )
    )
    return found


def _has_converted(context: SiteContext) -> bool:
    return any(disk.format in CONVERTED for domain in context.site.domains for disk in domain.moved_disks)


def _server_steps(context: SiteContext, server: Server) -> list[Step]:
    host = context.hosts[server.name]
    name = server.name
    new = server in context.new_servers
    # the first server has the disks
    converter = (CONVERTER,) if server is context.site.servers[0] and _has_converted(context) else ()
    more = (*domain_packages(context.site.domains), *converter, *((exporter.PACKAGE,) if context.site.exporter else ()))
    found = []
    if new:
        found.append(
            Step(
                id=f"servers.mounts.{name}",
                server=name,
                title=f"Mount the shared file systems on {name}",
                section="servers",
                check=partial(mounts.missing, context, host),
                apply=partial(mounts.mount, context, host),
                uses=(f"server:{name}",),
            )
        )
        found.append(
            Step(
                id=f"servers.hosts.{name}",
                server=name,
                title=f"Add sNow!'s host names and host keys to {name}",
                section="servers",
                check=partial(host_names.missing, context, host),
                apply=partial(host_names.add, context, host),
                needs=(f"servers.mounts.{name}",),
                uses=(f"server:{name}",),
            )
        )
    found.append(
        Step(
            id=f"servers.packages.{name}",
            server=name,
            title=f"Install the cluster's packages on {name}",
            section="servers",
            check=partial(software.missing, host, more),
            apply=partial(software.install, host, more),
            needs=(f"servers.mounts.{name}",) if new else (),
            uses=(f"packages:{name}",),
        )
    )
    found.append(
        Step(
            id=f"servers.settings.{name}",
            server=name,
            title=f"Configure block script, dom0's weight, udev rules, XENDOMAINS_SAVE and services of {name}",
            section="servers",
            check=partial(settings.missing, host, context.site.paths.images),
            apply=partial(settings.apply, host, context.site.paths.images),
            needs=(f"servers.packages.{name}",),
        )
    )
    if context.site.exporter:
        found.append(
            Step(
                id=f"servers.exporter.{name}",
                server=name,
                title=f"Run {exporter.PACKAGE} on {name}",
                section="servers",
                check=partial(exporter.missing, host),
                apply=partial(exporter.start, host),
                # not while it reboots into Xen
                needs=(f"servers.xen.{name}",) if new else (f"servers.settings.{name}",),
            )
        )
    if new:
        found.append(
            Step(
                id=f"servers.xen.{name}",
                server=name,
                restarts=True,
                title=f"Boot {name} under Xen, with the domains' bridges",
                section="servers",
                check=partial(boot.missing, context, host),
                apply=partial(boot.bring_up, context, server),
                # of the host keys: servers.ssh adds to them, too, once every new server was rebooted
                needs=(f"servers.settings.{name}", f"servers.hosts.{name}"),
                uses=(f"server:{name}",),
                interrupts=(name,),
            )
        )
        found.append(
            Step(
                id=f"servers.kernels.{name}",
                server=name,
                title=f"Copy the domains' kernels to {name}",
                section="servers",
                check=partial(kernels.missing, context, host),
                apply=partial(kernels.copy, context, host),
                needs=(f"servers.mounts.{name}",),
                uses=(f"server:{name}",),
            )
        )
    return found
