"""Where each domain was seen, asked of both hypervisors all the time: how the lab knows that none ran in two places at once."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snowha.lab import layout
from snowha.lab.layout import SERVERS

# One long connection a server, and no process more than needed: on an emulated server each `xl list` costs a noticeable part of
# a second, and what the watcher takes the domains miss. So the shell looks once a second at what is attached to domains, by
# itself (a read that nobody answers is its sleep), and asks the hypervisor whenever that has changed, and every 8 s. An xl that
# hangs is one that says nothing; the watcher would wait for it as long as it hangs. A server that was restored from a snapshot
# has the loop of whoever watched when that was saved, and of the one before: each asks the hypervisor, too, until it is ended.
_LOOP = """\
for before in $(pgrep -f 'last= [a]ge=8'); do
    [ "$before" = $$ ] || [ "$before" = $PPID ] || kill "$before"
done
exec 3<> <(:)
last= age=8
while :; do
    devices=(/sys/bus/xen-backend/devices/*)
    if [ "${devices[*]}" != "$last" ] || [ "$age" -ge 8 ]; then
        timeout -k 1 10 xl list 2> /dev/null
        last=${devices[*]} age=0
    fi
    age=$((age + 1))
    read -r -t 1 -u 3
done"""
TOLERANCE_S = 5.0
"""A line can be late by what an emulated server takes to be scheduled. A real double run lasts until somebody ends it; one of
more than 13 s is seen (8 s between two looks, and this)."""

SILENCE_S = 30.0
"""A server that was silent for so long may have booted meanwhile, and Xen counts domain ids from 1 again."""


@dataclass(frozen=True)
class Placement:
    """One domain on one server under one domain id: ``first`` and ``last`` seen, unix time."""

    domain: str
    server: str
    domid: int
    first: float
    last: float


def _watch(server: str, ssh_config: Path, log: Path, lock: threading.Lock) -> None:
    names = {plan.name for plan in layout.DOMAINS}
    while True:
        # a connection of its own, to notice by itself that the server is gone
        words = ["ssh", "-F", str(ssh_config), "-o", "ControlPath=none", server, shlex.join(["bash", "-c", _LOOP])]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as ssh:
            assert ssh.stdout is not None
            for line in ssh.stdout:
                fields = line.split()
                # one that is paused is being built, and may be refused its disks: it does not run
                if len(fields) >= 6 and fields[0] in names and fields[1].isdigit() and "p" not in fields[4]:
                    seen = {
                        "t": round(time.time(), 3),
                        "server": server,
                        "domain": fields[0],
                        "domid": int(fields[1]),
                        "state": fields[4],
                    }
                    with lock, log.open("a") as file:
                        file.write(json.dumps(seen) + "\n")
        time.sleep(3)  # the server is off or booting: there is nothing to wait on but time


def placements(lines: Iterable[str]) -> list[Placement]:
    """The stays in a log, in the order in which they began."""
    current: dict[tuple[str, str, int], Placement] = {}
    ended: list[Placement] = []
    for line in lines:
        try:
            seen = json.loads(line)
        except ValueError:
            continue  # the last line of a log that is being written
        key = (seen["domain"], seen["server"], seen["domid"])
        before = current.get(key)
        if before and seen["t"] - before.last > SILENCE_S:
            ended.append(before)
            before = None
        current[key] = Placement(*key, before.first if before else seen["t"], seen["t"])
    return sorted([*ended, *current.values()], key=lambda stay: stay.first)


def at_once(all_stays: Iterable[Placement]) -> list[tuple[Placement, Placement]]:
    """Pairs of stays of one domain on two servers that overlap by more than a late line can explain."""
    ordered = list(all_stays)
    pairs = []
    for index, one in enumerate(ordered):
        for other in ordered[index + 1 :]:
            if one.domain == other.domain and one.server != other.server:
                overlap = min(one.last, other.last) - max(one.first, other.first)
                if overlap > TOLERANCE_S:
                    pairs.append((one, other))
    return pairs


def main() -> None:
    """The watching process: ``python -m snowha.lab.placement_log LOG``."""
    log = Path(sys.argv[1])
    lock = threading.Lock()
    threads = [
        threading.Thread(target=_watch, args=(server.name, layout.paths().ssh_config, log, lock)) for server in SERVERS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
