"""The lab's probe of its domains: it asks every domain's service all the time and writes down what was acknowledged, and when.

``python -m snowha.lab.domain_probe --log FILE --pause 0.4 NAME=ADDRESS …`` runs until SIGTERM; with ``--ask ADDRESS`` it
shows one service's status and leaves with 0, or with 3 if there is no answer. Each line of the log is a
JSON object, an attempt (``t``, ``t_ack``, ``domain``, ``nonce``, ``number``, ``boot``, ``error``) or a look at the
service (``t``, ``domain``, ``status``). Times are seconds since 1970 by this machine's clock.

The functions below ``read_log`` are pure: how long a domain was away, what must be on its disk, what was stale.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snowha.errors import InputError, SnowError, UnreachableError
from snowha.lab.layout import SERVICE_PORT

TIMEOUT_S = 2.0
"""For connecting and answering together: a domain that takes longer is away."""
STATUS_EVERY_S = 10.0
RETRY_S = 0.5
"""Between two questions to a domain that does not answer: when it is back is seen to this, however seldom it is asked else."""


@dataclass(frozen=True)
class Attempt:
    """One ``append``. ``t_ack`` and ``number`` are None if it was not acknowledged."""

    t: float
    t_ack: float | None
    domain: str
    nonce: str
    number: int | None
    boot: str | None
    error: str | None


@dataclass(frozen=True)
class StaleCounts:
    """The stale-read checker's counters. ``stale``: completed writes that were read back as something else."""

    writes: int = 0
    reads: int = 0
    stale: int = 0
    errors: int = 0

    def __add__(self, other: StaleCounts) -> StaleCounts:
        return StaleCounts(
            self.writes + other.writes, self.reads + other.reads, self.stale + other.stale, self.errors + other.errors
        )


@dataclass(frozen=True)
class Status:
    """What a service said about itself. ``stale`` is None where it does not check."""

    t: float
    domain: str
    boot: str
    number: int
    uptime_s: float
    stale: StaleCounts | None


@dataclass(frozen=True)
class Log:
    """A client's log, in the order in which it was written."""

    attempts: tuple[Attempt, ...]
    statuses: tuple[Status, ...]


def read_log(path: Path) -> Log:
    """The log as far as it is written: a last line without its end is still being written, and left out.

    Raises InputError for a line that is not the client's.
    """
    attempts: list[Attempt] = []
    statuses: list[Status] = []
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the client's log: {error.strerror}", where=str(path)) from error
    for position, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            if "status" in entry:
                statuses.append(_status(entry))
            else:
                attempts.append(Attempt(**entry))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"not a line of the lab's client: {error}",
                where=f"{path}:{position}",
                remedy="Move the file away; the client begins a new one.",
            ) from error
    return Log(tuple(attempts), tuple(statuses))


def downtime(log: Log, domain: str, since: float, until: float) -> float:
    """The longest time in seconds without an acknowledged answer between ``since`` and ``until``.

    The window's edges count as answers, so a domain that never answered was away for the whole window.
    """
    return max((end - start for start, end in _intervals(log, domain, since, until)), default=0.0)


def gaps(log: Log, domain: str, longer_than: float) -> list[tuple[float, float]]:
    """Every time without an acknowledged answer that took longer than so many seconds.

    From the domain's first attempt to its last: silence before the first answer and after the last one counts.
    """
    times = [attempt.t for attempt in log.attempts if attempt.domain == domain]
    if not times:
        return []
    last = max(attempt.t_ack or attempt.t for attempt in log.attempts if attempt.domain == domain)
    return [(a, b) for a, b in _intervals(log, domain, min(times), last) if b - a > longer_than]


def acknowledged(log: Log, *, since: float = 0.0) -> dict[str, dict[int, str]]:
    """Per domain the nonce of every acknowledged number.

    A number that was acknowledged twice with different nonces has lost one of them, whichever is on the disk: it gets
    both, joined by ``|``, which no record can hold, so that comparing with the disk always counts it as lost.
    ``since`` leaves out what was asked before: a site that was taken back to a snapshot has rightly forgotten it.
    """
    result: dict[str, dict[int, str]] = {}
    for attempt in log.attempts:
        numbers = result.setdefault(attempt.domain, {})
        if attempt.number is None or attempt.t < since:
            continue
        nonces = numbers.get(attempt.number, "").split("|") if attempt.number in numbers else []
        if attempt.nonce not in nonces:
            numbers[attempt.number] = "|".join([*nonces, attempt.nonce])
    return result


def stale(log: Log, *, since: float = 0.0) -> StaleCounts:
    """The counters of all domains together. They start at 0 with each boot: the sum of each boot's last ones."""
    last: dict[tuple[str, str], StaleCounts] = {}
    for status in log.statuses:
        if status.stale is not None and status.t >= since:
            last[status.domain, status.boot] = status.stale
    return sum(last.values(), start=StaleCounts())


