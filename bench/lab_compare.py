"""Two states of the lab compared: how long domains are away after a power loss, or in a live migration, in turns.

    python bench/lab_compare.py power  OLD NEW --rounds 5
    python bench/lab_compare.py migrate OLD NEW --rounds 10

OLD and NEW are snapshots of finished clusters (`snow lab save`). Each round restores one, then the other, and does the same to
both; which one comes first changes with each round. Prints a line of JSON for each measurement, and the medians.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import shlex
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator

from snowha.lab import domain_probe, first_boot, layout, lifecycle, network
from snowha.lab.layout import DOMAINS, SERVERS

DOMAIN = "slurm01"
"""The one that is migrated: it writes without flushing, and reads back what it wrote."""
LIMIT_S = 400.0
PING_S = 0.1


def shell(host: str, script: str) -> str:
    """What a line of shell prints on a server; empty if it cannot be reached."""
    return first_boot.ssh(host, ["sh", "-c", shlex.quote(script)], check=False, timeout=120).stdout


def holder_of(domain: str) -> str:
    """The server that runs it."""
    return next(server.name for server in SERVERS if _is_alive(domain, server.name))


def other(host: str) -> str:
    return next(server.name for server in SERVERS if server.name != host)


def _is_alive(domain: str, host: str) -> bool:
    rows = [line.split() for line in shell(host, "xl list").splitlines()]
    return any(row[0] == domain and not set(row[4]) & set("pscd") for row in rows if len(row) > 4)


def _answers() -> list[tuple[float, str]]:
    path = layout.paths().client_log
    if not path.exists():  # a restore begins a new one
        return []
    log = domain_probe.read_log(path)
    return sorted((one.t, one.domain) for one in log.attempts if one.number)


def longest_gap(domain: str, since: float) -> float:
    """Seconds between two answers of the domain, the longest since then."""
    times = [t for t, name in _answers() if name == domain and t >= since]
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look once a second. Raises TimeoutError after LIMIT_S."""
    until = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(1)


def power() -> float:
    """Cut the power of the server that has DOMAIN; seconds until every domain answers again."""
    names = {plan.name for plan in DOMAINS}
    wait_for(lambda: answered(names, times=3), "every domain answers after the restore")
    lost = holder_of(DOMAIN)
    since = time.time()
    lifecycle.power(lost, "off")
    wait_for(lambda: not answered({DOMAIN}, since=time.time() - 10), f"{DOMAIN} is lost with {lost}")
    silent = time.time()
    wait_for(lambda: answered(names, since=silent), "every domain answers again")
    return max(longest_gap(name, since - 5) for name in names)


def answered(names: set[str], *, since: float = 0.0, times: int = 1) -> bool:
    """Whether each of ``names`` has answered so often since then; the log begins with the restore."""
    found = Counter(name for t, name in _answers() if t >= since)
    return all(found[name] >= times for name in names)


@contextlib.contextmanager
def pinged(address: str) -> Iterator[list[float]]:
    """When each answer to a ping came, with one sent each PING_S; filled in at the end. The lab's own probe asks the domain's
    service, and waits 2.5 s for an answer before it asks again: too coarse for a domain that is away for a few seconds."""
    words = network.inside("ping", "-n", "-D", "-i", str(PING_S), address)
    answers: list[float] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ping:
        try:
            yield answers
        finally:
            ping.send_signal(signal.SIGINT)
            said, _ = ping.communicate(timeout=10)
    answers += [float(found[1]) for found in re.finditer(r"^\[([0-9.]+)\].* bytes from ", said, re.MULTILINE)]


def migrate() -> float:
    """Have Pacemaker migrate DOMAIN to the other server; seconds in which it did not answer a ping.

    The constraint stays: cleared before Pacemaker knows that the domain has arrived, it would go back. A restore follows.
    """
    wait_for(lambda: answered({DOMAIN}, times=3), f"{DOMAIN} answers after the restore")
    here = holder_of(DOMAIN)
    there = other(here)
    address = next(plan.address for plan in DOMAINS if plan.name == DOMAIN)
    with pinged(address) as answers:
        shell(here, f"crm_resource --move --resource={DOMAIN} --node={there}")
        wait_for(lambda: _is_alive(DOMAIN, there), f"{DOMAIN} runs on {there}")
        arrived = time.time()
        wait_for(lambda: answered({DOMAIN}, since=arrived, times=5), f"{DOMAIN} answers")
    return max(after - before for before, after in itertools.pairwise(answers))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("power", "migrate"))
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    measure = {"power": power, "migrate": migrate}[words.what]
    found: dict[str, list[float]] = {words.old: [], words.new: []}
    for number in range(words.rounds):
        for snapshot in (words.old, words.new) if number % 2 == 0 else (words.new, words.old):
            lifecycle.restore(snapshot)
            seconds = measure()
            found[snapshot].append(seconds)
            print(json.dumps({"round": number + 1, "snapshot": snapshot, "away_s": round(seconds, 1)}), flush=True)
    for snapshot, values in found.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{snapshot}: median {statistics.median(values):.1f} s, {spread} s, {len(values)} rounds")


if __name__ == "__main__":
    main()
