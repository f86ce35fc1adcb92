"""Whether a domain is one of the site's: in ``ha.toml``, here and on every server, and in Pacemaker's configuration.

Both are made by what the migration makes them with, so that `snow ha apply` finds nothing to change afterwards. Pacemaker comes
first: ``ha.toml`` does not say that it has a domain before it has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from snowha.errors import InputError, SiteError
from snowha.health import cluster_health
from snowha.hosts import user_file
from snowha.live import cluster, definition
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter, Step
from snowha.provision import pacemaker
from snowha.site import definition as copies
from snowha.site.model import Domain


@dataclass(frozen=True)
class Membership:
    """The site now, and as it is to be. ``is_cluster``: Pacemaker runs the domains; else it is a single server's."""

    ha: HaToml
    before: SiteContext
    after: SiteContext
    is_cluster: bool

    def refuse_unapplied(self) -> None:
        """Raise SiteError if something else than this change is due: that is what `snow ha apply` is for. What an earlier run of
        this one has done already is no such thing."""
        state = cluster.cluster_state(self.before.hosts)
        if not self.is_cluster or state is None:
            return
        held = cluster_health.held(state, ())
        if held is not None:
            raise cluster.as_error(held)
        due = pacemaker.differences(self.before)
        if due and pacemaker.differences(self.after):
            raise SiteError(
                f"the cluster's configuration differs from {self.ha.path}: {due[0]}",
                remedy="run `snow ha apply` first",
            )
        reason = definition.missing(self.before)
        if reason and definition.missing(self.after) and not self._is_under_way():
            raise SiteError(reason, remedy="run `snow ha apply` first: it brings ha.toml to every server")

    def refuse_changed(self) -> None:
        """Once nobody else can change anything: raise SiteError if somebody has since the plan was made. Its steps write the
        whole configuration, and would undo that."""
        try:
            self.refuse_unapplied()
        except SiteError as error:
            raise SiteError(
                f"the site has changed since the plan was made: {error.message}",
                where=error.where,
                remedy="run this again",
            ) from error

    def steps(self, verb: str, name: str) -> list[Step]:
        """What makes it so. They need each other in this order."""
        found: list[Step] = []
        if self.is_cluster:
            found.append(self.cib_step(verb, name))
        is_sites = self.ha.content.definition.is_sites
        if self.is_cluster or is_sites:
            found.append(
                Step(
                    id=f"{verb}.definition.{name}",
                    title="Keep the new ha.toml on every server",
                    section="domains",
                    check=partial(definition.missing, self.after),
                    apply=partial(definition.write, self.after),
                )
            )
        if not is_sites:
            found.append(
                Step(
                    id=f"{verb}.file.{name}",
                    title=f"Write it into {self.ha.path}",
                    section="domains",
                    check=self._file_missing,
                    apply=self._write_file,
                )
            )
        return found

    def cib_step(self, verb: str, name: str) -> Step:
        """The part of it that Pacemaker has to know."""
        return Step(
            id=f"{verb}.cib.{name}",
            title="Commit it to Pacemaker's configuration",
            section="domains",
            check=self._cib_missing,
            apply=partial(pacemaker.commit, self.after),
        )

    @property
    def text(self) -> str:
        """The ha.toml that is to be."""
        return copies.body(self.after.definition.text)

    def _is_under_way(self) -> bool:
        """Whether every server has the file of before or the one that is to be."""
        known = {copies.body(context.definition.text) for context in (self.before, self.after)}
        kept = self.before.on_all(lambda host: copies.read(definition.kept_text(host)))
        return all(copy is not None and copy.is_whole and copy.body in known for copy in kept.values())

    def _cib_missing(self) -> str | None:
        return next(iter(pacemaker.differences(self.after)), None)

    def _file_missing(self) -> str | None:
        return None if user_file.read(self.ha.path) == self.text else f"{self.ha.path} does not have the change yet"

    def _write_file(self, reporter: Reporter) -> None:
        path = Path(os.path.realpath(self.ha.path))
        if copies.digest(user_file.read(path)) != self.ha.digest:
            raise InputError("it was changed meanwhile", where=str(self.ha.path), remedy="run this again")
        new = user_file.beside(path, self.text, mode=0o666)
        user_file.like(new, path)
        kept = user_file.put(new, path, keep=True)
        reporter.say(f"the earlier {path.name} is kept: {kept}")


def change(
    ha: HaToml, context: SiteContext, text: str, domains: Sequence[Domain], apart: tuple[tuple[str, ...], ...]
) -> Membership:
    """From the site as it is to one with ``domains`` and the ha.toml ``text``."""
    now = datetime.now(UTC).timestamp()
    copy = copies.read(context.definition.text)
    with suppress(ValueError):  # a time that somebody has written there is none
        if copy is not None:  # the newest copy counts: this one is newer, whatever the clock here says
            now = max(now, datetime.fromisoformat(copy.edited).timestamp() + 1)
    after = replace(
        context,
        site=replace(context.site, domains=tuple(domains), apart=apart),
        definition=replace(context.definition, text=copies.copy_of(text, now)),
    )
    return Membership(ha, context, after, is_cluster(context))


def is_cluster(context: SiteContext) -> bool:
    """Whether Pacemaker runs the domains. Raises SiteError if that cannot be said."""
    if cluster.cluster_state(context.hosts) is not None:
        return True
    for name, host in context.hosts.items():
        if cluster.is_active(host, "pacemaker"):
            raise SiteError(
                "Pacemaker does not report its resources",
                where=name,
                remedy="wait a minute and run it again: systemctl status pacemaker",
            )
    return False


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Each needs the one before it."""
    return [
        replace(step, needs=tuple(one.id for one in steps[number - 1 : number])) for number, step in enumerate(steps)
    ]
