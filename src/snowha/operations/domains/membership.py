"""Whether a domain is one of the site's: in ``ha.toml``, here and on every server, and in Pacemaker's configuration.

Both are made by what the migration makes them with, so that `snow ha apply` finds nothing to change afterwards. Pacemaker comes
first: ``ha.toml`` does not say that it has a domain before it has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from snowha.errors import InputError, LostLockError, SiteError
from snowha.hosts import user_file
from snowha.live import cluster, definition
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext
from snowha.migration import planning
from snowha.operations import stopped_pacemaker
from snowha.plan.step import Reporter, Step
from snowha.provision import pacemaker
from snowha.site import definition as copies
from snowha.site.model import Domain

_SINCE = "the plan was made"


@dataclass(frozen=True)
class Membership:
    """The site now, and as it is to be. ``is_cluster``: Pacemaker runs the domains; else it is a single server's."""

    ha: HaToml
    before: SiteContext
    after: SiteContext
    is_cluster: bool
    files: Mapping[str, str]
    """What the plan stands on (planning.files)."""

    def refuse_unapplied(self) -> None:
        """Raise SiteError if something else than this change is due: that is what `snow ha apply` is for. What an earlier run of
        this one has done already is no such thing."""
        state = cluster.cluster_state(self.before.hosts)
        if not self.is_cluster or state is None:
            return
        cluster.refuse_if_held(state, ())
        due = pacemaker.differences(self.before)
        if due and pacemaker.differences(self.after):
            raise self._unapplied(
                f"the cluster's configuration differs from {self.ha.path} and the domains' configs: {due[0]}",
                "run `snow ha apply` first",
            )
        reason = definition.missing(self.before)
        if reason and definition.missing(self.after) and not self._is_under_way():
            raise self._unapplied(reason, "run `snow ha apply` first: it brings ha.toml to every server")

    def _unapplied(self, message: str, remedy: str) -> SiteError:
        """Not of `snow ha apply` where that would be refused: a server may keep a newer ha.toml."""
        try:
            planning.refuse_older(self.before, self.ha, replaces=False)
        except SiteError as error:
            return error
        return SiteError(message, remedy=remedy)

    def refuse_changed(self) -> None:
        """Once nobody else can change anything: raise SiteError if somebody has since the plan was made. Its steps write the
        whole configuration, and would undo that. What running this again would not get round is said with its own remedy."""
        with _since_the_plan():
            now = is_cluster(self.before)
            cluster.refuse_if_held(cluster.cluster_state(self.before.hosts) if now else None, ())
        planning.refuse_changed(self.files, planning.files(self.before, self.ha), since=_SINCE)
        with _since_the_plan():
            if now != self.is_cluster:
                remedy = "run this again: it shows the new plan" if now else "start the cluster first: snow start site"
                raise SiteError(f"Pacemaker was {'started' if now else 'stopped'}", remedy=remedy)
            self.refuse_unapplied()

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


@contextmanager
def _since_the_plan() -> Iterator[None]:
    """Say of what forbids a plan that it was not so when it was made."""
    try:
        yield
    except LostLockError:
        raise
    except SiteError as error:
        said = f"the site has changed since {_SINCE}: {error.message}"
        raise SiteError(said, where=error.where, remedy=error.remedy) from error


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
    return Membership(ha, context, after, is_cluster(context), planning.files(context, ha))


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
    if stopped_pacemaker.has_domains(context.hosts):
        raise SiteError(
            "Pacemaker is stopped on every server and runs the domains when it is started: it cannot be told of a change",
            remedy="start it first: snow start site",
        )
    return False


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Each needs the one before it."""
    return [
        replace(step, needs=tuple(one.id for one in steps[number - 1 : number])) for number, step in enumerate(steps)
    ]