class Caller:
    """Asks one service, over one connection as long as it holds: to an emulated domain a new one costs more than the answer.

    Whatever goes wrong ends the connection; the next question opens another one. Only for one thread.
    """

    def __init__(self, address: str, *, port: int = SERVICE_PORT, timeout: float = TIMEOUT_S) -> None:
        self._to = (address, port)
        self._timeout = timeout
        self._connection: socket.socket | None = None

    def ask(self, line: str) -> str:
        """Send one line, return the one line that is answered. Raises OSError (TimeoutError included) if there is none."""
        deadline = time.monotonic() + self._timeout
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._to, timeout=self._timeout)
            return self._exchange(self._connection, line, deadline)
        except OSError:
            self.close()
            raise

    def _exchange(self, connection: socket.socket, line: str, deadline: float) -> str:
        connection.settimeout(self._timeout)
        connection.sendall(f"{line}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer within {self._timeout} s")
            connection.settimeout(left)
            data = connection.recv(4096)
            if not data:
                raise ConnectionResetError("closed without an answer")
            answer += data
        return answer.decode("utf-8", "replace").rstrip("\n")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask(address: str, line: str, *, port: int = SERVICE_PORT, timeout: float = TIMEOUT_S) -> str:
    """One question over a connection of its own."""
    with contextlib.closing(Caller(address, port=port, timeout=timeout)) as caller:
        return caller.ask(line)


def attempt(domain: str, caller: Caller) -> Attempt:
    """Ask for one record. What goes wrong is in ``error``; it never raises for a domain that is away."""
    nonce = secrets.token_hex(8)
    t = time.time()
    try:
        answer = caller.ask(f"append {nonce}")
    except OSError as error:
        return Attempt(t, None, domain, nonce, None, None, str(error) or type(error).__name__)
    match answer.split():
        case ["ok", number, boot] if number.isdecimal():
            return Attempt(t, time.time(), domain, nonce, int(number), boot, None)
        case _:
            return Attempt(t, None, domain, nonce, None, None, answer[:200])


def watch(
    domain: str,
    address: str,
    *,
    write: Callable[[Mapping[str, Any]], None],
    stop: threading.Event,
    pause: float,
    port: int = SERVICE_PORT,
) -> None:
    """Ask one domain until ``stop`` is set, ``pause`` seconds between an answer and the next question, at most RETRY_S while
    there is no answer."""
    next_status = 0.0
    with contextlib.closing(Caller(address, port=port)) as caller:
        while not stop.is_set():
            asked = attempt(domain, caller)
            write(vars(asked))
            if asked.number is not None and time.monotonic() >= next_status:
                next_status = time.monotonic() + STATUS_EVERY_S
                t = time.time()
                try:
                    write({"t": t, "domain": domain, "status": json.loads(caller.ask("status"))})
                except (OSError, ValueError):
                    next_status = 0.0  # it has gone away since it answered: that is the next attempt's to tell
            stop.wait(pause if asked.number is not None else min(pause, RETRY_S))


def run(
    log: Path, domains: Mapping[str, str], *, pause: float, stop: threading.Event, port: int = SERVICE_PORT
) -> None:
    """Watch all domains, a thread each, until ``stop`` is set; each line is in the file as soon as it is written."""
    # One write per line to a file opened for appending: what was acknowledged is down before the next question.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        _finish_last_line(log, descriptor)

        def write(entry: Mapping[str, Any]) -> None:
            os.write(descriptor, json.dumps(entry).encode() + b"\n")

        with ThreadPoolExecutor(max(len(domains), 1)) as pool:
            watching = [
                pool.submit(watch, name, address, write=write, stop=stop, pause=pause, port=port)
                for name, address in domains.items()
            ]
            wait(watching, return_when=FIRST_EXCEPTION)
            stop.set()  # a log that goes on without one of the domains (disk full, say) would look like an outage
            for one in watching:
                one.result()
    finally:
        os.close(descriptor)


def parse_domains(words: Sequence[str]) -> dict[str, str]:
    """``NAME=ADDRESS`` words. Raises InputError for anything else and for a name given twice."""
    result: dict[str, str] = {}
    for word in words:
        name, equals, address = word.partition("=")
        if not (name and equals and address):
            raise InputError("not of the form NAME=ADDRESS", where=word, remedy="Give deploy01=192.168.8.11, say.")
        if name in result:
            raise InputError("the domain is given twice", where=name, remedy="Give each domain once.")
        result[name] = address
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m snowha.lab.domain_probe", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--log", type=Path)
    what.add_argument("--ask", metavar="ADDRESS", help="ask one service for its status, once")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two questions to one domain")
    parser.add_argument("--port", type=int, default=SERVICE_PORT)
    parser.add_argument("domains", nargs="*", metavar="NAME=ADDRESS")
    options = parser.parse_args(argv)
    if options.ask:
        return _ask_once(options.ask, options.port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(options.log, parse_domains(options.domains), pause=options.pause, stop=stop, port=options.port)
    except SnowError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _ask_once(address: str, port: int) -> int:
    try:
        print(ask(address, "status", port=port))
    except OSError as error:
        print(f"{address}:{port}: {error}", file=sys.stderr)
        return UnreachableError.exit_code
    return 0


def _status(entry: Mapping[str, Any]) -> Status:
    said = entry["status"]
    counts = None if said["stale"] is None else StaleCounts(**said["stale"])
    return Status(entry["t"], entry["domain"], said["boot"], said["number"], said["uptime_s"], counts)


def _intervals(log: Log, domain: str, since: float, until: float) -> Iterator[tuple[float, float]]:
    answers = sorted(
        attempt.t_ack
        for attempt in log.attempts
        if attempt.domain == domain and attempt.t_ack is not None and since <= attempt.t_ack <= until
    )
    edges = [since, *answers, until]
    yield from itertools.pairwise(edges)


def _finish_last_line(log: Path, descriptor: int) -> None:
    """A client that was killed in the middle of a line must not spoil the first line of the next one."""
    text = log.read_bytes()
    if text and not text.endswith(b"\n"):
        os.ftruncate(descriptor, text.rfind(b"\n") + 1)


if __name__ == "__main__":
    sys.exit(main())
