"""``snow images``: domains' disks as images: listed, copied, verified, brought back, and their old volumes removed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from snowha.cli import waiting
from snowha.cli.failure import after_the_answer
from snowha.cli.options import EVENTS, FILE, offered_domains
from snowha.cli.session import Session, carry_out, session
from snowha.cli.values import Amount
from snowha.disks import image_verbs, warm
from snowha.errors import InputError
from snowha.live import connect, view
from snowha.migration import arguments, planning
from snowha.migration.steps import carried_out
from snowha.operations.columns import aligned
from snowha.plan.step import Step

_VOLUME = {True: "", False: " (gone)", None: " (not known)"}
_DOMAIN = click.argument("domain", shell_complete=offered_domains)


@click.command("list")
@FILE
@click.option("--json", "as_json", is_flag=True, help="The same as data: one array.")
def list_(file: Path, as_json: bool) -> None:
    """Show every image: its size, its state, and its old volume.

    From any server that answers. Exits with 3, after it has shown what it can, if one does not.
    """
    with waiting.shown():
        site = view.observe(connect.read(file))
        if site.reader is None:
            site.raise_for_missing()
        found = image_verbs.images(site.context, host=site.reader, domains=site.configs)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "state": one.state} for one in found], indent=2))
        with after_the_answer():
            site.raise_for_missing()
        return
    rows = [("DOMAIN", "DISK", "SIZE", "TAKES", "STATE", "IMAGE", "OLD VOLUME")]
    for one in found:
        volume = f"{one.volume}{_VOLUME[one.volume_there]}" if one.volume else "-"
        rows.append(
            (one.domain, one.vdev, _mib(one.size), _mib(one.allocated), one.state, one.path, volume),
        )
    click.echo("\n".join(aligned(rows)))
    with after_the_answer():
        site.raise_for_missing()


@click.command()
@_DOMAIN
@FILE
@click.option("--cold", "is_cold", is_flag=True, help="Shut it down before copying.")
@click.option(
    "--max-away",
    type=Amount("seconds", "30"),
    metavar="SECONDS",
    help="Do not shut it down if the estimated downtime is longer.",
)
@click.option(
    "--snapshot-size",
    type=Amount("MiB", "1024", whole=True),
    metavar="MIB",
    help="Space for what is written meanwhile. Default: a fifth of each volume, at least 256.",
)
@click.option(
    "--rate",
    type=Amount("MiB per second", "100"),
    metavar="MIB/S",
    help="Limit reading to this rate while the domain runs.",
)
@EVENTS
def copy(
    domain: str,
    file: Path,
    is_cold: bool,
    max_away: float | None,
    snapshot_size: int | None,
    rate: float | None,
    as_json: bool,
) -> None:
    """Copy DOMAIN from its volumes to images while it runs.

    It is only shut down for the final copy; the downtime that this will take is shown before. The volumes stay. If anything
    fails until then, it continues as before; if anything fails later, it is started from its volumes. Snapshots are removed in
    any case; what a killed run left, the next one removes. A domain that is off is copied as it is, and stays off, unless an
    earlier run had left it down. One that is saved (`xl save`) is refused.

    A snapshot that fills up is enlarged while its volume group has room; then the copy is given up.
    """
    if is_cold and max_away is not None:
        raise InputError("--max-away applies only to copies while the domain runs", remedy="remove --cold")
    wish = warm.CopyOptions(max_away, snapshot_size << 20 if snapshot_size else None, rate, cold=is_cold)
    with _session(file, domain, starts_left_down=True) as here:
        step = Step(
            id=f"images.{domain}",
            domain=domain,
            title=f"Move {domain} from LVM to {here.context.site.paths.images}/{domain}",
            section="images",
            check=partial(warm.missing, here.context, domain),
            apply=partial(warm.move, here.context, domain, wish),
            interrupts=(domain,),
        )
        _run(here, step, as_json=as_json)


@click.command()
@_DOMAIN
@FILE
@EVENTS
def verify(domain: str, file: Path, as_json: bool) -> None:
    """Compare DOMAIN's images with what was copied.

    They are read back from the storage. Only before the domain runs from them: afterwards they differ.
    """
    with _session(file, domain) as here:
        work = partial(image_verbs.verify, here.context, domain)
        _run(here, Step.once("images.verify", f"Verify the images of {domain}", "images", work), as_json=as_json)


@click.command()
@_DOMAIN
@FILE
@EVENTS
@click.option("--yes", is_flag=True, help="Do not ask before the volumes are written.")
def restore(domain: str, file: Path, as_json: bool, yes: bool) -> None:
    """Copy DOMAIN's images back into its volumes.

    With everything that was written since, and with the earlier config that names the volumes. DOMAIN must be off,
    kept off by Pacemaker, and is not started.
    """
    title = f"Copy the images of {domain} back into its volumes"
    question = f"Write the images of {domain} over its old volumes?"
    with _session(file, domain) as here:
        work = partial(image_verbs.restore, here.context, domain)
        _run(here, Step.once("images.restore", title, "images", work, asks=question), as_json=as_json, yes=yes)


@click.command()
@_DOMAIN
@FILE
@EVENTS
@click.option("--now", is_flag=True, help="Even if its images were verified less than a day ago.")
@click.option("--yes", is_flag=True, help="Do not ask before the volumes are removed.")
def discard(domain: str, file: Path, as_json: bool, now: bool, yes: bool) -> None:
    """Remove the volumes that DOMAIN ran from before.

    Refused unless it runs from images that were verified at least a day ago; --now waives the day.
    """
    title = f"Remove the old volumes of {domain}"
    question = f"Remove the old volumes of {domain}? This cannot be undone."
    with _session(file, domain) as here:
        work = partial(image_verbs.discard, here.context, domain, now=now)
        _run(here, Step.once("images.discard", title, "images", work, asks=question), as_json=as_json, yes=yes)


@contextmanager
def _session(file: Path, domain: str, *, starts_left_down: bool = False) -> Iterator[Session]:
    """A session for a run that is about one domain alone."""
    ha = connect.read(file)
    arguments.check_domain(ha, domain)
    with session(ha, whole=False, starts_left_down=starts_left_down) as here:
        planning.refuse_older(here.context, here.ha, replaces=False)
        yield here


def _run(here: Session, step: Step, *, as_json: bool, yes: bool = True) -> NoReturn:
    sys.exit(carry_out(here, [carried_out(here.context, step)], yes=yes, as_json=as_json).exit_code)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size else "-"
