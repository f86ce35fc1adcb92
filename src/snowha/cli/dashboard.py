"""``snow dashboard``: the site on one page in a browser."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from snowha.cli import options, verbosity
from snowha.cli.options import FILE, journal_path
from snowha.cli.values import FILE_NAME, NAME
from snowha.errors import InputError, MachineError

if TYPE_CHECKING:
    from snowha.dashboard.limits import Rules
    from snowha.dashboard.listening import Address
    from snowha.dashboard.server import Tls

_PACKAGES = {"starlette": "python3-starlette", "uvicorn": "python3-uvicorn"}
"""Module to Debian package."""
_BEAT_S = 1.0


@click.command()
@FILE
@click.option(
    "--listen",
    type=NAME,
    metavar="ADDRESS[:PORT]",
    help="Serve there. Default: 127.0.0.1:8620. Serving other machines needs --token-file, --certificate and --key.",
)
@click.option("--socket", "path", type=FILE_NAME, metavar="FILE", help="Serve on a Unix socket, for a reverse proxy.")
@click.option("--socket-group", type=NAME, metavar="GROUP", help="Let this group connect to the socket, too.")
@click.option(
    "--token-file",
    type=FILE_NAME,
    metavar="FILE",
    help="Require the token in FILE (mode 0600): browsers send it as the password, with any user name.",
)
@click.option("--certificate", type=FILE_NAME, metavar="FILE", help="TLS certificate with its chain, in PEM.")
@click.option("--key", type=FILE_NAME, metavar="FILE", help="TLS key, in PEM, mode 0600.")
@click.option(
    "--name",
    "names",
    type=NAME,
    multiple=True,
    metavar="NAME",
    help="Also serve requests for this host name; repeatable.",
)
@options.every("Time between two queries of the site.")
@click.pass_context
def dashboard(
    context: click.Context,
    file: Path,
    listen: str | None,
    path: Path | None,
    socket_group: str | None,
    token_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    names: tuple[str, ...],
    every: float,
) -> None:
    """Serve one page that shows the site live, until Ctrl-C.

    It shows what `snow ha status` shows, what is wrong first; and events, downtimes of domains, and a run of snow-ha with its
    progress. It changes nothing, and reads the servers only while a browser shows it. docs/dashboard.md explains it.

    By default only this machine can reach it, at http://127.0.0.1:8620/. From another one: ssh -L 8620:127.0.0.1:8620 HOST.
    """
    if missing := [module for module in _PACKAGES if find_spec(module) is None]:
        # Debian's packages are not seen in a virtual environment
        is_debians = sys.prefix == sys.base_prefix
        install = "apt-get install" if is_debians else f"{sys.prefix}/bin/pip install"
        named = [_PACKAGES[module] if is_debians else module for module in missing]
        raise MachineError(
            f"the dashboard needs {' and '.join(named)}", where="this machine", remedy=f"{install} {' '.join(named)}"
        )
    from snowha.dashboard.journal_summary import JournalSummaryReader
    from snowha.live import connect

    chosen = _Chosen(listen, path, socket_group or "", token_file, certificate, key, names)
    rules, tls = chosen.rules(), chosen.tls()
    connect.read(file)  # what is wrong with it is said here, not on the page
    of_site = context.get_parameter_source("file") is not ParameterSource.DEFAULT
    summary = JournalSummaryReader(journal_path(), of_site=of_site)
    with _stopping() as stopped, chosen.listening() as (listening, address):
        from snowha.dashboard.app import application
        from snowha.dashboard.reading import SiteReader
        from snowha.dashboard.server import Server
        from snowha.dashboard.watcher import Watcher

        watcher = Watcher(SiteReader(file, summary), every)
        server = Server(application(watcher, rules), listening, tls)
        watcher.start()
        server.start()
        try:
            click.echo(f"the dashboard is at {address}")
            verbosity.say("Ctrl-C ends it")
            while server.wait(_BEAT_S) and not stopped:
                pass
        finally:
            watcher.close()
            server.close()
    if server.error is not None:
        raise server.error
    verbosity.say("the dashboard has ended")


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Signals that ask for an end are in the list from then on."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Chosen:
    """What the command line says of how the page is reached."""

    listen: str | None
    path: Path | None
    group: str
    token_file: Path | None
    certificate: Path | None
    key: Path | None
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.path is not None and (self.listen is not None or self.certificate is not None):
            raise click.UsageError(
                "--socket cannot be combined with --listen and --certificate: the reverse proxy has both"
            )
        if self.group and self.path is None:
            raise click.UsageError("--socket-group is for --socket")
        if (self.certificate is None) != (self.key is None):
            raise click.UsageError("--certificate and --key must be given together")
        if self.path is None and not self._address.is_loopback and not (self.token_file and self.certificate):
            raise InputError(
                f"{self._address.host} can be reached by other machines",
                where="--listen",
                remedy="give --token-file, --certificate and --key; or listen on 127.0.0.1 and use ssh -L",
            )

    @property
    def _address(self) -> Address:
        from snowha.dashboard import listening

        return listening.address(self.listen or listening.DEFAULT, "--listen")

    def rules(self) -> Rules:
        """What is answered. Behind a socket stands a reverse proxy, which knows its own names."""
        from snowha.dashboard import limits, listening

        token = listening.token(self.token_file) if self.token_file else ""
        named = {name.lower() for name in self.names}
        if self.path is not None:
            return limits.Rules(named, token)
        own = {self._address.host} | (set() if self._address.is_loopback else {socket.gethostname().lower()})
        return limits.Rules(limits.LOOPBACK | own | named, token)

    def tls(self) -> Tls | None:
        """None without it. Raises InputError."""
        if self.certificate is None or self.key is None:
            return None
        from snowha.dashboard import listening
        from snowha.dashboard.server import Tls

        listening.check_tls(self.certificate, self.key)
        return Tls(self.certificate, self.key)

    @contextmanager
    def listening(self) -> Iterator[tuple[socket.socket, str]]:
        """The socket, and what to type into a browser."""
        from snowha.dashboard import listening

        if self.path is not None:
            with listening.on_path(self.path, self.group) as made:
                yield made, str(self.path)
            return
        with listening.on_address(self._address, "--listen") as made:
            address = listening.Address(self._address.host, listening.port_of(made))
            yield made, f"http{'s' if self.certificate else ''}://{address}/"
