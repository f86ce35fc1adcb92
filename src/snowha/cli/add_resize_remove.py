"""``snow add domain``, ``snow remove domain`` and ``snow resize domain``: domains come, go, and get another size."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.options import FILE, offered_domains
from snowha.cli.session import Session, carry_out, say, session
from snowha.cli.values import NAME, Amount
from snowha.errors import InputError, SiteError
from snowha.live import connect
from snowha.live.context import read_domains
from snowha.migration import arguments
from snowha.migration.steps import carried_out
from snowha.operations.domains import adding, removing, request, resizing
from snowha.plan.step import Step
from snowha.site.names import check_domain_name, did_you_mean, there_are

_session = partial(session, whole=False, starts_left_down=False)
_DRY = click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
_JSON = click.option("--json", "as_json", is_flag=True, help="The plan, then events, as JSON lines.")


def _amount(name: str, unit: str, example: str, help: str) -> Callable[..., Any]:
    return click.option(name, type=Amount(unit, example, whole=True), metavar=unit.upper(), help=help)


_MEMORY = _amount("--memory", "MiB", "512", "Its memory.")
_VCPUS = click.option("--vcpus", type=Amount("vCPUs", "2", whole=True), metavar="COUNT", help="Its virtual processors.")


@click.command("domain")
@click.argument("name", metavar="NAME")
@FILE
@click.option(
    "--copy-of",
    type=NAME,
    metavar="DOMAIN",
    shell_complete=offered_domains,
    help="Copy this domain, which must be off.",
)
@click.option("--image", type=NAME, metavar="PATH", help="Copy this raw image or volume: a path on the first server.")
@_amount("--size", "MiB", "4096", "Create an empty disk of this size.")
@click.option(
    "--like",
    type=NAME,
    metavar="DOMAIN",
    shell_complete=offered_domains,
    help="Domain whose config is copied with --image and --size. Default: the first domain of ha.toml.",
)
@_MEMORY
@_VCPUS
@click.option("--ip", type=NAME, metavar="ADDRESS", help="IP address, or `dhcp`, instead of what sNow! assigns.")
@click.option("--mac", type=NAME, metavar="ADDRESS", help="MAC address, instead of the one that sNow! assigns.")
@click.option(
    "--role", default="minimal", show_default=True, metavar="ROLE[,ROLE]", help="Its roles in active-domains.conf."
)
@_DRY
@_JSON
def add(
    name: str,
    file: Path,
    copy_of: str | None,
    image: str | None,
    size: int | None,
    like: str | None,
    memory: int | None,
    vcpus: int | None,
    ip: str | None,
    mac: str | None,
    role: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add a domain: a copy of another, from an image, or empty.

    Its config is that of another domain with its own name, disks and addresses. The addresses follow sNow!'s rules: the row in
    domains.conf, else the number of its line in active-domains.conf. Pacemaker manages it at once. It is off until `snow boot`:
    its system may still have the host name and address of another.

    Nothing is overwritten: names, paths and addresses are looked for over the whole site first. After an interruption, the
    same command continues. Before `snow ha apply` its disks are logical volumes, where IMG_DST is lvm=. Every server
    must answer.
    """
    wanted = request.Request(
        name,
        copy_of=copy_of or "",
        image=image or "",
        size_mib=size,
        like=like or "",
        memory_mib=memory,
        vcpus=vcpus,
        ip=ip or "",
        mac=mac or "",
        role=role,
    )
    ha = connect.read(file)
    request.check(wanted, ha)
    with _session(ha) as here:
        with waiting.shown():
            plan = adding.plan(here.context, ha, wanted)
            text = adding.lines(plan)
        _show(text, as_json=as_json)
        if not dry_run:
            _carry_out(
                here,
                adding.steps(plan),
                partial(adding.next_steps, plan),
                as_json=as_json,
                refuse_changed=partial(adding.refuse_changed, plan),
            )


