"""A trial domain, migrated live between two servers before a real one is: a newer Xen may refuse what an older one sends."""

from __future__ import annotations

import json
from collections.abc import Sequence

from snowha.cluster import placement
from snowha.errors import ProofError
from snowha.hosts.files import remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import wait_for
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.site.model import Domain
from snowha.site.names import listed
from snowha.xen import xl

NAME = "snow-ha-trial"
"""The domain: without disks or network."""
_CONFIG = "/run/snow-ha-trial.cfg"
_MIGRATE_S = 300
# Linux, drivers/xen/manage.c: a kernel writes feature-suspend once it listens for requests
READ_XENSTORE = read_only_script('xenstore-read "$1"')


def run(context: SiteContext, source: Host, target: Host, reporter: Reporter) -> str:
    """Migrate the trial domain from ``source`` to ``target``.

    Returns a note for the journal: the two servers, or why no trial could be made.

    Raises ProofError if it did not start or did not arrive.
    """
    domain, reason = _kernel_owner(context.site.domains, source, target)
    if domain is None:
        reporter.say(f"no trial: {reason}")
        return f"none: {reason}"
    write_file(source, _CONFIG, config(domain), mode=0o600, keep=False)
    try:
        _destroy(source, target)  # left by a run that was killed
        reporter.say(f"starting {NAME} on {source.name}")
        xl.create(source, _CONFIG)
        started = xl.running(source).get(NAME)
        if started is None:
            raise ProofError(
                f"the trial domain ended as soon as it was started on {source.name}",
                where=source.name,
                remedy=f"see /var/log/xen/xl-{NAME}.log there: it has the kernel of {domain.name}; "
                f"when that is corrected: snow upgrade {target.name}",
            )
        control = f"/local/domain/{started.domid}/control/feature-suspend"
        wait_for(
            lambda: source.run(["sh", "-c", READ_XENSTORE, "sh", control], check=False).stdout.strip() == "1",
            timeout=180,
            what=f"{NAME} to be able to be suspended",
            interval=2,
            report=reporter.wait,
            where=source.name,
        )
        reporter.say(f"migrating {NAME} from {source.name} to {target.name}")
        done = source.run(["xl", "migrate", NAME, target.name], check=False, timeout=_MIGRATE_S)
        there = xl.running(target).get(NAME)
        if not done.ok or there is None or not there.is_alive:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ProofError(
                f"a trial domain could not be migrated live from {source.name} to {target.name}: {said}",
                where=target.name,
                remedy=f"{target.name} stays in standby, and nothing real was moved there: compare `xl info` on both; "
                f"when that is corrected: snow upgrade {target.name}",
            )
    finally:
        _destroy(source, target)
        remove_file(source, _CONFIG, keep=False)
    return f"{source.name} to {target.name}"


def _destroy(*hosts: Host) -> None:
    for host in hosts:
        for name in (NAME, NAME + xl.INCOMING, NAME + xl.AWAY):
            host.run(["xl", "destroy", name], check=False, timeout=60)


def _kernel_owner(domains: Sequence[Domain], source: Host, target: Host) -> tuple[Domain | None, str]:
    """The domain whose kernel the trial takes; None and the reason where no trial can be made.

    Raises ProofError if a hypervisor does not answer: then nothing is to be moved there.
    """
    there, here = xl.hypervisor(source), xl.hypervisor(target)
    if there is None or here is None:
        raise ProofError("Xen does not answer", where=target.name if here is None else source.name, remedy="xl info")
    if not (there.migrates_pvh and here.migrates_pvh):
        return None, "Xen cannot migrate a PVH domain between these servers"
    able = [domain for domain in domains if domain.type == "pvh" and domain.kernel and domain.ramdisk]
    domain = min(able, key=lambda domain: domain.memory_mib, default=None)
    if domain is None:
        return None, "no domain of this site is PVH with a kernel and an initramfs of the server"
    needed = placement.needed_mib(domain)
    short = [host.name for host, one in ((source, there), (target, here)) if one.free_memory < needed]
    return (None, f"{listed(short)} has less than {needed} MiB free") if short else (domain, "")


def config(like: Domain) -> str:
    """A domain with the kernel of ``like`` that waits in its initramfs for a disk that it does not have: alive, and with nothing
    to lose. initramfs-tools(7): break=premount stops before the root is mounted."""
    values: dict[str, object] = {
        "name": NAME,
        "type": "pvh",
        "kernel": like.kernel,
        "ramdisk": like.ramdisk,
        "memory": like.memory_mib,
        "vcpus": 1,
        "extra": "console=hvc0 break=premount",
        "on_crash": "destroy",
        "on_reboot": "destroy",
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
