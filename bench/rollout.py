"""How much of a rollout's time is our own: the same plan on 2 servers, and on 8 with 8 times the domains.

The steps are those of ``snow ha apply`` with their needs and what they must not touch at once; what they do is replaced
by commands on simulated hosts that answer after a set delay. A schedule without any cost of ours gives the least time
that is possible; what a real run takes beyond it is ours. Its processor time says the same on a machine that has other
work.

    python bench/rollout.py [--delay SECONDS]
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snowha.hosts.api import Completed, Host
from snowha.migration.checks import judge, look
from snowha.migration.ground import Ground
from snowha.migration.steps import all_steps
from snowha.plan import engine
from snowha.plan.journal import Journal
from snowha.plan.step import Reporter, Step, in_order
from snowha.site.model import Disk, Domain, FenceDevice, Paths, Server, Site, Vif

COMMANDS = 3
"""Of each step's apply, one after the other."""
WORKERS = 8
"""As the engine's own default."""


class DelayedHost:
    """Answers nothing, after a while."""

    def __init__(self, name: str, delay: float) -> None:
        self.name = name
        self.delay = delay
        self.asked = 0

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.asked += 1
        time.sleep(self.delay)
        boundary = argv[4] if len(argv) > 4 else ""
        return Completed(tuple(argv), 0, f"{boundary} clock {time.time()}\n\n{boundary} end\n", "")


def site(servers: int, domains: int) -> Site:
    def domain(number: int) -> Domain:
        name, target = f"domain{number}", f"/dev/vg/domain{number}-disk"
        disk = Disk(f"phy:{target},xvda2,w", target, "xvda2")
        vif = Vif("xsnow0", f"00:16:3e:00:00:{number:02x}", f"192.168.9.{number}")
        return Domain(name, f"/sNow/{name}.cfg", 128, 1, "pvh", "/boot/k", "/boot/i", (disk,), (vif,), "xvda2")

    return Site(
        name="snow",
        paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
        servers=tuple(
            Server(f"s{n}", f"10.0.0.{n}", (f"10.0.0.{n}",), FenceDevice("fence_ipmilan", f"10.0.1.{n}", "a", "b/c"))
            for n in range(1, servers + 1)
        ),
        domains=tuple(domain(number) for number in range(1, domains + 1)),
        mounts=(),
        floating_ip=None,
        apart=(),
    )


def simulated(ground: Ground) -> list[Step]:
    """The migration's steps, each asking every server once and doing ``COMMANDS`` commands on the first."""
    done: set[str] = set()
    lock = threading.Lock()

    def step(of: Step) -> Step:
        def check() -> str | None:
            ground.on_all(lambda host: host.run(["true"]))
            with lock:
                return None if of.id in done else "missing"

        def apply(reporter: Reporter) -> None:
            for _ in range(COMMANDS):
                ground.first.run(["true"])
            with lock:
                done.add(of.id)

        return replace(of, check=check, apply=apply, proof=None, asks=None)

    return [step(one) for one in all_steps(ground, {server.name: "x" for server in ground.site.servers})]


def least(steps: Sequence[Step], delay: float) -> float:
    """Seconds that the hosts' delays alone cost in the engine's order, if nothing else cost anything."""
    ordered = in_order(steps)
    length = delay * (COMMANDS + 2)  # a look once its needs are done, apply, and the look after it
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    now = delay  # the look at all steps before
    waiting = list(ordered)
    while waiting or running:
        busy = {name for _, running_id in running for one in ordered if one.id == running_id for name in one.uses}
        for one in list(waiting):
            if len(running) < WORKERS and all(need in ends for need in one.needs) and not busy & set(one.uses):
                heapq.heappush(running, (now + length, one.id))
                busy |= set(one.uses)
                waiting.remove(one)
        now, ended = heapq.heappop(running)
        ends[ended] = now
    return now


@dataclass(frozen=True)
class Took:
    """Times in seconds: on the clock, the least possible, and of the processor. ``commands``: carried out on servers."""

    steps: int
    commands: int
    taken: float
    possible: float
    processor: float


def rollout(servers: int, domains: int, delay: float) -> Took:
    """One whole run."""
    there = site(servers, domains)
    delayed = [DelayedHost(server.name, delay) for server in there.servers]
    hosts: dict[str, Host] = {host.name: host for host in delayed}
    steps = simulated(Ground(there, hosts))
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.sqlite") as journal:
        begin, worked = time.monotonic(), time.process_time()
        outcome = engine.run(
            steps, monitor=lambda event: None, journal=journal, confirm=lambda question: True, workers=WORKERS
        )
        taken, processor = time.monotonic() - begin, time.process_time() - worked
    assert outcome.ok
    return Took(len(steps), sum(host.asked for host in delayed), taken, least(steps, delay), processor)


def check(servers: int, domains: int, delay: float) -> float:
    """Seconds of `snow ha check` beyond the time that the lock is held."""
    there = site(servers, domains)
    hosts: dict[str, Host] = {server.name: DelayedHost(server.name, delay) for server in there.servers}
    begin = time.monotonic()
    ground = Ground(there, hosts)
    judge.judge(there, look.look(ground, {server.name: "x" for server in there.servers}, askers=[ground.first]))
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--delay", type=float, default=0.2, help="seconds until a simulated host answers")
    delay = parser.parse_args().delay
    for servers, domains in ((2, 4), (8, 32)):
        took = rollout(servers, domains, delay)
        looked = check(servers, domains, delay)
        print(
            f"{servers} servers, {domains} domains, {took.steps} steps, {took.commands} commands: {took.taken:.2f} s, "
            f"{took.possible:.2f} s at least; our processor time {took.processor:.2f} s, "
            f"{1000 * took.processor / took.commands:.2f} ms a command; check {looked:.2f} s"
        )


if __name__ == "__main__":
    main()