@click.command("domain")
@click.argument("name", metavar="DOMAIN", shell_complete=offered_domains)
@FILE
@click.option("--images", "with_images", is_flag=True, help="Remove its images, too. This cannot be undone.")
@_DRY
@click.option("--yes", is_flag=True, help="Do not ask.")
@_JSON
def remove(name: str, file: Path, with_images: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove a domain that is off. Its images stay.

    It leaves Pacemaker's configuration and ha.toml, and its config goes; the earlier versions are kept. With --images the images
    in its own folder go, or before `snow ha apply` its logical volumes. Its line in active-domains.conf stays: the addresses of
    those behind it depend on it. Every server must answer.
    """
    check_domain_name(name, where="the domain")
    ha = connect.read(file)
    with _session(ha) as here:
        with waiting.shown():
            known = {one.name: one for one in read_domains(here.context.first, ha.content.paths.domain_configs)}
            known |= {one.name: one for one in here.context.site.domains}
            if name not in known:
                raise InputError(f"there is no domain {name}{did_you_mean(name, known)}", remedy=there_are([*known]))
            plan = removing.plan(here.context, ha, known[name], with_images=with_images)
        _show(removing.lines(plan), as_json=as_json)
        if dry_run:
            return
        question = f"Remove {name}{' and its images, for good' if plan.images else ''}?"
        if not yes and not ask(question):
            raise SiteError("nothing was removed, since the answer was no", remedy=ANSWERS)
        _carry_out(here, removing.steps(plan), list, as_json=as_json, refuse_changed=plan.site.refuse_changed)


@click.command("domain")
@click.argument("name", metavar="DOMAIN", shell_complete=offered_domains)
@FILE
@_MEMORY
@_VCPUS
@_amount("--disk", "MiB", "8192", "Enlarge its disk to this size.")
@click.option(
    "--vdev", type=NAME, metavar="VDEV", help="The disk, such as xvda1. Default: the one with the root file system."
)
@_DRY
@_JSON
def resize(
    name: str,
    file: Path,
    memory: int | None,
    vcpus: int | None,
    disk: int | None,
    vdev: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Give a domain other memory, vCPUs, or a larger disk.

    Memory and vCPUs count from its next start on: `snow shutdown` and `snow boot`. A disk grows at once, while the domain is off,
    and never gets smaller; the file system in it stays as it is. Says whether the loss of a server would still be survived. Every
    server must answer.
    """
    ha = connect.read(file)
    if memory is None and vcpus is None and disk is None:
        raise InputError("no new size is given", remedy="give --memory MIB, --vcpus COUNT or --disk MIB")
    if vdev is not None and disk is None:
        raise InputError("--vdev needs --disk", remedy="give the new size of the disk: --disk MIB")
    arguments.check_domain(ha, name)
    with _session(ha) as here:
        with waiting.shown():
            plan = resizing.plan(here.context, ha, name, resizing.SizeRequest(memory, vcpus, disk, vdev or ""))
            text = resizing.lines(plan)
        _show(text, as_json=as_json)
        if not dry_run:
            _carry_out(
                here,
                resizing.steps(plan),
                partial(resizing.next_steps, plan),
                as_json=as_json,
                refuse_changed=plan.site.refuse_changed,
            )


def _show(text: Sequence[str], *, as_json: bool) -> None:
    click.echo(json.dumps({"event": "plan", "does": list(text)}) if as_json else "\n".join(text))


def _carry_out(
    here: Session,
    steps: Sequence[Step],
    after: Callable[[], Sequence[str]],
    *,
    as_json: bool,
    refuse_changed: Callable[[], None],
) -> None:
    """Carry ``steps`` out under the site's lock, say what is left for a person, and leave with their exit code."""
    marked = [carried_out(here.context, step) for step in steps]
    outcome = carry_out(here, marked, yes=True, as_json=as_json, refuse_changed=refuse_changed)
    if outcome.ok:
        for line in after():
            say(line)
    sys.exit(outcome.exit_code)
