"""A session (session.py) that tolerates lost servers: that of everyday work, which goes on with the servers that answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from snowha.cli import waiting
from snowha.cli.options import journal_path
from snowha.cli.session import Session, carry_out, say
from snowha.hosts.parallel import each
from snowha.live import connect, definition, starting, view
from snowha.live.view import View
from snowha.operations.domain_state import Servers
from snowha.plan import mirror
from snowha.plan.command_log import CommandLog
from snowha.plan.journal import Journal, prepare
from snowha.plan.step import Step
from snowha.site.model import Domain


@dataclass(frozen=True)
class Operation:
    """The site as far as it can be seen, and the run that its changes are noted in."""

    site: View
    domains: tuple[str, ...]
    """Those that the command line means."""
    session: Session

    @property
    def servers(self) -> Servers:
        return Servers(self.site.context.hosts, self._start)

    def _start(self, domain: Domain) -> None:
        starting.start(self.site.context, domain.name, domain.config, domain)

    def carry_out(
        self, steps: Sequence[Step], *, as_json: bool, refuse_changed: Callable[[], None] = lambda: None
    ) -> None:
        """Carry ``steps`` out under the site's lock, and leave with their exit code. ``refuse_changed``: see session.py."""
        outcome = carry_out(self.session, steps, yes=True, as_json=as_json, refuse_changed=refuse_changed)
        sys.exit(outcome.exit_code)


@contextmanager
def operating(ha: connect.HaToml, *, words: Sequence[str] = ()) -> Iterator[Operation]:
    """Everything that a verb needs. Servers that do not answer are named, and it goes on without them. Raises SiteError for an
    ``ha.toml`` that is older than a server's.

    ``words``: the domains on the command line. That there is no such domain is said rather than that a server does not answer.
    """
    since = time.monotonic()
    path = journal_path()
    prepare(path)
    recorder = CommandLog()
    with waiting.shown():
        site = view.observe(ha, record=recorder)
        chosen = site.chosen(words) if words else ()
        if len(site.lost) == len(site.context.hosts):
            view.raise_for_lost(site.lost)
        for error in site.lost.values():
            say(f"continuing without {error.where}: {error.message.splitlines()[0]}")
        answering = [host for name, host in site.context.hosts.items() if name not in site.lost]
        # an older one may lack a server, which would not be asked
        each(answering, lambda host: definition.refuse_older(host, site.context.definition.text, str(ha.path)))
        said = mirror.adopt(path, list(site.context.hosts.values()), site.context.site.name)
        if said:
            say(said)
    with Journal(path) as journal:
        recorder.journal = journal
        yield Operation(site, chosen, Session(ha, site.context, {}, journal, known=False, since=since))
