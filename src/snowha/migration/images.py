"""Domain images from LVM to files on the shared file system (guide: "Domain Images Migration").

The guide copies all domains while all are down, waits for no guest to be off, and rewrites a config even if its copy failed.
Here each domain is down only for its own copy, is seen to be off first, and starts again from its volume if anything fails.
The logical volumes stay as they are.
"""

from __future__ import annotations

import json
import time
from functools import partial

from snowha.errors import CommandError, SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import absent, make_dir, read_text, write_file
from snowha.images import travel
from snowha.migration.ground import Ground, image_path, read_config, read_domains
from snowha.operations import live
from snowha.plan.step import Reporter, Step, Unstoppable
from snowha.site.disk_spec import render_disk
from snowha.site.domain_config import replace_disk, set_value
from snowha.site.model import Disk, Domain
from snowha.xen import block_script, xl

ENGINE = "/var/lib/snow-ha/images.pyz"
SHUTDOWN_TIMEOUT = 300.0
"""Seconds. A domain that does not shut down in this time is left running and the step fails: it is never destroyed."""
BOOT_TIMEOUT = 300.0
"""Seconds. A domain that answered a ping before must answer again: a domain that is created is not yet one that has booted."""

Tried = dict[tuple[str, str], str | None]
"""Kernel and ramdisk to why they do not boot as PVH, None if they do: most domains of a site share them."""


def steps(ground: Ground) -> list[Step]:
    """A step a domain. One at a time: two copies at once would make both domains wait longer."""
    first = ground.site.servers[0].name
    tried: Tried = {}
    return [
        Step(
            id=f"images.{domain.name}",
            title=f"Move {domain.name} from LVM to {ground.site.paths.images}/{domain.name}",
            section="images",
            check=partial(_missing, ground, domain.name),
            apply=partial(_move, ground, domain.name, tried),
            needs=(f"servers.settings.{first}",),
            uses=("images",),
        )
        for domain in ground.site.domains
    ]


def _missing(ground: Ground, name: str) -> str | None:
    domain = next(
        (one for one in read_domains(ground.first, ground.site.paths.domain_configs) if one.name == name), None
    )
    if domain is None:
        raise SiteError(f"the config of {name} is gone", where=ground.first.name, remedy="`snow ha init` again")
    for disk in domain.disks:
        if disk.script != block_script.NAME or disk.target != image_path(ground.site, domain, disk):
            return f"{disk.vdev} is {disk.target}"
    gone = absent(ground.first, [disk.target for disk in domain.disks])
    if gone:
        return f"the image {gone[0]} is not there"
    if _is_pacemakers(ground, name) or _runs_on(ground, name):
        return None
    return f"{name} is not running"


def _runs_on(ground: Ground, name: str) -> str | None:
    """The server that runs the domain. The others are only asked when it is not where it belongs: a new one may be booting."""
    if name in xl.running(ground.first):
        return ground.first.name
    return next(iter(live.places(ground.hosts).get(name, ())), None)


def _is_pacemakers(ground: Ground, name: str) -> bool:
    """Whether Pacemaker has the domain: then nobody else starts or stops it, whatever it does with it just now."""
    state = live.cluster_state(ground.hosts)
    return state is not None and state.resource(name) is not None


def _move(ground: Ground, name: str, tried: Tried, reporter: Reporter) -> None:
    host = ground.first
    path = ground.site.domain(name).config
    text, domain = read_config(host, name, path)
    moving = [disk for disk in domain.disks if disk.target != image_path(ground.site, domain, disk)]
    changed = text
    for disk in domain.disks:
        if disk.script != block_script.NAME or disk in moving:
            target = image_path(ground.site, domain, disk)
            changed = replace_disk(changed, disk.spec, render_disk(block_script.with_script(disk, target)))
    wanted = _type_for_migration(host, domain, tried, reporter)
    if wanted != domain.type:
        changed = set_value(changed, "type", wanted)
    _bring_engine(host)
    make_dir(host, f"{ground.site.paths.images}/{name}", mode=0o700)

    if _is_pacemakers(ground, name):
        raise SiteError(
            f"Pacemaker already runs {name}, so it cannot be moved from LVM here",
            where=host.name,
            remedy="take it out of the cluster's configuration first, or correct its config by hand",
        )
    where = _runs_on(ground, name)
    if where not in (None, host.name):
        raise SiteError(f"{name} runs on {where}", where=host.name, remedy=f"migrate it to {host.name} first")

    answering = [vif.ip for vif in domain.vifs if vif.ip and live.answers(host, vif.ip)]

    # from here the domain is away: nothing but the safe points inside may end this, and whatever ends it starts it again
    steady = Unstoppable(reporter)
    began = time.monotonic()
    reporter.say(f"shutting down {name}")
    try:
        xl.shut_down(host, name, timeout=SHUTDOWN_TIMEOUT, report=steady.say)
        for disk in moving:
            result = _copy(host, disk, image_path(ground.site, domain, disk), reporter)
            reporter.fact(disk.name, result)
        if changed != text:
            write_file(host, path, changed)
    except BaseException:
        if name not in xl.running(host):
            steady.say(f"starting {name} again from its volumes")
            xl.create(host, path, timeout=300)
        raise
    if name not in xl.running(host):
        steady.say(f"starting {name} from its image")
        _start_from_image(host, name, path, text)
    live.wait_for_answers(host, name, answering, reporter, timeout=BOOT_TIMEOUT)
    reporter.fact("away_s", round(time.monotonic() - began, 1))
    reporter.fact("type", wanted)


