"""What goes round the leases: configs that have an image attached by Xen's own block script or by QEMU, and domains that have.

The lock of a lease is advisory (docs/safety.md), so nothing else refuses it. Judged only once images of the site have leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from snowha.health import leases
from snowha.health.findings import Finding, found
from snowha.site.model import Disk, Domain, Site
from snowha.xen import server_program
from snowha.xen.attachments import Attachments, script_of
from snowha.xen.leases import Leases


def evaluate(
    site: Site,
    configs: Iterable[Domain],
    attachments: Mapping[str, Attachments],
    names: Mapping[str, Mapping[int, str]],
    leased: Mapping[str, Leases | None],
) -> Iterator[Finding]:
    """``configs``: all of the shared folder, also of domains that ha.toml does not name. By server: ``attachments``; ``names``
    of the domains that it runs, by their id; ``leased``, what it has attached as the leases see it."""
    if not leases.images_of(site):
        return
    for domain in configs:
        yield from _config(site, domain, domain.config)
    for server, said in attachments.items():
        for path, domain in said.configs.items():
            yield from _config(site, domain, f"{server}:{path}")
        yield from _backends(site, server, said, names.get(server, {}), leased.get(server))


def _config(site: Site, domain: Domain, where: str) -> Iterator[Finding]:
    for disk in domain.disks:
        if disk.access != "r" and _is_image(site, disk.target) and script_of(disk.script) != server_program.SCRIPT:
            yield found(
                "config-without-lease",
                where,
                f"{where} has {domain.name}'s {disk.vdev} ({disk.target}) attached {_by(disk)}, "
                f"and not by {server_program.SCRIPT}",
            )


def _by(disk: Disk) -> str:
    return f"by the script {script_of(disk.script)}" if disk.script else "by the script that Xen uses by default"


def _is_image(site: Site, target: str) -> bool:
    return target.startswith(f"{site.paths.images}/")


def _backends(
    site: Site, server: str, said: Attachments, names: Mapping[int, str], leased: Leases | None
) -> Iterator[Finding]:
    """Running domains. Of an image of the site that a loop device has without a lease the leases' own rule speaks."""
    known = leases.images_of(site)
    told = {one.image for one in (leased.attached if leased else ()) if not one.is_leased and one.image in known}
    for backend in said.backends:
        if not backend.writable or not _is_image(site, backend.target) or backend.target in told:
            continue
        if backend.script != server_program.SCRIPT:
            by = f"by the script {backend.script}" if backend.script else "by QEMU"
            name = names.get(backend.domid, f"domain {backend.domid}")
            message = f"{backend.target} is attached on {server} without a lease, for {name}, {by}"
            yield found("image-without-lease", backend.target, message)
