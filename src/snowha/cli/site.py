"""``snow stop site`` and ``snow start site``: all of it, for work on the storage and after a power cut."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from snowha.cli import waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import operating
from snowha.cli.options import EVENTS, FILE, journal_path
from snowha.cli.session import Session, carry_out, say
from snowha.cli.values import Amount
from snowha.errors import SiteError
from snowha.hosts.host import Host
from snowha.hosts.local import LocalHost
from snowha.hosts.parallel import each
from snowha.hosts.recording import RecordingHost
from snowha.live import connect
from snowha.live.context import SiteContext
from snowha.migration import arguments
from snowha.operations import site_start, site_stop, stopped_pacemaker
from snowha.plan import mirror
from snowha.plan.command_log import CommandLog
from snowha.plan.journal import Journal, prepare
from snowha.provision import recovery


@click.command("site")
@FILE
@click.option(
    "--timeout",
    type=Amount("seconds", "600"),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up on a domain that Pacemaker does not have after this.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@EVENTS
def stop(file: Path, timeout: float, yes: bool, as_json: bool) -> None:
    """Shut down every domain and the cluster, for work on the storage.

    One domain after the other, the last one of ha.toml first; each is off and its images are free when the next one begins. Then
    Pacemaker and Corosync are stopped. The servers stay on, and nothing is started again before `snow start site`. Every server
    must answer. It can be run again after an interruption. If Pacemaker is stopped already, it cannot be told to start nothing:
    that is said, with what to type.
    """
    with operating(connect.read(file)) as here:
        here.site.raise_for_missing()  # a domain whose config cannot be read has images that nobody would look at
        names = ", ".join(here.site.names())
        if not yes and not ask(f"Until `snow start site` nothing runs. Shut down {names} and the cluster?"):
            raise SiteError("nothing was done, since the answer was no", remedy=ANSWERS)
        with waiting.shown():
            steps = site_stop.steps(here.site.context, here.servers, here.site.configs, timeout=timeout)
            later = stopped_pacemaker.consequence_of_stop(here.site.context.hosts, here.site.names())
        if later:
            say(later)
        here.carry_out(steps, as_json=as_json)


@click.command("site")
@FILE
@EVENTS
def start(file: Path, as_json: bool) -> None:
    """Start the whole site, after a power cut or `snow stop site`.

    Servers that are off get power through their BMCs: asked from a server that answers, else from this machine. Then, each after
    the one before: the shared storage on every server, Corosync with quorum, Pacemaker with every server, the BMCs, the domains.
    What is up already is left alone. It says what it waits for, and can be run again.
    """
    with _starting(file) as session:
        steps = site_start.steps(session.context, _reset_by(session.context))
        sys.exit(carry_out(session, steps, yes=True, as_json=as_json).exit_code)


@contextmanager
def _starting(file: Path) -> Iterator[Session]:
    """A run for which no server need answer yet, nor a domain's config be readable."""
    since = time.monotonic()
    path = journal_path()
    prepare(path)
    recorder = CommandLog()
    ha = connect.read(file)
    there = connect.connect(ha.content)
    with waiting.shown() as doing:
        doing("asking the servers")
        if not any(each(list(there.hosts.values()), recovery.answers).values()):
            passwords = connect.known_passwords(ha) or {}
            say("no server answers: asking their BMCs from this machine")
            site_start.power_on_from_here(there.servers, there.hosts, LocalHost(), passwords, say=say, wait=doing)
        said = mirror.adopt(path, [host for host in there.hosts.values() if recovery.answers(host)], there.name)
        if said:
            say(said)
    hosts: dict[str, Host] = {name: RecordingHost(host, recorder) for name, host in there.hosts.items()}
    with Journal(path) as journal:
        recorder.journal = journal
        context = SiteContext(arguments.bare_site(ha.content), hosts, there.guard, definition=ha.content.definition)
        yield Session(ha, context, {}, journal, known=False, since=since)


def _reset_by(context: SiteContext) -> dict[str, RecordingHost]:
    return {name: host for name, host in context.hosts.items() if isinstance(host, RecordingHost)}