def _start_from_image(host: Host, name: str, path: str, before: str) -> None:
    """Start the domain from its new config. If xl refuses, its old config and volumes are what it runs from, as before.

    Not after a timeout: the guest may have begun to write to the image.
    """
    done = host.run(["xl", "create", path], check=False, timeout=300)
    if done.ok or name in xl.running(host):
        return
    write_file(host, path, before)
    xl.create(host, path, timeout=300)
    raise CommandError(
        f"{name} does not start from its image: {done.stderr.strip()}",
        where=host.name,
        remedy="it runs from its volumes as before; correct the cause and run this again",
    )


def _type_for_migration(host: Host, domain: Domain, tried: Tried, reporter: Reporter) -> str:
    """``pvh`` for a PV domain that could not be live-migrated else, if hypervisor and kernel can; else what it is."""
    able = xl.hypervisor(host)
    if able is None:
        raise SiteError("it does not run under Xen", where=host.name, remedy="boot it into Xen first")
    if domain.type != "pv" or able.migrates_pv:
        return domain.type
    if not able.migrates_pvh:
        reporter.fact(
            "no_live_migration",
            f"Xen {able.version} on {host.name} migrates neither PV nor PVH: {sorted(able.capabilities)}",
        )
        return "pv"
    key = (domain.kernel, domain.ramdisk)
    if key not in tried:
        reporter.say(f"trying whether {domain.name}'s kernel boots as PVH")
        tried[key] = xl.boots_as_pvh(host, domain)
    reason = tried[key]
    if reason:
        reporter.fact("no_live_migration", f"{domain.kernel} cannot be built as PVH: {reason}")
        return "pv"
    return "pvh"


def _bring_engine(host: Host) -> None:
    make_dir(host, "/var/lib/snow-ha", mode=0o700)
    write_file(host, ENGINE, travel.pack(), mode=0o700, keep=False)


def _copy(host: Host, disk: Disk, target: str, reporter: Reporter) -> dict[str, str | int | float | bool]:
    """Copy one disk with the engine on the server that has it; its verified result."""
    result: dict[str, str | int | float | bool] = {"source": disk.target, "image": target}
    failure = ""

    def line(text: str) -> None:
        nonlocal failure
        try:
            event = json.loads(text)
        except ValueError:
            return
        kind = event.get("event")
        if kind == "progress":
            reporter.progress(float(event["done"]), float(event["total"]), "B")
        elif kind == "done":
            result.update(
                {
                    key: event[key]
                    for key in ("bytes", "copied", "verified", "hash", "seconds", "method")
                    if key in event
                }
            )
        elif kind == "error":
            failure = str(event.get("message", ""))

    reporter.say(f"copying {disk.name} to {target}")
    words = ["python3", ENGINE, "copy", disk.target, target, "--json"]
    completed = host.run(words, timeout=24 * 3600, check=False, on_line=line)
    if not completed.ok or not result.get("verified"):
        raise CommandError(
            failure or completed.stderr.strip() or f"exit status {completed.returncode}",
            where=f"{host.name}:{disk.target}",
            remedy="the domain runs from its volume as before; correct this and run again, the copy goes on where it was",
        )
    return result


def manifest(host: Host, image: str) -> dict[str, object] | None:
    """What the engine wrote beside an image when it was copied and verified."""
    text = read_text(host, f"{image}.manifest")
    return json.loads(text) if text else None
