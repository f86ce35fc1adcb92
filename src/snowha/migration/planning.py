"""The plan of a site: its steps checked and tried in a dry run, and the files that it stands on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from snowha.errors import SiteError
from snowha.hosts.files import read_file, read_folder
from snowha.live import definition
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext
from snowha.migration.dry_run import DryRun, secrets_of
from snowha.migration.lab_times import LAB_TIMES
from snowha.migration.steps import all_steps
from snowha.plan import plan
from snowha.plan.journal import Journal
from snowha.plan.plan import Planned
from snowha.plan.step import Step
from snowha.site.definition import PATH
from snowha.site.names import listed


def make(
    context: SiteContext,
    passwords: Mapping[str, str],
    steps: Sequence[Step],
    *,
    journal: Journal | None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Planned, ...]:
    """What ``steps`` would do now. Changes nothing on any server."""
    dry_run = DryRun(context, lambda trial: all_steps(trial, passwords), secrets_of(passwords))
    return plan.make(steps, dry_run=dry_run.change, journal=journal, lab=LAB_TIMES, say=say)


def inputs(context: SiteContext, ha: HaToml) -> dict[str, str]:
    """The files that a plan stands on, by name, as digests: ha.toml, snow.conf, every domain's config."""
    site = context.site
    found = {ha.path.name: ha.digest}
    found[site.paths.snow_conf] = _digest(read_file(context.first, site.paths.snow_conf) or b"")
    for path, content in read_folder(context.first, site.paths.domain_configs, ".cfg").items():
        found[path] = _digest(content)
    return found


def files(context: SiteContext, ha: HaToml) -> dict[str, str]:
    """``inputs``, and the ha.toml that each server keeps: whoever adds, resizes or removes a domain changes one of them."""
    kept = context.on_all(definition.kept_text)
    copies = {f"{PATH} on {name}": _digest(text.encode()) for name, text in kept.items()}
    return {**inputs(context, ha), **copies}


def refuse_older(context: SiteContext, ha: HaToml, *, replaces: bool = True) -> None:
    """Raise SiteError if a server keeps a newer ha.toml than ``ha``: it would take back what was done since, or leave it out.
    ``replaces``: the servers get ``ha``, so that the error says how to insist on it."""
    file = ha.path if replaces else None
    context.on_all(lambda host: definition.refuse_older(host, context.definition.text, str(ha.path), file=file))


def refuse_changed(before: Mapping[str, str], now: Mapping[str, str], *, since: str = "it was read") -> None:
    """Once nobody else can change anything: raise SiteError if ``files`` are no longer those of ``before``, which the steps were
    made from. They would undo what somebody else has done."""
    changed = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    if changed:
        raise SiteError(
            f"the site has changed since {since}: {listed(changed)}",
            remedy="see who was at work: snow ha log. Then run this again; with --site SERVER if your ha.toml lacks the change",
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
